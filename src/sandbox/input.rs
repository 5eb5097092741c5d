//! One record as a request carries it: names and raw values, in order,
//! without a tree of JSON in between.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// A JSON object whose values stand as they were sent.
#[derive(Debug, Default)]
pub(crate) struct Input<'a> {
    /// `attributes.type`, where it was given.
    pub(crate) sobject: Option<Cow<'a, str>>,
    pub(crate) fields: Vec<(Cow<'a, str>, &'a RawValue)>,
}

impl<'a> Input<'a> {
    /// Takes a field out, its name in any case.
    pub(crate) fn take(&mut self, name: &str) -> Option<&'a RawValue> {
        let place = self
            .fields
            .iter()
            .position(|(field, _)| field.eq_ignore_ascii_case(name))?;
        Some(self.fields.remove(place).1)
    }

    /// Looks at a field, its name in any case.
    pub(crate) fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.fields
            .iter()
            .find(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, raw)| *raw)
    }
}

/// A key of an object, copied only where it holds an escape.
struct Name<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Name<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;
        impl<'de> Visitor<'de> for NameVisitor {
            type Value = Name<'de>;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a name")
            }
            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(name)))
            }
            fn visit_str<E>(self, name: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(name.to_owned())))
            }
        }
        deserializer.deserialize_str(NameVisitor)
    }
}

#[derive(serde::Deserialize)]
struct Attributes<'a> {
    #[serde(borrow, rename = "type")]
    sobject: Option<Cow<'a, str>>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Input<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InputVisitor;
        impl<'de> Visitor<'de> for InputVisitor {
            type Value = Input<'de>;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a record")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Input<'de>, A::Error> {
                let mut input = Input {
                    sobject: None,
                    fields: Vec::with_capacity(8),
                };
                while let Some(Name(name)) = map.next_key()? {
                    if name == "attributes" {
                        input.sobject = map
                            .next_value::<Option<Attributes<'de>>>()?
                            .and_then(|found| found.sobject);
                    } else {
                        input.fields.push((name, map.next_value()?));
                    }
                }
                Ok(input)
            }
            fn visit_unit<E>(self) -> Result<Input<'de>, E> {
                Ok(Input::default())
            }
        }
        deserializer.deserialize_map(InputVisitor)
    }
}

/// Checks that a text is one JSON value, whatever it holds.
pub(crate) fn is_json(text: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(text).is_ok()
}
