//! Creating, updating, upserting and deleting one record, as one user, with
//! everything that Salesforce checks on the way.
//!
//! The order is Salesforce's: rights, values, required fields, locks, rules,
//! uniqueness. A record that is refused leaves no trace.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::id::Id;
use super::input::Input;
use super::org::Session;
use super::refusal::Refusal;
use super::schema::{Column, Field, Kind, Object, Right};
use super::store::Key;
use super::value::{self, Value};

mod assign;
mod rules;

/// What an upsert did.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Upserted {
    pub(crate) key: Key,
    pub(crate) created: bool,
}

/// Why there is not one row for an external id.
#[derive(Debug)]
pub(crate) enum Unmatched {
    None,
    Many(Vec<Key>),
}

/// One change of a record, as the rules see it.
#[derive(Clone, Copy)]
struct Change<'v> {
    object: usize,
    key: Option<Key>,
    old: Option<&'v [Value]>,
    new: Option<&'v [Value]>,
}

impl Session<'_> {
    /// The id of a row.
    pub(crate) fn id(&self, key: Key) -> Id {
        Id::new(&self.schema.objects[key.object].prefix, key.row)
    }

    /// Fails unless the user may see the object at all.
    pub(crate) fn readable(&self, name: &str) -> Result<usize, Refusal> {
        let object = self.schema.object(name).ok_or_else(Refusal::not_found)?;
        if self.schema.may(self.user, Right::Read, object) {
            Ok(object)
        } else {
            Err(Refusal::not_found())
        }
    }

    /// The key field of this name, by which rows may be looked up.
    pub(crate) fn key_field(&self, object: usize, name: &str) -> Result<usize, Refusal> {
        let found = &self.schema.objects[object];
        match found.column(name) {
            Some(Column::Field(index))
                if found.fields[index].is_key() && self.schema.sees(self.user, object, index) =>
            {
                Ok(index)
            }
            _ => Err(Refusal::new(
                "NOT_FOUND",
                format!("Provided external ID field does not exist or is not accessible: {name}"),
            )
            .status(404)),
        }
    }

    /// The one live row with this value in a key field.
    pub(crate) fn by_key_field(
        &self,
        object: usize,
        field: usize,
        text: &str,
    ) -> Result<Key, Unmatched> {
        let definition = &self.schema.objects[object].fields[field];
        let folded = definition.fold(text.trim());
        if definition.is_indexed() {
            return self
                .org
                .store
                .by_unique(object, field, &folded)
                .ok_or(Unmatched::None);
        }
        let same = |key: &Key| {
            let row = self.org.store.live(*key);
            row.and_then(|row| row.values[field].text())
                .is_some_and(|text| definition.fold(text) == folded)
        };
        let all = (0..self.org.store.len(object)).map(|row| Key { object, row });
        let mut matches: Vec<Key> = all.filter(same).collect();
        match matches.len() {
            0 => Err(Unmatched::None),
            1 => Ok(matches.remove(0)),
            _ => Err(Unmatched::Many(matches)),
        }
    }

    /// The live row of an id that is known to be of this object.
    pub(crate) fn by_id(&self, object: usize, id: Id) -> Result<Key, Refusal> {
        let key = id.row().map(|row| Key { object, row });
        let row = key
            .and_then(|key| self.org.store.row(key))
            .ok_or_else(Refusal::no_such_id)?;
        if row.deleted {
            Err(Refusal::deleted())
        } else {
            key.ok_or_else(Refusal::no_such_id)
        }
    }

    /// Adds a record.
    pub(crate) fn create(&mut self, object: usize, input: &Input<'_>) -> Result<Key, Refusal> {
        self.written += 1;
        let schema = std::sync::Arc::clone(&self.schema);
        let definition = &schema.objects[object];
        if !schema.may(self.user, Right::Create, object) {
            return Err(Refusal::no_right());
        }
        if input.get("Id").is_some_and(|raw| raw.get() != "null") {
            return Err(Refusal::new(
                "INVALID_FIELD",
                "The Id field should not be specified in the sobject data.",
            ));
        }
        let mut values = vec![Value::Null; definition.fields.len()].into_boxed_slice();
        self.assign(object, input, &mut values, None)?;
        self.number_and_default(definition, object, &mut values);
        require(definition, &values)?;
        self.check(Change {
            object,
            key: None,
            old: None,
            new: Some(&values),
        })?;
        self.unique(object, &values, None)?;
        self.tally.created += 1;
        Ok(self.org.store.insert(&schema, object, values, self.now))
    }

    /// Changes the named fields of a record and leaves the others.
    pub(crate) fn update(&mut self, key: Key, input: &Input<'_>) -> Result<(), Refusal> {
        self.written += 1;
        let schema = std::sync::Arc::clone(&self.schema);
        if !schema.may(self.user, Right::Edit, key.object) {
            return Err(Refusal::no_right());
        }
        let old = self
            .org
            .store
            .live(key)
            .ok_or_else(Refusal::deleted)?
            .values
            .clone();
        let mut new = old.clone();
        self.assign(key.object, input, &mut new, Some(&old))?;
        require(&schema.objects[key.object], &new)?;
        self.check(Change {
            object: key.object,
            key: Some(key),
            old: Some(&old),
            new: Some(&new),
        })?;
        self.unique(key.object, &new, Some(key))?;
        self.tally.updated += 1;
        self.org.store.update(&schema, key, new, self.now);
        Ok(())
    }

    /// Updates the row that holds this value in a key field, or creates it.
    pub(crate) fn upsert<'a>(
        &mut self,
        object: usize,
        field: usize,
        key: &'a RawValue,
        mut input: Input<'a>,
    ) -> Result<Upserted, Refusal> {
        let definition = &self.schema.objects[object].fields[field];
        let text = value::string(key).unwrap_or(Cow::Borrowed(key.get()));
        if text.trim().is_empty() || key.get() == "null" {
            self.written += 1;
            return Err(Refusal::new(
                "MISSING_ARGUMENT",
                format!("{} not specified", definition.name),
            )
            .fields([]));
        }
        match self.by_key_field(object, field, &text) {
            Ok(found) => {
                self.update(found, &input)?;
                Ok(Upserted {
                    key: found,
                    created: false,
                })
            }
            Err(Unmatched::None) => {
                if definition.is_writable() {
                    input
                        .fields
                        .push((Cow::Owned(definition.name.clone()), key));
                }
                Ok(Upserted {
                    key: self.create(object, &input)?,
                    created: true,
                })
            }
            Err(Unmatched::Many(keys)) => {
                self.written += 1;
                Err(self.several_matches(definition, &keys))
            }
        }
    }

    fn several_matches(&self, field: &Field, keys: &[Key]) -> Refusal {
        let ids: Vec<String> = keys.iter().map(|key| self.id(*key).to_string()).collect();
        let message = format!(
            "{}: more than one record found for external id field: [{}]",
            field.label,
            ids.join(", ")
        );
        Refusal::new("DUPLICATE_EXTERNAL_ID", message).fields([])
    }

    /// Puts a record into the recycle bin, and its details with it.
    pub(crate) fn delete(&mut self, key: Key) -> Result<(), Refusal> {
        self.written += 1;
        let schema = std::sync::Arc::clone(&self.schema);
        if !schema.may(self.user, Right::Delete, key.object) {
            return Err(Refusal::no_right());
        }
        let old = self
            .org
            .store
            .live(key)
            .ok_or_else(Refusal::deleted)?
            .values
            .clone();
        self.check(Change {
            object: key.object,
            key: Some(key),
            old: Some(&old),
            new: None,
        })?;
        self.tally.deleted += 1;
        self.remove(key)
    }

    /// Deletes details first. Their own rules stay silent: a cascade fires
    /// no triggers.
    fn remove(&mut self, key: Key) -> Result<(), Refusal> {
        let schema = std::sync::Arc::clone(&self.schema);
        for (child, field, _) in schema.children_of(key.object) {
            let rows: Vec<u32> = self.org.store.children(child, field, key.row).collect();
            let master = matches!(
                schema.objects[child].fields[field].kind,
                Kind::Reference { master: true, .. }
            );
            for row in rows {
                let child_key = Key { object: child, row };
                if master {
                    self.remove(child_key)?;
                } else if schema.objects[child].fields[field].required {
                    return Err(self.still_referred_to(key, child));
                } else if let Some(row) = self.org.store.live(child_key) {
                    let mut values = row.values.clone();
                    values[field] = Value::Null;
                    self.org.store.update(&schema, child_key, values, self.now);
                }
            }
        }
        self.org.store.delete(&schema, key, self.now);
        Ok(())
    }

    fn still_referred_to(&self, key: Key, child: usize) -> Refusal {
        let (object, child) = (
            &self.schema.objects[key.object],
            &self.schema.objects[child],
        );
        let message = format!(
            "Your attempt to delete {} could not be completed because it is associated with the following {}",
            object.label,
            child.plural.to_lowercase()
        );
        Refusal::new("DELETE_FAILED", message).fields([])
    }

    /// Fills in what the user does not write: numbers and defaults.
    fn number_and_default(&self, definition: &Object, object: usize, values: &mut [Value]) {
        for (field, value) in definition.fields.iter().zip(values) {
            match &field.kind {
                Kind::Autonumber { format, start } => {
                    *value = Value::Text(
                        autonumber(format, start + u64::from(self.org.store.len(object))).into(),
                    );
                }
                Kind::Picklist {
                    default: Some(default),
                    ..
                } if *value == Value::Null => {
                    *value = Value::Text(default.as_str().into());
                }
                Kind::Checkbox if *value == Value::Null => *value = Value::Flag(false),
                _ => {}
            }
        }
    }

    fn unique(&self, object: usize, values: &[Value], own: Option<Key>) -> Result<(), Refusal> {
        let fields = self.schema.objects[object].fields.iter().enumerate();
        let clashes: Vec<String> = fields
            .filter(|(_, field)| field.unique)
            .filter_map(|(index, field)| {
                let folded = field.fold(values[index].text()?);
                let other = self
                    .org
                    .store
                    .by_unique(object, index, &folded)
                    .filter(|other| Some(*other) != own)?;
                Some(format!(
                    "{} duplicates value on record with id: {}",
                    field.name,
                    self.id(other)
                ))
            })
            .collect();
        if clashes.is_empty() {
            return Ok(());
        }
        Err(Refusal::new(
            "DUPLICATE_VALUE",
            format!("duplicate value found: {}", clashes.join(", ")),
        )
        .fields([]))
    }
}

/// A number in its mask: zeros in braces.
fn autonumber(format: &str, number: u64) -> String {
    match (format.find('{'), format.find('}')) {
        (Some(open), Some(close)) if open < close => {
            let width = close - open - 1;
            format!(
                "{}{number:0width$}{}",
                &format[..open],
                &format[close + 1..]
            )
        }
        _ => format!("{format}{number}"),
    }
}

fn require(object: &Object, values: &[Value]) -> Result<(), Refusal> {
    let fields = object.fields.iter().zip(values);
    let missing: Vec<&str> = fields
        .filter(|(field, value)| field.required && **value == Value::Null)
        .map(|(field, _)| field.name.as_str())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let message = format!("Required fields are missing: [{}]", missing.join(", "));
    Err(Refusal::new("REQUIRED_FIELD_MISSING", message).fields(missing))
}
