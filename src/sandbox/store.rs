//! The rows: kept in memory, indexed by their unique fields and by their
//! parents, with roll-ups carried along on every change.
//!
//! Every change is noted, so that a transaction can be taken back exactly,
//! ids and numbers included. The store checks nothing: what is allowed is
//! decided before.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::mem;

use rust_decimal::Decimal;

use super::schema::{Field, Kind, Operation, Schema};
use super::value::Value;

/// One row of one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) object: usize,
    pub(crate) row: u32,
}

/// A row's content.
#[derive(Debug)]
pub(crate) struct Row {
    /// In the recycle bin.
    pub(crate) deleted: bool,
    /// Seconds since 1970.
    pub(crate) created: i64,
    pub(crate) modified: i64,
    /// One for each field of the object.
    pub(crate) values: Box<[Value]>,
}

#[derive(Debug, Default)]
struct Table {
    rows: Vec<Row>,
    /// For each field: value → row, where the field is indexed.
    unique: Vec<Option<HashMap<Box<str>, u32>>>,
    /// For each field: parent → its children, where it is a reference.
    children: Vec<Option<HashMap<u32, BTreeSet<u32>>>>,
}

enum Undo {
    Insert(Key),
    Update(Key, Box<[Value]>, i64),
    Delete(Key, i64),
}

/// All rows of the org.
#[derive(Default)]
pub(crate) struct Store {
    tables: Vec<Table>,
    undo: Vec<Undo>,
}

impl Store {
    /// An empty store for these objects.
    pub(crate) fn new(schema: &Schema) -> Self {
        let table = |fields: &[Field]| Table {
            rows: Vec::new(),
            unique: fields
                .iter()
                .map(|field| field.is_indexed().then(HashMap::new))
                .collect(),
            children: fields
                .iter()
                .map(|field| matches!(field.kind, Kind::Reference { .. }).then(HashMap::new))
                .collect(),
        };
        Self {
            tables: schema
                .objects
                .iter()
                .map(|object| table(&object.fields))
                .collect(),
            undo: Vec::new(),
        }
    }

    /// How many rows an object ever had; the next one has this number.
    pub(crate) fn len(&self, object: usize) -> u32 {
        u32::try_from(self.tables[object].rows.len()).unwrap_or(u32::MAX)
    }

    /// A row that exists or existed.
    pub(crate) fn row(&self, key: Key) -> Option<&Row> {
        self.tables[key.object].rows.get(key.row as usize)
    }

    /// A row that exists.
    pub(crate) fn live(&self, key: Key) -> Option<&Row> {
        self.row(key).filter(|row| !row.deleted)
    }

    /// One value of a row; nothing where there is no such row.
    pub(crate) fn value(&self, key: Key, field: usize) -> &Value {
        self.row(key).map_or(&Value::Null, |row| &row.values[field])
    }

    /// The live row that holds this value in an indexed field.
    pub(crate) fn by_unique(&self, object: usize, field: usize, folded: &str) -> Option<Key> {
        let row = *self.tables[object].unique[field].as_ref()?.get(folded)?;
        Some(Key { object, row })
    }

    /// The live children of a row by one reference, oldest first.
    pub(crate) fn children(
        &self,
        object: usize,
        field: usize,
        parent: u32,
    ) -> impl Iterator<Item = u32> {
        let children = self.tables[object].children[field].as_ref();
        children
            .and_then(|children| children.get(&parent))
            .into_iter()
            .flatten()
            .copied()
    }

    /// Where a later [`Store::rollback`] returns to.
    pub(crate) fn mark(&self) -> usize {
        self.undo.len()
    }

    /// Takes back everything since the mark, newest first.
    pub(crate) fn rollback(&mut self, schema: &Schema, mark: usize) {
        for undo in self.undo.split_off(mark).into_iter().rev() {
            match undo {
                Undo::Insert(key) => {
                    self.unlink(schema, key);
                    self.tables[key.object].rows.pop();
                }
                Undo::Update(key, values, modified) => {
                    self.swap(schema, key, values, modified);
                }
                Undo::Delete(key, modified) => {
                    let row = &mut self.tables[key.object].rows[key.row as usize];
                    (row.deleted, row.modified) = (false, modified);
                    self.link(schema, key);
                }
            }
        }
    }

    /// The rows that changed since the last commit, and their values then.
    pub(crate) fn uncommitted(&self) -> Vec<(Key, Option<&[Value]>)> {
        let mut seen = HashSet::new();
        self.undo
            .iter()
            .map(|undo| match undo {
                Undo::Insert(key) => (*key, None),
                Undo::Update(key, values, _) => (*key, Some(&**values)),
                Undo::Delete(key, _) => (*key, self.row(*key).map(|row| &*row.values)),
            })
            .filter(|(key, _)| seen.insert(*key))
            .collect()
    }

    /// Makes everything since the last commit final.
    pub(crate) fn commit(&mut self) {
        self.undo.clear();
    }

    /// Adds a row.
    pub(crate) fn insert(
        &mut self,
        schema: &Schema,
        object: usize,
        values: Box<[Value]>,
        now: i64,
    ) -> Key {
        let key = Key {
            object,
            row: self.len(object),
        };
        self.tables[object].rows.push(Row {
            deleted: false,
            created: now,
            modified: now,
            values,
        });
        for roll_up in schema
            .roll_ups
            .iter()
            .filter(|roll_up| roll_up.parent == object)
        {
            let start = match roll_up.operation {
                Operation::Count | Operation::Sum => Value::Number(Decimal::ZERO),
                Operation::Min | Operation::Max => Value::Null,
            };
            self.tables[object].rows[key.row as usize].values[roll_up.field] = start;
        }
        self.link(schema, key);
        self.undo.push(Undo::Insert(key));
        key
    }

    /// Replaces the values of a row.
    pub(crate) fn update(&mut self, schema: &Schema, key: Key, values: Box<[Value]>, now: i64) {
        let (old, modified) = self.swap(schema, key, values, now);
        self.undo.push(Undo::Update(key, old, modified));
    }

    /// Puts a row into the recycle bin.
    pub(crate) fn delete(&mut self, schema: &Schema, key: Key, now: i64) {
        self.unlink(schema, key);
        let row = &mut self.tables[key.object].rows[key.row as usize];
        row.deleted = true;
        let modified = mem::replace(&mut row.modified, now);
        self.undo.push(Undo::Delete(key, modified));
    }

    fn swap(
        &mut self,
        schema: &Schema,
        key: Key,
        values: Box<[Value]>,
        now: i64,
    ) -> (Box<[Value]>, i64) {
        self.unlink(schema, key);
        let row = &mut self.tables[key.object].rows[key.row as usize];
        let old = mem::replace(&mut row.values, values);
        let modified = mem::replace(&mut row.modified, now);
        self.link(schema, key);
        (old, modified)
    }

    /// Enters a live row into the indexes and its parents' roll-ups.
    fn link(&mut self, schema: &Schema, key: Key) {
        let Table {
            rows,
            unique,
            children,
        } = &mut self.tables[key.object];
        let values = &rows[key.row as usize].values;
        for (index, field) in schema.objects[key.object].fields.iter().enumerate() {
            match (&values[index], &mut unique[index], &mut children[index]) {
                (Value::Text(text), Some(unique), _) => {
                    unique.insert(field.fold(text).into(), key.row);
                }
                (Value::Reference(parent), _, Some(children)) => {
                    children.entry(*parent).or_default().insert(key.row);
                }
                _ => {}
            }
        }
        self.roll_up(schema, key, Decimal::ONE);
    }

    /// The reverse of [`Store::link`].
    fn unlink(&mut self, schema: &Schema, key: Key) {
        let Table {
            rows,
            unique,
            children,
        } = &mut self.tables[key.object];
        let values = &rows[key.row as usize].values;
        for (index, field) in schema.objects[key.object].fields.iter().enumerate() {
            match (&values[index], &mut unique[index], &mut children[index]) {
                (Value::Text(text), Some(unique), _) => {
                    unique.remove(field.fold(text).as_ref());
                }
                (Value::Reference(parent), _, Some(children)) => {
                    if let Some(children) = children.get_mut(parent) {
                        children.remove(&key.row);
                    }
                }
                _ => {}
            }
        }
        self.roll_up(schema, key, Decimal::NEGATIVE_ONE);
    }

    /// Carries one child that came (1) or went (-1) into its parents.
    fn roll_up(&mut self, schema: &Schema, child: Key, sign: Decimal) {
        for roll_up in schema
            .roll_ups
            .iter()
            .filter(|roll_up| roll_up.child == child.object)
        {
            let Value::Reference(row) = *self.value(child, roll_up.foreign_key) else {
                continue;
            };
            let parent = Key {
                object: roll_up.parent,
                row,
            };
            let summed = |row: u32| match roll_up.summed {
                Some(field) => self.value(
                    Key {
                        object: child.object,
                        row,
                    },
                    field,
                ),
                None => &Value::Null,
            };
            let add = |number: Decimal| {
                let before = self.value(parent, roll_up.field).number_or_zero();
                Value::Number(before.checked_add(sign * number).unwrap_or(before))
            };
            let numbers = || {
                self.children(child.object, roll_up.foreign_key, row)
                    .filter_map(|row| match summed(row) {
                        Value::Number(number) => Some(*number),
                        _ => None,
                    })
            };
            let value = match roll_up.operation {
                Operation::Count => add(Decimal::ONE),
                Operation::Sum => add(summed(child.row).number_or_zero()),
                Operation::Min => numbers().min().map_or(Value::Null, Value::Number),
                Operation::Max => numbers().max().map_or(Value::Null, Value::Number),
            };
            if let Some(parent) = self.tables[parent.object].rows.get_mut(parent.row as usize) {
                parent.values[roll_up.field] = value;
            }
        }
    }
}
