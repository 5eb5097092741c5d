//! One value of a field: read from a request, printed into an answer.
//!
//! Numbers never pass through binary floating point: `0.10` is stored and
//! dumped as `0.10`, and 18 digits stay 18 digits.

use std::borrow::Cow;

use rust_decimal::{Decimal, RoundingStrategy};
use serde_json::value::RawValue;
use time::format_description::well_known::Iso8601;
use time::macros::format_description;
use time::{Date, OffsetDateTime, UtcOffset};

use super::refusal::Refusal;
use super::schema::{Field, Kind};

/// What a field of a row holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Text(Box<str>),
    Number(Decimal),
    Flag(bool),
    Date(Date),
    Moment(OffsetDateTime),
    /// A row of the object that the field refers to.
    Reference(u32),
}

impl Value {
    /// The number, blanks as zero, as formulas see it.
    pub(crate) fn number_or_zero(&self) -> Decimal {
        match self {
            Self::Number(number) => *number,
            _ => Decimal::ZERO,
        }
    }

    /// The text, if it is one.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// Reads a value that is not a reference, as the field wants it.
pub(crate) fn read(field: &Field, raw: &RawValue) -> Result<Value, Refusal> {
    let text = raw.get();
    if text == "null" {
        return Ok(Value::Null);
    }
    match &field.kind {
        Kind::Text { length } => read_text(
            field,
            *length,
            &string(raw).ok_or_else(|| wrong_type(field, raw))?,
        ),
        Kind::Picklist { values, .. } => read_choice(
            field,
            values,
            &string(raw).ok_or_else(|| wrong_type(field, raw))?,
        ),
        Kind::Number { precision, scale } | Kind::Currency { precision, scale } => {
            read_number(field, (*precision, *scale), raw)
        }
        Kind::Checkbox => match text {
            "true" | "\"true\"" => Ok(Value::Flag(true)),
            "false" | "\"false\"" => Ok(Value::Flag(false)),
            _ => Err(wrong_type(field, raw)),
        },
        Kind::Date => {
            let text = string(raw).ok_or_else(|| wrong_type(field, raw))?;
            parse_date(&text)
                .map(Value::Date)
                .ok_or_else(|| not_deserialized("date", &text))
        }
        Kind::Datetime => {
            let text = string(raw).ok_or_else(|| wrong_type(field, raw))?;
            parse_moment(&text)
                .map(Value::Moment)
                .ok_or_else(|| not_deserialized("datetime", &text))
        }
        Kind::Reference { .. }
        | Kind::Autonumber { .. }
        | Kind::RollUp { .. }
        | Kind::Formula { .. } => Err(wrong_type(field, raw)),
    }
}

fn read_text(field: &Field, length: usize, text: &str) -> Result<Value, Refusal> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(Value::Null);
    }
    if text.chars().count() > length {
        let message = format!(
            "{}: data value too large: {text} (max length={length})",
            field.label
        );
        return Err(Refusal::new("STRING_TOO_LONG", message).fields([field.name.as_str()]));
    }
    Ok(Value::Text(text.into()))
}

fn read_choice(field: &Field, values: &[String], text: &str) -> Result<Value, Refusal> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(Value::Null);
    }
    if values.iter().any(|value| value == text) {
        return Ok(Value::Text(text.into()));
    }
    let message = format!(
        "{}: bad value for restricted picklist field: {text}",
        field.label
    );
    Err(
        Refusal::new("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", message)
            .fields([field.name.as_str()]),
    )
}

fn read_number(
    field: &Field,
    (precision, scale): (u32, u32),
    raw: &RawValue,
) -> Result<Value, Refusal> {
    let quoted = string(raw);
    let text = quoted.as_deref().unwrap_or(raw.get()).trim();
    if quoted.is_some() && text.is_empty() {
        return Ok(Value::Null);
    }
    if !is_number(text) {
        return Err(wrong_type(field, raw));
    }
    // What cannot be held exactly is too long for any field.
    let limit = Decimal::from(10_u64.pow((precision - scale).min(19)));
    let number = Decimal::from_str_exact(text)
        .or_else(|_| Decimal::from_scientific(text))
        .ok()
        .filter(|number| number.abs().trunc() < limit)
        .ok_or_else(|| out_of_range(field, text))?;
    // More decimals than the field has are rounded away, as on a save.
    Ok(Value::Number(if number.scale() > scale {
        number.round_dp_with_strategy(scale, RoundingStrategy::MidpointAwayFromZero)
    } else {
        number
    }))
}

fn is_number(text: &str) -> bool {
    let plain = |byte: u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
    text.bytes().all(plain) && text.parse::<f64>().is_ok()
}

/// A date as SOQL and JSON write it.
pub(crate) fn parse_date(text: &str) -> Option<Date> {
    Date::parse(text.get(..10)?, format_description!("[year]-[month]-[day]"))
        .ok()
        .filter(|_| text.len() == 10 || parse_moment(text).is_some())
}

/// A moment in any form of ISO 8601, kept to the second as Salesforce does.
pub(crate) fn parse_moment(text: &str) -> Option<OffsetDateTime> {
    let moment = OffsetDateTime::parse(text, &Iso8601::DEFAULT).ok()?;
    moment.to_offset(UtcOffset::UTC).replace_nanosecond(0).ok()
}

/// The text inside a JSON string; `None` when it is something else.
pub(crate) fn string(raw: &RawValue) -> Option<Cow<'_, str>> {
    let inner = raw.get().strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        serde_json::from_str(raw.get()).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inner))
    }
}

fn wrong_type(field: &Field, raw: &RawValue) -> Refusal {
    let value = string(raw).unwrap_or(Cow::Borrowed(raw.get()));
    let message = format!("{}: value not of required type: {value}", field.label);
    Refusal::new("INVALID_TYPE_ON_FIELD_IN_RECORD", message).fields([field.name.as_str()])
}

fn out_of_range(field: &Field, text: &str) -> Refusal {
    let message = format!(
        "{}: value outside of valid range on numeric field: {text}",
        field.label
    );
    Refusal::new("NUMBER_OUTSIDE_VALID_RANGE", message).fields([field.name.as_str()])
}

fn not_deserialized(kind: &str, text: &str) -> Refusal {
    Refusal::bad_json(format!(
        "Cannot deserialize instance of {kind} from VALUE_STRING value {text} or request may be missing a required field"
    ))
}

/// Prints a text as JSON.
pub(crate) fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let plain = |byte: &u8| *byte >= 0x20 && !matches!(byte, b'"' | b'\\');
    if text.as_bytes().iter().all(plain) {
        out.extend_from_slice(text.as_bytes());
    } else {
        let escaped = serde_json::Value::from(text).to_string();
        out.extend_from_slice(&escaped.as_bytes()[1..escaped.len() - 1]);
    }
    out.push(b'"');
}

/// Prints a number as Salesforce prints a double: always with a fraction,
/// without zeros at its end.
pub(crate) fn write_double(number: Decimal, out: &mut Vec<u8>) {
    let number = number.normalize();
    out.extend_from_slice(number.array_string().as_ref().as_bytes());
    if number.scale() == 0 {
        out.extend_from_slice(b".0");
    }
}

/// Prints a moment the way only Salesforce does: milliseconds, and an offset
/// without its colon.
pub(crate) fn write_moment(moment: OffsetDateTime, out: &mut Vec<u8>) {
    let (year, month, day) = moment.to_calendar_date();
    let (hour, minute, second) = moment.to_hms();
    let month = u8::from(month);
    let text =
        format!("\"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.000+0000\"");
    out.extend_from_slice(text.as_bytes());
}

/// Prints a date.
pub(crate) fn write_date(date: Date, out: &mut Vec<u8>) {
    let (year, month, day) = date.to_calendar_date();
    out.extend_from_slice(format!("\"{year:04}-{:02}-{day:02}\"", u8::from(month)).as_bytes());
}
