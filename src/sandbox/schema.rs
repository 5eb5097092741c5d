//! What the org looks like: objects, fields, rules and rights. Nothing else in
//! the sandbox knows the name of an object.
//!
//! The shipped org is what `schema.json` says of Salesforce's own objects and
//! of the users, and what `salesforce/` adds to it: the same files that an
//! admin deploys. A test may bring a whole org in the form of `schema.json`.
//! Names that lead nowhere are refused when it is read, so the rest works with
//! plain indexes.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::id::Id;

mod change;
mod link;
mod package;

pub use package::Error as PackageError;

const STANDARD: &str = include_str!("schema.json");

/// Why a schema cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is no JSON, or not of the schema's form.
    #[error("the schema is not of the expected form")]
    Form(#[source] serde_json::Error),
    /// A name in it leads nowhere.
    #[error("the schema names {0}, which it does not have")]
    Name(String),
    /// A file of the Salesforce package is not what the sandbox can act like.
    #[error("salesforce/{file} cannot be read")]
    Package {
        /// Its path below `salesforce/`.
        file: String,
        /// What is wrong with it.
        #[source]
        source: PackageError,
    },
}

/// The whole org.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schema {
    pub(crate) objects: Vec<Object>,
    pub(crate) rules: Vec<Rule>,
    pub(crate) users: Vec<User>,
    #[serde(skip)]
    by_name: HashMap<String, usize>,
    #[serde(skip)]
    pub(crate) roll_ups: Vec<RollUp>,
}

/// One kind of record.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Object {
    pub(crate) name: String,
    pub(crate) label: String,
    pub(crate) plural: String,
    pub(crate) prefix: String,
    pub(crate) fields: Vec<Field>,
    #[serde(skip)]
    columns: HashMap<String, Column>,
}

/// A column of an object: one that every object has, or a field of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Column {
    Id,
    IsDeleted,
    CreatedDate,
    LastModifiedDate,
    SystemModstamp,
    Field(usize),
}

/// The columns that every object has.
pub(crate) const SYSTEM_COLUMNS: [(&str, Column); 5] = [
    ("Id", Column::Id),
    ("IsDeleted", Column::IsDeleted),
    ("CreatedDate", Column::CreatedDate),
    ("LastModifiedDate", Column::LastModifiedDate),
    ("SystemModstamp", Column::SystemModstamp),
];

/// One field.
#[derive(Debug, Clone, Deserialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are Salesforce's own flags of a field, each on its own"
)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) label: String,
    #[serde(flatten)]
    pub(crate) kind: Kind,
    #[serde(default)]
    pub(crate) required: bool,
    #[serde(default)]
    pub(crate) unique: bool,
    #[serde(default)]
    pub(crate) external_id: bool,
    #[serde(default)]
    pub(crate) id_lookup: bool,
    #[serde(default)]
    pub(crate) case_sensitive: bool,
}

/// What a field holds.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Kind {
    Text {
        length: usize,
    },
    Number {
        precision: u32,
        scale: u32,
    },
    Currency {
        precision: u32,
        scale: u32,
    },
    Checkbox,
    Date,
    Datetime,
    Picklist {
        values: Vec<String>,
        default: Option<String>,
    },
    Reference {
        to: String,
        relationship: String,
        children: String,
        /// Master-detail: the child dies with its parent.
        #[serde(default)]
        master: bool,
        #[serde(default)]
        reparentable: bool,
        #[serde(skip)]
        target: usize,
    },
    Autonumber {
        /// Zeros in braces stand for the number: `U-{0000}`.
        format: String,
        #[serde(default = "one")]
        start: u64,
    },
    RollUp {
        child: String,
        foreign_key: String,
        operation: Operation,
        /// What is added up; a count has none.
        field: Option<String>,
    },
    /// One field less another, blanks as zero.
    Formula {
        minuend: String,
        subtrahend: String,
        #[serde(skip)]
        terms: (usize, usize),
    },
}

fn one() -> u64 {
    1
}

/// What a roll-up does with the values of the children.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Operation {
    Count,
    Sum,
    Min,
    Max,
}

/// A roll-up with its names turned into indexes.
#[derive(Debug, Clone)]
pub(crate) struct RollUp {
    pub(crate) parent: usize,
    pub(crate) field: usize,
    pub(crate) child: usize,
    pub(crate) foreign_key: usize,
    pub(crate) operation: Operation,
    pub(crate) summed: Option<usize>,
}

/// A rule that refuses writes, as an admin would set it up.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Rule {
    pub(crate) name: String,
    object: String,
    #[serde(skip)]
    pub(crate) on: usize,
    #[serde(flatten)]
    pub(crate) kind: RuleKind,
    pub(crate) message: String,
    pub(crate) error_field: Option<String>,
    #[serde(default = "yes")]
    pub(crate) active: bool,
}

fn yes() -> bool {
    true
}

/// What a rule looks at.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum RuleKind {
    /// An update may not lower this number.
    NotOlder {
        field: String,
        #[serde(skip)]
        index: usize,
    },
    /// No insert, update or delete below an ancestor in this state.
    LockedByAncestor {
        path: Vec<String>,
        field: String,
        value: String,
        /// An update that changes nothing but these passes.
        unless_only: Vec<String>,
        /// Who has this custom permission passes.
        unless_permission: String,
        #[serde(skip)]
        steps: Vec<(usize, usize)>,
        #[serde(skip)]
        status: usize,
        #[serde(skip)]
        ignored: Vec<usize>,
    },
}

/// Somebody who may log in.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct User {
    pub(crate) username: String,
    #[serde(default)]
    pub(crate) all_rights: bool,
    #[serde(default)]
    pub(crate) permissions: HashSet<String>,
    #[serde(default)]
    rights: HashMap<String, HashSet<Right>>,
    /// Names of what the package grants; none is left once it was read.
    #[serde(default)]
    permission_sets: Vec<String>,
    /// Fields that this user cannot see, as (object, field).
    #[serde(skip)]
    hidden: HashSet<(usize, usize)>,
}

/// What a user may do with the records of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Right {
    Create,
    Read,
    Edit,
    Delete,
}

impl Schema {
    /// The org that `salesforce/` deploys.
    pub fn shipped() -> Result<Self, Error> {
        let mut schema = Self::read(STANDARD)?;
        package::install(&mut schema, package::FILES)?;
        schema.link()
    }

    /// Reads a schema and checks every name in it.
    pub fn parse(text: &str) -> Result<Self, Error> {
        Self::read(text)?.link()
    }

    fn read(text: &str) -> Result<Self, Error> {
        serde_json::from_str(text).map_err(Error::Form)
    }

    fn link(mut self) -> Result<Self, Error> {
        for (index, object) in self.objects.iter_mut().enumerate() {
            self.by_name.insert(object.name.to_ascii_lowercase(), index);
            object.index_columns();
        }
        self.link_fields()?;
        self.link_rules()?;
        for user in &self.users {
            for object in user.rights.keys() {
                self.find(object)?;
            }
            if let Some(set) = user.permission_sets.first() {
                return Err(Error::Name(format!("permission set {set}")));
            }
        }
        Ok(self)
    }

    fn find(&self, object: &str) -> Result<usize, Error> {
        self.object(object)
            .ok_or_else(|| Error::Name(object.to_owned()))
    }

    fn find_field(&self, object: usize, field: &str) -> Result<usize, Error> {
        let object = &self.objects[object];
        match object.column(field) {
            Some(Column::Field(index)) => Ok(index),
            _ => Err(Error::Name(format!("{}.{field}", object.name))),
        }
    }

    /// The index of an object, its name in any case.
    pub(crate) fn object(&self, name: &str) -> Option<usize> {
        self.by_name.get(&name.to_ascii_lowercase()).copied()
    }

    /// The object that an id belongs to.
    pub(crate) fn object_of(&self, id: Id) -> Option<usize> {
        self.objects
            .iter()
            .position(|object| object.prefix == id.prefix())
    }

    /// The fields of `child` that refer to `parent`, with the name that the
    /// parent knows the children by.
    pub(crate) fn children_of(&self, parent: usize) -> impl Iterator<Item = (usize, usize, &str)> {
        self.objects
            .iter()
            .enumerate()
            .flat_map(move |(child, object)| {
                object
                    .fields
                    .iter()
                    .enumerate()
                    .filter_map(move |(index, field)| match &field.kind {
                        Kind::Reference {
                            target, children, ..
                        } if *target == parent => Some((child, index, children.as_str())),
                        _ => None,
                    })
            })
    }
}

impl Object {
    fn index_columns(&mut self) {
        let own = self
            .fields
            .iter()
            .enumerate()
            .map(|(index, field)| (field.name.as_str(), Column::Field(index)));
        for (name, column) in SYSTEM_COLUMNS.into_iter().chain(own) {
            // Both spellings, so that the usual one is found without a copy.
            self.columns.insert(name.to_ascii_lowercase(), column);
            self.columns.insert(name.to_owned(), column);
        }
    }

    /// The column of this name, in any case.
    pub(crate) fn column(&self, name: &str) -> Option<Column> {
        self.columns
            .get(name)
            .or_else(|| self.columns.get(&name.to_ascii_lowercase()))
            .copied()
    }

    /// The name of a column in its own spelling.
    pub(crate) fn column_name(&self, column: Column) -> &str {
        match column {
            Column::Field(index) => &self.fields[index].name,
            system => SYSTEM_COLUMNS
                .iter()
                .find(|(_, column)| *column == system)
                .map_or("", |(name, _)| name),
        }
    }

    /// The reference that is followed under this relationship's name.
    pub(crate) fn relationship(&self, name: &str) -> Option<(usize, usize)> {
        self.fields
            .iter()
            .enumerate()
            .find_map(|(index, field)| match &field.kind {
                Kind::Reference {
                    relationship,
                    target,
                    ..
                } if relationship.eq_ignore_ascii_case(name) => Some((index, *target)),
                _ => None,
            })
    }

    /// All columns in the order in which a whole row is printed.
    pub(crate) fn all_columns(&self) -> impl Iterator<Item = Column> {
        SYSTEM_COLUMNS
            .iter()
            .map(|(_, column)| *column)
            .chain((0..self.fields.len()).map(Column::Field))
    }
}

impl Field {
    /// Whether rows are looked up by this field.
    pub(crate) fn is_key(&self) -> bool {
        self.external_id || self.id_lookup
    }

    /// Whether an index keeps its values apart.
    pub(crate) fn is_indexed(&self) -> bool {
        self.unique || matches!(self.kind, Kind::Autonumber { .. })
    }

    /// Whether a write may name it.
    pub(crate) fn is_writable(&self) -> bool {
        !matches!(
            self.kind,
            Kind::Autonumber { .. } | Kind::RollUp { .. } | Kind::Formula { .. }
        )
    }

    /// The form in which two values of this field are compared.
    pub(crate) fn fold<'a>(&self, text: &'a str) -> std::borrow::Cow<'a, str> {
        if self.case_sensitive {
            text.into()
        } else {
            text.to_lowercase().into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_schema_is_sound() {
        let schema = Schema::shipped().unwrap();

        assert_eq!(schema.roll_ups.len(), 1);
        assert!(schema.object("USAGE__C").is_some());
    }

    #[test]
    fn a_name_that_leads_nowhere_is_refused() {
        for (good, bad) in [
            ("\"to\": \"Account\"", "\"to\": \"Customer\""),
            ("Usage_Sync", "Usage_Sink"),
        ] {
            assert!(STANDARD.contains(good), "{good}");
            let mut schema = Schema::read(&STANDARD.replace(good, bad)).unwrap();
            package::install(&mut schema, package::FILES).unwrap();
            assert!(matches!(schema.link(), Err(Error::Name(_))), "{bad}");
        }
    }
}
