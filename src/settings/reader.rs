//! Reads one setting at a time and notes what is wrong with it, so that one
//! start tells a person everything there is to correct.
//!
//! `None` means "noted as a fault" where a setting is required or has a
//! default, and "not set" where it is optional.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use super::source::variable_of;
use super::{Fault, Faults, Source};

pub(super) struct Reader<'a> {
    values: &'a BTreeMap<String, String>,
    faults: Vec<Fault>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(source: &'a Source) -> Self {
        Self {
            values: &source.values,
            faults: source.faults.clone(),
        }
    }

    /// Ends the reading: the value, unless anything was noted.
    pub(super) fn finish<T>(self, value: Option<T>) -> Result<T, Faults> {
        match value {
            Some(value) if self.faults.is_empty() => Ok(value),
            _ => Err(Faults(self.faults)),
        }
    }

    pub(super) fn fault(&mut self, key: &str, what: impl Display, remedy: impl Display) {
        self.faults.push(Fault {
            variable: variable_of(key),
            what: what.to_string(),
            remedy: remedy.to_string(),
        });
    }

    pub(super) fn optional(&self, key: &str) -> Option<String> {
        let text = self.values.get(key)?.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }

    pub(super) fn required(&mut self, key: &str, remedy: &str) -> Option<String> {
        let text = self.optional(key);
        if text.is_none() {
            self.fault(key, "is not set", remedy);
        }
        text
    }

    pub(super) fn secret(&self, key: &str) -> Option<SecretString> {
        self.optional(key).map(SecretString::from)
    }

    pub(super) fn duration(&mut self, key: &str) -> Option<Duration> {
        const REMEDY: &str = "give it as 250ms, 30s, 5m or 6h, more than zero";
        let text = self.required(key, REMEDY)?;
        match humantime::parse_duration(&text) {
            Ok(duration) if duration > Duration::ZERO => Some(duration),
            Ok(_) => {
                self.fault(key, "is zero", REMEDY);
                None
            }
            Err(_quotes_the_value) => {
                self.fault(key, "is not a duration", REMEDY);
                None
            }
        }
    }

    pub(super) fn duration_within(
        &mut self,
        key: &str,
        bounds: RangeInclusive<Duration>,
        why: &str,
    ) -> Option<Duration> {
        let duration = self.duration(key)?;
        if bounds.contains(&duration) {
            return Some(duration);
        }
        let (least, most) = bounds.into_inner();
        let [least, most] = [least, most].map(humantime::format_duration);
        self.fault(key, why, format!("give {least} to {most}"));
        None
    }

    pub(super) fn number<T>(&mut self, key: &str, bounds: RangeInclusive<T>) -> Option<T>
    where
        T: FromStr + PartialOrd + Display,
    {
        let remedy = format!(
            "give a whole number, {} to {}",
            bounds.start(),
            bounds.end()
        );
        let text = self.required(key, &remedy)?;
        let number = text.parse().ok().filter(|number| bounds.contains(number));
        if number.is_none() {
            self.fault(key, "is not a number within its bounds", remedy);
        }
        number
    }

    /// A share given in percent, as 0.0 to 1.0.
    pub(super) fn share(&mut self, key: &str) -> Option<f64> {
        const REMEDY: &str = "give a share as 80%, more than 0% and at most 100%";
        let text = self.required(key, REMEDY)?;
        let share = text
            .strip_suffix('%')
            .and_then(|percent| percent.trim().parse::<f64>().ok())
            .filter(|percent| *percent > 0.0 && *percent <= 100.0)
            .map(|percent| percent / 100.0);
        if share.is_none() {
            self.fault(key, "is not a share in percent", REMEDY);
        }
        share
    }

    pub(super) fn choice<T: Copy>(&mut self, key: &str, choices: &[(&str, T)]) -> Option<T> {
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        let remedy = format!("give {}", words.join(" or "));
        let text = self.required(key, &remedy)?;
        let choice = choices
            .iter()
            .find(|(word, _)| text.eq_ignore_ascii_case(word));
        if choice.is_none() {
            self.fault(key, "is none of its values", remedy);
        }
        choice.map(|(_, value)| *value)
    }

    /// The API name of an object, a field or a relationship. It goes into
    /// paths and queries, so nothing but a name may pass.
    pub(super) fn name(&mut self, key: &str) -> Option<String> {
        const REMEDY: &str = "give its API name, such as Usage__c";
        let name = self.required(key, REMEDY)?;
        self.is_name(key, &name, REMEDY).then_some(name)
    }

    pub(super) fn optional_name(&mut self, key: &str) -> Option<String> {
        let name = self.optional(key)?;
        self.is_name(key, &name, "give its API name, or nothing")
            .then_some(name)
    }

    fn is_name(&mut self, key: &str, name: &str, remedy: &str) -> bool {
        let valid = name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !valid {
            self.fault(key, "is not an API name", remedy);
        }
        valid
    }

    /// A text of letters, digits and `. _ : -`, short enough for a key.
    pub(super) fn is_token(&mut self, key: &str, text: &str) {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._:-".contains(c);
        if text.len() > 64 || !text.chars().all(plain) {
            let remedy = "use letters, digits, dots, colons, - and _, 64 at most";
            self.fault(
                key,
                "has other than plain characters or is too long",
                remedy,
            );
        }
    }

    /// A server's address with one of `schemes`.
    pub(super) fn server(&mut self, key: &str, schemes: &[&str], remedy: &str) -> Option<Url> {
        let text = self.required(key, remedy)?;
        let Ok(url) = Url::parse(&text) else {
            let remedy = format!("{remedy}, special characters of the password as %23 for #");
            self.fault(key, "is not a URL", remedy);
            return None;
        };
        if !schemes.contains(&url.scheme()) {
            self.fault(
                key,
                format!("does not begin with {}://", schemes.join(":// or ")),
                remedy,
            );
            return None;
        }
        Some(url)
    }

    /// Notes `first` if it is longer than `last`.
    pub(super) fn in_order(
        &mut self,
        (first, at_first): (&str, Option<Duration>),
        (last, at_last): (&str, Option<Duration>),
    ) {
        if let (Some(short), Some(long)) = (at_first, at_last)
            && short > long
        {
            let last = variable_of(last);
            self.fault(
                first,
                format!("is longer than {last}"),
                "lower it, or raise the other",
            );
        }
    }
}
