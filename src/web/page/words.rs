//! Times and numbers as people read them. Pure: the present comes in as a value.

use maud::{Markup, html};
use sqlx::types::time::OffsetDateTime;
use time::{UtcOffset, format_description::well_known::Rfc3339, macros::format_description};

use crate::contracts::Amount;

/// `4 minutes`, `2 hours`, `3 days`: one unit, rounded down.
pub(super) fn lasting(seconds: f64) -> String {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a cast of floats saturates, and nothing lasts for negative seconds"
    )]
    let seconds = seconds.max(0.0) as u64;
    let (count, unit) = match seconds {
        0..60 => (seconds, "second"),
        60..3600 => (seconds / 60, "minute"),
        3600..172_800 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    counted(count, unit)
}

/// `1 ad`, `2 ads`.
pub(super) fn counted(count: u64, unit: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {unit}{plural}", grouped(count))
}

/// `1,234,567`.
pub(super) fn grouped(number: u64) -> String {
    group(&number.to_string())
}

/// `-1,234.50`, digit by digit as it was told.
pub(super) fn amount(amount: &Amount) -> String {
    let text = amount.to_string();
    let (sign, text) = text
        .strip_prefix('-')
        .map_or(("", text.as_str()), |rest| ("-", rest));
    let (whole, rest) = text.split_at(text.find(['.', 'e', 'E']).unwrap_or(text.len()));
    format!("{sign}{}{rest}", group(whole))
}

fn group(digits: &str) -> String {
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A moment: how long ago for whoever reads, exactly for whoever points at it.
pub(super) fn moment(at: OffsetDateTime, now: OffsetDateTime) -> Markup {
    let at = at.to_offset(UtcOffset::UTC);
    let exactly = at.format(&Rfc3339).unwrap_or_default();
    let shown = format_description!("[year]-[month]-[day] [hour]:[minute]:[second] UTC");
    let shown = at.format(shown).unwrap_or_default();
    let ago = lasting((now - at).as_seconds_f64());
    html! { time datetime=(exactly) title=(shown) { (ago) " ago" } }
}

/// How long something has lasted; the exact moment of its beginning for whoever
/// points at it.
pub(super) fn lasting_since(text: &str, now: OffsetDateTime) -> Markup {
    let Ok(at) = OffsetDateTime::parse(text, &Rfc3339) else {
        return html! { (text) };
    };
    html! { span title=(text) { (lasting((now - at).as_seconds_f64())) } }
}

/// A moment that only its text form is known of.
pub(super) fn moment_of(text: &str, now: OffsetDateTime) -> Markup {
    let at = OffsetDateTime::parse(text, &Rfc3339);
    at.map_or_else(|_| html! { (text) }, |at| moment(at, now))
}

#[cfg(test)]
mod tests {
    use rust_decimal::Decimal;

    use super::*;

    #[test]
    fn one_unit_tells_how_long() {
        for (seconds, text) in [
            (-5.0, "0 seconds"),
            (1.9, "1 second"),
            (59.9, "59 seconds"),
            (60.0, "1 minute"),
            (7199.0, "1 hour"),
            (172_800.0, "2 days"),
        ] {
            assert_eq!(lasting(seconds), text);
        }
    }

    #[test]
    fn large_numbers_are_grouped() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (12_345, "12,345"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(grouped(number), text);
        }
        for (text, shown) in [
            ("999180", "999,180"),
            ("-1234567.50", "-1,234,567.5"),
            ("12.345678", "12.345678"),
            ("1.5E3", "1,500"),
        ] {
            let number: Amount = Decimal::from_scientific(text)
                .or_else(|_| text.parse())
                .map(Amount::from)
                .expect(text);
            assert_eq!(amount(&number), shown);
        }
        assert_eq!(counted(1, "ad"), "1 ad");
        assert_eq!(counted(2000, "ad"), "2,000 ads");
    }

    #[test]
    fn a_moment_is_told_twice() {
        let at = OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap();

        let text = moment(at, at + std::time::Duration::from_secs(90)).into_string();

        assert_eq!(
            text,
            "<time datetime=\"2027-01-15T08:00:00Z\" title=\"2027-01-15 08:00:00 UTC\">1 minute ago</time>"
        );
    }
}
