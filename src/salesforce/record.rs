//! A record on its way to Salesforce: the app's fields, untouched, between
//! those that are ours.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::error::RecordError;
use super::names::Names;

/// A usage record as the app wants it.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// Its external id, unique in Salesforce.
    pub external_id: &'a str,
    /// The fencing token; not sent when the org has no field for it.
    pub revision: Option<i64>,
    /// A JSON object of fields, sent byte for byte: a number keeps its digits.
    pub fields: &'a RawValue,
}

/// Where the record goes: what a URL says already must not be said again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// A list of records: type and external id stand in each of them
    /// (REST API Developer Guide, "Upsert Multiple Records").
    Collection,
    /// A new row: the type stands in the URL.
    NewRow,
    /// The row of that external id, which then must not stand in the body
    /// (REST API Developer Guide, "Insert or Update (Upsert) a Record Using an
    /// External ID").
    Row,
}

impl Record<'_> {
    /// The record as JSON, or why it cannot be one.
    ///
    /// Text is put together, not values: a number that passes through a value
    /// of ours could lose digits that somebody bills by.
    pub(super) fn to_json(self, names: &Names, target: Target) -> Result<String, RecordError> {
        let members = self.members(names)?;
        let mut json = String::with_capacity(members.len() + 160);
        json.push('{');
        if target == Target::Collection {
            push(
                &mut json,
                "attributes",
                &serde_json::json!({ "type": names.object }),
            );
        }
        if target != Target::Row {
            push(
                &mut json,
                &names.external_id,
                &Value::from(self.external_id),
            );
        }
        if let (Some(field), Some(revision)) = (&names.revision, self.revision) {
            push(&mut json, field, &Value::from(revision));
        }
        if members.is_empty() {
            json.truncate(json.trim_end_matches(',').len());
        }
        json.push_str(members);
        json.push('}');
        Ok(json)
    }

    /// The text between the braces of `fields`.
    fn members(&self, names: &Names) -> Result<&str, RecordError> {
        let unusable = |what: &str| Err(RecordError::unusable(what));
        let Ok(Keys(keys)) = serde_json::from_str(self.fields.get()) else {
            return unusable("the fields of a record must be a JSON object");
        };
        let ours = ["attributes", "Id", &names.external_id].into_iter();
        let mut ours = ours.chain(names.revision.as_deref());
        // Salesforce does not mind the case of field names.
        if let Some(key) = ours.find(|ours| keys.iter().any(|key| key.eq_ignore_ascii_case(ours))) {
            return unusable(&format!("{key} must not be among the fields of a record"));
        }
        let object = self.fields.get().trim();
        Ok(object
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'))
            .unwrap_or_default()
            .trim())
    }
}

/// Puts a member and a comma at the end.
fn push(json: &mut String, name: &str, value: &Value) {
    json.push_str(&Value::from(name).to_string());
    json.push(':');
    json.push_str(&value.to_string());
    json.push(',');
}

/// The names of an object's members; the values are skipped.
struct Keys<'a>(Vec<Cow<'a, str>>);

impl<'de> Deserialize<'de> for Keys<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Keys<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut keys = Vec::new();
                while let Some((key, IgnoredAny)) = map.next_entry()? {
                    keys.push(key);
                }
                Ok(Keys(keys))
            }
        }

        deserializer.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(fields: &str, target: Target) -> Result<String, RecordError> {
        let names = Names {
            object: "Usage__c".to_owned(),
            external_id: "External_Id__c".to_owned(),
            revision: Some("Revision__c".to_owned()),
        };
        let fields = RawValue::from_string(fields.to_owned()).unwrap();
        let record = Record {
            external_id: "7:\"small\"",
            revision: Some(12),
            fields: &fields,
        };
        record.to_json(&names, target)
    }

    #[test]
    fn the_fields_stand_in_the_record_as_they_were() {
        let fields =
            r#"{"Quantity__c": 0.10, "Note__c": "a\u0041,}", "Big__c":12345678901234567.8}"#;
        let members = &fields[1..fields.len() - 1];

        assert_eq!(
            json(fields, Target::Collection).unwrap(),
            format!(
                r#"{{"attributes":{{"type":"Usage__c"}},"External_Id__c":"7:\"small\"","Revision__c":12,{members}}}"#
            )
        );
        assert_eq!(
            json(fields, Target::Row).unwrap(),
            format!(r#"{{"Revision__c":12,{members}}}"#)
        );
    }

    #[test]
    fn a_record_without_fields_is_one_all_the_same() {
        for empty in ["{}", " { } "] {
            assert_eq!(json(empty, Target::Row).unwrap(), r#"{"Revision__c":12}"#);
        }
    }

    #[test]
    fn what_would_contradict_us_is_refused() {
        for fields in [
            "null",
            "[]",
            "7",
            r#"{"Id":"a01"}"#,
            r#"{"Quantity__c":1,"external_ID__c":"8:small"}"#,
            r#"{"Revision__c":99}"#,
            r#"{"attributes":{"type":"Account"}}"#,
            r#"{"\u0049d":"a01"}"#,
        ] {
            let error = json(fields, Target::Collection).unwrap_err();
            assert_eq!(error.code, "UNUSABLE_FIELDS", "{fields}");
        }
    }
}
