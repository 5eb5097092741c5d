//! A number in the digits that it was written with.

use std::fmt;

use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::value::RawValue;

/// A number that is passed on digit by digit, never through binary floating
/// point: `0.10` stays `0.10`.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub struct Amount(Box<RawValue>);

impl Amount {
    /// A JSON number; `None` for anything else, null among it.
    pub(super) fn of(raw: &RawValue) -> Option<Self> {
        let is_number = raw
            .get()
            .starts_with(|c: char| c == '-' || c.is_ascii_digit());
        is_number.then(|| Self(raw.to_owned()))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    /// About how much it is, to compare or to draw it.
    pub fn approximate(&self) -> f64 {
        self.as_str().parse().unwrap_or_default()
    }
}

impl From<Decimal> for Amount {
    fn from(number: Decimal) -> Self {
        let text = number.normalize().to_string();
        Self(RawValue::from_string(text).unwrap_or_default())
    }
}

/// As people write it: without an exponent, and without zeros behind the point
/// that say nothing.
impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.as_str();
        let exact = text
            .parse::<Decimal>()
            .or_else(|_| Decimal::from_scientific(text));
        match exact {
            Ok(number) => write!(f, "{}", number.normalize()),
            Err(_) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Option<Amount> {
        Amount::of(&RawValue::from_string(text.to_owned()).unwrap())
    }

    #[test]
    fn a_number_keeps_its_digits_and_is_shown_as_people_write_it() {
        for (text, shown) in [
            ("3.0", "3"),
            ("-0.10", "-0.1"),
            ("1.0E8", "100000000"),
            ("123456789012345678.25", "123456789012345678.25"),
            ("0", "0"),
            ("1e400", "1e400"),
        ] {
            let amount = raw(text).unwrap();

            assert_eq!(serde_json::to_string(&amount).unwrap(), text);
            assert_eq!(amount.to_string(), shown);
        }
        for text in ["null", "\"3\"", "true", "[]", "{}"] {
            assert!(raw(text).is_none(), "{text}");
        }
        assert_eq!(Amount::from(Decimal::new(-25_000, 4)).as_str(), "-2.5");
    }
}
