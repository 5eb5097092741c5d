//! Answering queries: names are bound to columns once, then rows are found,
//! sorted and cut.

use std::cmp::Ordering;
use std::sync::Arc;

use super::org::Session;
use super::schema::Column;
use super::store::Key;
use super::value::Value;

mod bind;
mod filter;

pub(crate) use bind::bind;

/// A query with its names bound.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) object: usize,
    pub(crate) output: Vec<Output>,
    filter: Option<filter::Test>,
    order: Vec<Sort>,
    limit: Option<usize>,
    offset: usize,
    pub(crate) counting: Option<Counting>,
}

/// A query that counts instead of listing.
#[derive(Debug)]
pub(crate) enum Counting {
    /// `COUNT()`: the total is the answer.
    Rows,
    /// `COUNT(field)`: one row with the number, under an alias or `expr0`.
    Values { path: Path, alias: String },
}

/// One key of a printed record.
#[derive(Debug)]
pub(crate) enum Output {
    Column(Column),
    Parent {
        name: String,
        field: usize,
        target: usize,
        output: Vec<Output>,
    },
    Children {
        name: String,
        field: usize,
        plan: Arc<Plan>,
    },
}

/// A column, perhaps of a parent.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Path {
    /// Reference by reference, with the object that each leads to.
    steps: Vec<(usize, usize)>,
    column: Column,
}

#[derive(Debug)]
struct Sort {
    path: Path,
    descending: bool,
    nulls_last: bool,
}

impl Session<'_> {
    /// The rows that a plan asks for, in its order.
    pub(crate) fn search(&self, plan: &Plan, deleted_too: bool) -> Vec<Key> {
        let found = match plan
            .filter
            .as_ref()
            .and_then(|test| self.candidates(plan.object, test))
        {
            Some(rows) if !deleted_too => rows,
            _ => (0..self.org.store.len(plan.object))
                .map(|row| Key {
                    object: plan.object,
                    row,
                })
                .collect(),
        };
        self.select(plan, found, deleted_too)
    }

    /// The same among the children of one row.
    pub(crate) fn search_children(&self, plan: &Plan, field: usize, parent: u32) -> Vec<Key> {
        let rows = self.org.store.children(plan.object, field, parent);
        self.select(
            plan,
            rows.map(|row| Key {
                object: plan.object,
                row,
            })
            .collect(),
            false,
        )
    }

    fn select(&self, plan: &Plan, mut rows: Vec<Key>, deleted_too: bool) -> Vec<Key> {
        rows.retain(|key| {
            let exists = self
                .org
                .store
                .row(*key)
                .is_some_and(|row| deleted_too || !row.deleted);
            exists
                && plan
                    .filter
                    .as_ref()
                    .is_none_or(|test| self.holds(*key, test))
        });
        if !plan.order.is_empty() {
            rows.sort_by(|one, other| self.compare(plan, *one, *other));
        }
        rows.drain(..plan.offset.min(rows.len()));
        rows.truncate(plan.limit.unwrap_or(usize::MAX));
        rows
    }

    fn compare(&self, plan: &Plan, one: Key, other: Key) -> Ordering {
        let orders = plan.order.iter().map(|sort| {
            let (one, other) = (self.at(one, &sort.path), self.at(other, &sort.path));
            match (one == Value::Null, other == Value::Null) {
                (true, true) => Ordering::Equal,
                (true, false) => {
                    if sort.nulls_last {
                        Ordering::Greater
                    } else {
                        Ordering::Less
                    }
                }
                (false, true) => {
                    if sort.nulls_last {
                        Ordering::Less
                    } else {
                        Ordering::Greater
                    }
                }
                (false, false) => {
                    let order = filter::order(&one, &other).unwrap_or(Ordering::Equal);
                    if sort.descending {
                        order.reverse()
                    } else {
                        order
                    }
                }
            }
        });
        orders
            .into_iter()
            .find(|order| order.is_ne())
            .unwrap_or(Ordering::Equal)
    }

    /// How many rows have a value here.
    pub(crate) fn count_values(&self, rows: &[Key], path: &Path) -> usize {
        rows.iter()
            .filter(|key| self.at(**key, path) != Value::Null)
            .count()
    }

    /// The value at the end of a path; null where a step leads nowhere.
    fn at(&self, key: Key, path: &Path) -> Value {
        let mut key = key;
        for (field, object) in &path.steps {
            match self.org.store.value(key, *field) {
                Value::Reference(row) => {
                    key = Key {
                        object: *object,
                        row: *row,
                    }
                }
                _ => return Value::Null,
            }
        }
        let moment = |seconds| {
            time::OffsetDateTime::from_unix_timestamp(seconds).map_or(Value::Null, Value::Moment)
        };
        match (path.column, self.org.store.row(key)) {
            (_, None) => Value::Null,
            (Column::Id, _) => Value::Text(self.id(key).as_str().into()),
            (Column::IsDeleted, Some(row)) => Value::Flag(row.deleted),
            (Column::CreatedDate, Some(row)) => moment(row.created),
            (Column::LastModifiedDate | Column::SystemModstamp, Some(row)) => moment(row.modified),
            (Column::Field(field), _) => match self.computed(key, field) {
                // Compared as the text that is printed.
                Value::Reference(row) => self.reference_id(key.object, field, row),
                value => value,
            },
        }
    }

    fn reference_id(&self, object: usize, field: usize, row: u32) -> Value {
        match self.schema.objects[object].fields[field].kind {
            super::schema::Kind::Reference { target, .. } => Value::Text(
                self.id(Key {
                    object: target,
                    row,
                })
                .as_str()
                .into(),
            ),
            _ => Value::Null,
        }
    }
}
