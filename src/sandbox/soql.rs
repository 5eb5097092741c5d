//! SOQL: what a query means, without saying what it finds.
//!
//! Fields, fields of parents, one level of children, conditions, order and
//! limits. Grouping and functions other than `COUNT` are left out.

use rust_decimal::Decimal;

mod lex;
mod parse;

pub(crate) use parse::parse;

/// A name and where it stands, for messages.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Name {
    /// `Contract__r.Status` in parts.
    pub(crate) parts: Vec<String>,
    pub(crate) at: usize,
}

/// One `SELECT`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Query {
    pub(crate) items: Vec<Item>,
    pub(crate) from: Name,
    pub(crate) filter: Option<Condition>,
    pub(crate) order: Vec<Order>,
    pub(crate) limit: Option<usize>,
    pub(crate) offset: usize,
}

/// One thing that is selected.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Item {
    Field(Name),
    /// `COUNT()`, or `COUNT(field)` with an alias.
    Count(Option<Name>, Option<String>),
    Children(Box<Query>),
}

/// What a row has to fulfil.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Condition {
    And(Vec<Condition>),
    Or(Vec<Condition>),
    Not(Box<Condition>),
    Compare {
        field: Name,
        operator: Operator,
        value: Literal,
    },
    In {
        field: Name,
        negated: bool,
        values: Vec<Literal>,
    },
}

/// How a field and a value are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    Equal,
    NotEqual,
    Less,
    Greater,
    LessOrEqual,
    GreaterOrEqual,
    Like,
}

/// A value as it was written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Literal {
    Null,
    Flag(bool),
    Text(String),
    Number(Decimal),
    Date(time::Date),
    Moment(time::OffsetDateTime),
}

/// One criterion of an order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Order {
    pub(crate) field: Name,
    pub(crate) descending: bool,
    pub(crate) nulls_last: bool,
}
