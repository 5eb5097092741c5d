//! What anybody could have seen of the org, moment by moment: every committed
//! change of a row, with its values before and after.
//!
//! Off unless asked for, and bounded. A call is one moment, as it is one
//! transaction here; roll-ups follow from rows and are not noted as changes.

use std::collections::VecDeque;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde_json::{Map, Value as Json};

use super::id::Id;
use super::schema::{Kind, Schema};
use super::store::{Key, Store};
use super::value::{self, Value};

/// What one transaction changed.
#[derive(Debug, Clone, Serialize)]
pub struct Moment {
    /// Milliseconds since 1970.
    pub at_ms: u64,
    /// Each row that reads otherwise since then.
    pub changes: Vec<RowChange>,
}

/// One row before and after; nothing where there was or is none.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RowChange {
    /// Its object.
    pub object: String,
    /// Its id.
    pub id: String,
    /// Its fields that had a value; numbers went through binary floating point.
    pub before: Option<Json>,
    /// Its fields that have one.
    pub after: Option<Json>,
}

/// The newest moments.
#[derive(Debug, Default, Serialize)]
pub(crate) struct History {
    /// The most that are kept; none is kept before somebody asks for it.
    #[serde(skip)]
    most: usize,
    /// How many were forgotten, because there were more.
    forgotten: u64,
    moments: VecDeque<Moment>,
}

impl History {
    /// Begins anew, with this much room.
    pub(crate) fn keep(&mut self, most: usize) {
        *self = Self {
            most,
            ..Self::default()
        };
    }

    /// All that is kept, unless some of it was forgotten.
    pub(crate) fn whole(&self) -> Option<Vec<Moment>> {
        (self.forgotten == 0).then(|| self.moments.iter().cloned().collect())
    }

    /// Notes what is about to be committed.
    pub(crate) fn note(&mut self, schema: &Schema, store: &Store) {
        if self.most == 0 {
            return;
        }
        let changes: Vec<RowChange> = store
            .uncommitted()
            .into_iter()
            .filter_map(|(key, before)| change(schema, store, key, before))
            .collect();
        if changes.is_empty() {
            return;
        }
        if self.moments.len() >= self.most {
            self.moments.pop_front();
            self.forgotten += 1;
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let at_ms = now.map_or(0, |since| since.as_millis());
        self.moments.push_back(Moment {
            at_ms: u64::try_from(at_ms).unwrap_or(u64::MAX),
            changes,
        });
    }
}

/// `None` where the row reads as before.
fn change(schema: &Schema, store: &Store, key: Key, before: Option<&[Value]>) -> Option<RowChange> {
    let object = &schema.objects[key.object];
    let before = before.map(|values| fields(schema, key.object, values));
    let after = store.live(key);
    let after = after.map(|row| fields(schema, key.object, &row.values));
    (before != after).then(|| RowChange {
        object: object.name.clone(),
        id: Id::new(&object.prefix, key.row).to_string(),
        before,
        after,
    })
}

fn fields(schema: &Schema, object: usize, values: &[Value]) -> Json {
    let definitions = schema.objects[object].fields.iter();
    let fields: Map<String, Json> = definitions
        .zip(values)
        .filter(|(_, value)| **value != Value::Null)
        .map(|(field, value)| (field.name.clone(), json(schema, &field.kind, value)))
        .collect();
    fields.into()
}

fn json(schema: &Schema, kind: &Kind, value: &Value) -> Json {
    let mut out = Vec::new();
    match (value, kind) {
        (Value::Null, _) => return Json::Null,
        (Value::Text(text), _) => return Json::from(&**text),
        (Value::Flag(flag), _) => return Json::from(*flag),
        (Value::Reference(row), Kind::Reference { target, .. }) => {
            return Id::new(&schema.objects[*target].prefix, *row)
                .to_string()
                .into();
        }
        (Value::Reference(row), _) => return Json::from(*row),
        (Value::Number(number), _) => value::write_double(*number, &mut out),
        (Value::Date(date), _) => value::write_date(*date, &mut out),
        (Value::Moment(moment), _) => value::write_moment(*moment, &mut out),
    }
    serde_json::from_slice(&out).unwrap_or_default()
}
