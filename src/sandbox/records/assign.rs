//! Reading the fields of a request into the values of a row.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::super::id::Id;
use super::super::input::Input;
use super::super::org::Session;
use super::super::refusal::Refusal;
use super::super::schema::{Column, Field, Kind, Object};
use super::super::store::Key;
use super::super::value::{self, Value};
use super::Unmatched;

impl Session<'_> {
    /// Sets every named field; `old` are the values before an update.
    pub(super) fn assign(
        &self,
        object: usize,
        input: &Input<'_>,
        values: &mut [Value],
        old: Option<&[Value]>,
    ) -> Result<(), Refusal> {
        let definition = &self.schema.objects[object];
        for (name, raw) in &input.fields {
            match definition.column(name) {
                Some(Column::Field(index)) if self.schema.sees(self.user, object, index) => {
                    let field = &definition.fields[index];
                    values[index] = self.read_field(field, raw)?;
                    check_parent(field, &values[index], old.map(|old| &old[index]))?;
                }
                Some(Column::Id) => {}
                Some(Column::Field(_)) => return Err(no_such_column(definition, name)),
                Some(system) => return Err(read_only(definition.column_name(system))),
                None => {
                    let (index, target) = definition
                        .relationship(name)
                        .ok_or_else(|| no_such_column(definition, name))?;
                    let field = &definition.fields[index];
                    if input.get(&field.name).is_some() {
                        return Err(specified_twice(name, &field.name));
                    }
                    values[index] = self.read_relationship(target, raw)?;
                    check_parent(field, &values[index], old.map(|old| &old[index]))?;
                }
            }
        }
        Ok(())
    }

    fn read_field(&self, field: &Field, raw: &RawValue) -> Result<Value, Refusal> {
        if !field.is_writable() {
            return Err(read_only(&field.name));
        }
        let Kind::Reference { target, .. } = field.kind else {
            return value::read(field, raw);
        };
        let text = value::string(raw).unwrap_or(Cow::Borrowed(raw.get()));
        if raw.get() == "null" || text.trim().is_empty() {
            return Ok(Value::Null);
        }
        let id = Id::parse(text.trim()).filter(|id| self.schema.object_of(*id) == Some(target));
        let id = id.ok_or_else(|| {
            let message = format!("{}: id value of incorrect type: {text}", field.label);
            Refusal::new("MALFORMED_ID", message).fields([field.name.as_str()])
        })?;
        Ok(Value::Reference(self.by_id(target, id)?.row))
    }

    /// `"Contract_Product__r": {"External_Id__c": "…"}`.
    fn read_relationship(&self, target: usize, raw: &RawValue) -> Result<Value, Refusal> {
        if raw.get() == "null" {
            return Ok(Value::Null);
        }
        let parent = &self.schema.objects[target];
        let input: Input<'_> = serde_json::from_str(raw.get())
            .map_err(|_form| Refusal::bad_json("Cannot deserialize a reference to a record"))
            .map_err(|refusal| refusal.fields([]))?;
        let [(name, key)] = input.fields.as_slice() else {
            let message = "Only one external ID field may be specified in a reference to a record";
            return Err(Refusal::new("INVALID_FIELD", message).fields([]));
        };
        let Some(Column::Field(field)) = parent.column(name).filter(|column| match column {
            Column::Field(index) => parent.fields[*index].is_key(),
            _ => false,
        }) else {
            let message = format!(
                "Field name provided, {name} is not an External ID or indexed field for {}",
                parent.name
            );
            return Err(Refusal::new("INVALID_FIELD", message).fields([]));
        };
        let text = value::string(key).unwrap_or(Cow::Borrowed(key.get()));
        match self.by_key_field(target, field, &text) {
            Ok(Key { row, .. }) => Ok(Value::Reference(row)),
            Err(Unmatched::Many(keys)) => Err(self.several_matches(&parent.fields[field], &keys)),
            Err(Unmatched::None) => {
                let message = format!(
                    "Foreign key external ID: {text} not found for field {} in entity {}",
                    parent.fields[field].name, parent.name
                );
                Err(Refusal::new("INVALID_FIELD", message).fields([]))
            }
        }
    }
}

/// A detail stays with its master unless the field allows it to move.
fn check_parent(field: &Field, new: &Value, old: Option<&Value>) -> Result<(), Refusal> {
    match (&field.kind, old) {
        (
            Kind::Reference {
                master: true,
                reparentable: false,
                ..
            },
            Some(old),
        ) if old != new => Err(Refusal::new(
            "INVALID_FIELD_FOR_INSERT_UPDATE",
            security_settings(&field.name),
        )
        .fields([field.name.as_str()])),
        _ => Ok(()),
    }
}

fn no_such_column(object: &Object, name: &str) -> Refusal {
    Refusal::new(
        "INVALID_FIELD",
        format!("No such column '{name}' on sobject of type {}", object.name),
    )
}

fn specified_twice(relationship: &str, field: &str) -> Refusal {
    let message = format!(
        "Cannot specify both an external ID reference {relationship} and a salesforce id, {field}"
    );
    Refusal::new("INVALID_FIELD", message).fields([])
}

fn read_only(field: &str) -> Refusal {
    Refusal::new("INVALID_FIELD_FOR_INSERT_UPDATE", security_settings(field)).fields([field])
}

fn security_settings(field: &str) -> String {
    format!(
        "Unable to create/update fields: {field}. Please check the security settings of this field and verify that \
         it is read/write for your profile or permission set."
    )
}
