//! Does a record in Salesforce hold what it was told? Pure.
//!
//! Values are compared as the org holds them, not as they were written: numbers
//! by value, text without the blanks around it, moments whatever their zone.
//! What is not known to be equal is different: that costs a report too many,
//! which changes nothing, and never hides one that is missing. A number with
//! more decimals than its field has is such a case: the org rounds it.

use std::{cmp::Ordering, collections::BTreeMap};

use serde_json::{Number, Value};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    plan::{members, vanishing},
    salesforce::{Fields, id::to_18, soql::is_name},
};

/// What a record should hold, field by field.
#[derive(Debug, Clone, PartialEq)]
pub struct Expectation {
    /// The field, or the path to a field of the parent, and its value.
    values: BTreeMap<String, Value>,
}

impl Expectation {
    /// What a record should hold that was told these fields, where requests
    /// may have set those of `blank`, too. `None` where no query can tell: a
    /// name that is none, or a value that no field has.
    pub fn new(told: &str, blank: &str) -> Option<Self> {
        let told_values = members(told)?;
        let mut values = BTreeMap::new();
        for (name, value) in &told_values {
            match serde_json::from_str(value.get()).ok()? {
                Value::Array(_) => return None,
                // The parent, by one of its fields.
                Value::Object(parent) => {
                    let named = parent.into_iter().filter(|(sub, _)| sub != "attributes");
                    values.extend(named.map(|(sub, value)| (format!("{name}.{sub}"), value)));
                }
                // No parent, whatever it would have been named by.
                Value::Null => {
                    let own = name.strip_suffix("__r").map(|stem| format!("{stem}__c"));
                    values.insert(own.unwrap_or_else(|| name.clone()), Value::Null);
                }
                value => {
                    values.insert(name.clone(), value);
                }
            }
        }
        let cleared = vanishing(&told_values, blank).into_iter();
        values.extend(cleared.map(|name| (name, Value::Null)));
        values
            .keys()
            .all(|name| is_name(name))
            .then_some(Self { values })
    }

    /// What has to be asked for, in order.
    pub fn columns(&self) -> Vec<String> {
        self.values.keys().cloned().collect()
    }

    /// Whether the record holds all of it.
    pub fn is_met_by(&self, fields: &Fields) -> bool {
        self.values.iter().all(|(path, expected)| {
            found(fields, path).is_some_and(|found| is_same(expected, &found))
        })
    }
}

/// The value at a path; that of a parent that is not there is null. Salesforce
/// answers with its own spelling of the names.
fn found(fields: &Fields, path: &str) -> Option<Value> {
    let (name, rest) = match path.split_once('.') {
        Some((name, rest)) => (name, Some(rest)),
        None => (path, None),
    };
    let (_, value) = fields
        .iter()
        .find(|(key, _)| key.eq_ignore_ascii_case(name))?;
    let Some(rest) = rest else {
        return serde_json::from_str(value.get()).ok();
    };
    let parent: Option<Fields> = serde_json::from_str(value.get()).ok()?;
    match parent {
        Some(parent) => found(&parent, rest),
        None => Some(Value::Null),
    }
}

fn is_same(told: &Value, held: &Value) -> bool {
    match (told, held) {
        _ if is_empty(told) || is_empty(held) => is_empty(told) && is_empty(held),
        (Value::Bool(told), Value::Bool(held)) => told == held,
        (Value::String(told), Value::Bool(held)) => {
            told.trim().eq_ignore_ascii_case(&held.to_string())
        }
        // Salesforce holds and prints numbers as doubles (SOAP API Developer
        // Guide, "Primitive Data Types").
        (Value::Number(told), Value::Number(held)) => is_same_number(told.as_f64(), held),
        (Value::String(told), Value::Number(held)) => {
            is_same_number(told.trim().parse().ok(), held)
        }
        (Value::Number(told), Value::String(held)) => told.to_string() == *held,
        (Value::String(told), Value::String(held)) => is_same_text(told.trim(), held.trim()),
        _ => false,
    }
}

/// An empty text is no text to Salesforce.
fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_str().is_some_and(|text| text.trim().is_empty())
}

fn is_same_number(told: Option<f64>, held: &Number) -> bool {
    let order = told
        .zip(held.as_f64())
        .and_then(|(told, held)| told.partial_cmp(&held));
    order.is_some_and(Ordering::is_eq)
}

fn is_same_text(told: &str, held: &str) -> bool {
    told == held
        || moment(told).is_some_and(|told| moment(held) == Some(told))
        || to_18(told).is_some_and(|told| to_18(held) == Some(told))
}

/// A moment, to the second, as Salesforce keeps it. It prints the offset
/// without a colon.
fn moment(text: &str) -> Option<i64> {
    let (head, offset) = text.split_at_checked(text.len().checked_sub(5)?)?;
    let bare = offset.starts_with(['+', '-']) && offset[1..].bytes().all(|b| b.is_ascii_digit());
    let moment = if bare {
        OffsetDateTime::parse(
            &format!("{head}{}:{}", &offset[..3], &offset[3..]),
            &Rfc3339,
        )
    } else {
        OffsetDateTime::parse(text, &Rfc3339)
    };
    moment.ok().map(OffsetDateTime::unix_timestamp)
}

#[cfg(test)]
mod tests;
