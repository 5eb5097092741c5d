//! JSON that Postgres printed, handed on digit by digit: a number of a bill is
//! not to pass through binary floating point.

use serde::{Serialize as _, Serializer};
use serde_json::value::RawValue;

/// A text that holds JSON, as that JSON.
pub(super) fn json<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    let raw: &RawValue = serde_json::from_str(text).map_err(serde::ser::Error::custom)?;
    raw.serialize(serializer)
}

/// The same, or null.
#[expect(clippy::ref_option, reason = "serde hands a field over by reference")]
pub(super) fn optional_json<S: Serializer>(
    text: &Option<String>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match text {
        Some(text) => json(text, serializer),
        None => serializer.serialize_none(),
    }
}
