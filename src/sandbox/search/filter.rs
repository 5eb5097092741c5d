//! Conditions: whether a row fulfils them, and which index narrows them down.
//!
//! Text is compared without regard to case unless its field says otherwise.
//! Nothing is less or greater than null, and everything else differs from it.

use std::cmp::Ordering;

use super::super::id::Id;
use super::super::org::Session;
use super::super::schema::Column;
use super::super::soql::{Literal, Operator};
use super::super::store::Key;
use super::super::value::Value;
use super::Path;

/// A condition with its names bound.
#[derive(Debug)]
pub(super) enum Test {
    All(Vec<Test>),
    Any(Vec<Test>),
    Not(Box<Test>),
    Compare {
        path: Path,
        operator: Operator,
        sample: Sample,
    },
    In {
        path: Path,
        negated: bool,
        samples: Vec<Sample>,
    },
}

/// A value to compare with.
#[derive(Debug)]
pub(super) struct Sample {
    value: Value,
    /// Text is compared with its case.
    exact: bool,
}

impl Sample {
    pub(super) fn null() -> Self {
        Self {
            value: Value::Null,
            exact: true,
        }
    }

    pub(super) fn id(id: Id) -> Self {
        Self {
            value: Value::Text(id.as_str().into()),
            exact: true,
        }
    }

    /// A literal as the column's type wants it.
    pub(super) fn of(literal: &Literal, kind: &str, exact: bool) -> Option<Self> {
        let value = match (literal, kind) {
            (Literal::Null, _) => Value::Null,
            (Literal::Text(text), "string") if text.is_empty() => Value::Null,
            (Literal::Text(text), "string") => Value::Text(text.as_str().into()),
            (Literal::Number(number), "double") => Value::Number(*number),
            (Literal::Flag(flag), "boolean") => Value::Flag(*flag),
            (Literal::Date(date), "date") => Value::Date(*date),
            (Literal::Moment(moment), "dateTime") => Value::Moment(*moment),
            _ => return None,
        };
        Some(Self { value, exact })
    }

    fn equals(&self, value: &Value) -> bool {
        match (&self.value, value) {
            (Value::Text(sample), Value::Text(text)) if !self.exact => {
                sample.eq_ignore_ascii_case(text) || sample.to_lowercase() == text.to_lowercase()
            }
            (sample, value) => sample == value,
        }
    }
}

/// The order of two values of one type; text without regard to case.
pub(super) fn order(one: &Value, other: &Value) -> Option<Ordering> {
    match (one, other) {
        (Value::Text(one), Value::Text(other)) => {
            Some(one.to_lowercase().cmp(&other.to_lowercase()))
        }
        (Value::Number(one), Value::Number(other)) => Some(one.cmp(other)),
        (Value::Flag(one), Value::Flag(other)) => Some(one.cmp(other)),
        (Value::Date(one), Value::Date(other)) => Some(one.cmp(other)),
        (Value::Moment(one), Value::Moment(other)) => Some(one.cmp(other)),
        _ => None,
    }
}

/// `%` any characters, `_` one, a backslash takes the meaning from the next.
fn like(pattern: &[char], text: &[char]) -> bool {
    match pattern {
        [] => text.is_empty(),
        ['%', rest @ ..] => (0..=text.len()).any(|skipped| like(rest, &text[skipped..])),
        ['_', rest @ ..] => !text.is_empty() && like(rest, &text[1..]),
        ['\\', escaped, rest @ ..] => text.first() == Some(escaped) && like(rest, &text[1..]),
        [own, rest @ ..] => text.first() == Some(own) && like(rest, &text[1..]),
    }
}

impl Session<'_> {
    /// Whether a row fulfils a condition.
    pub(super) fn holds(&self, key: Key, test: &Test) -> bool {
        match test {
            Test::All(all) => all.iter().all(|test| self.holds(key, test)),
            Test::Any(any) => any.iter().any(|test| self.holds(key, test)),
            Test::Not(test) => !self.holds(key, test),
            Test::In {
                path,
                negated,
                samples,
            } => {
                let value = self.at(key, path);
                samples.iter().any(|sample| sample.equals(&value)) != *negated
            }
            Test::Compare {
                path,
                operator,
                sample,
            } => {
                let value = self.at(key, path);
                let order = || order(&value, &sample.value);
                match operator {
                    Operator::Equal => sample.equals(&value),
                    Operator::NotEqual => !sample.equals(&value),
                    Operator::Less => order().is_some_and(Ordering::is_lt),
                    Operator::Greater => order().is_some_and(Ordering::is_gt),
                    Operator::LessOrEqual => order().is_some_and(Ordering::is_le),
                    Operator::GreaterOrEqual => order().is_some_and(Ordering::is_ge),
                    Operator::Like => match (&sample.value, &value) {
                        (Value::Text(pattern), Value::Text(found)) => {
                            let pattern: Vec<char> = pattern.to_lowercase().chars().collect();
                            like(&pattern, &found.to_lowercase().chars().collect::<Vec<_>>())
                        }
                        _ => false,
                    },
                }
            }
        }
    }

    /// Rows among which all matches are, if an index knows; in the order of
    /// the table, each once.
    pub(super) fn candidates(&self, object: usize, test: &Test) -> Option<Vec<Key>> {
        match test {
            Test::All(all) => all.iter().find_map(|test| self.candidates(object, test)),
            Test::Any(any) => {
                let found = any.iter().map(|test| self.candidates(object, test));
                let mut rows = found.collect::<Option<Vec<_>>>()?.concat();
                rows.sort_unstable_by_key(|key| key.row);
                rows.dedup();
                Some(rows)
            }
            Test::Compare {
                path,
                operator: Operator::Equal,
                sample,
            } => self.indexed(object, path, std::slice::from_ref(sample)),
            Test::In {
                path,
                negated: false,
                samples,
            } => self.indexed(object, path, samples),
            _ => None,
        }
    }

    fn indexed(&self, object: usize, path: &Path, samples: &[Sample]) -> Option<Vec<Key>> {
        let mut rows: Vec<u32> = Vec::new();
        for sample in samples {
            let text = sample.value.text()?;
            match (path.steps.as_slice(), path.column) {
                ([], Column::Id) => rows.extend(Id::parse(text).and_then(|id| id.row())),
                ([], Column::Field(field)) => {
                    let definition = &self.schema.objects[object].fields[field];
                    if definition.is_indexed() {
                        let found = self
                            .org
                            .store
                            .by_unique(object, field, &definition.fold(text));
                        rows.extend(found.map(|key| key.row));
                    } else if matches!(
                        definition.kind,
                        super::super::schema::Kind::Reference { .. }
                    ) {
                        let parent = Id::parse(text)?.row();
                        rows.extend(
                            parent
                                .into_iter()
                                .flat_map(|row| self.org.store.children(object, field, row)),
                        );
                    } else {
                        return None;
                    }
                }
                // The id of a parent is what the reference itself holds.
                ([(field, _)], Column::Id) => {
                    let parent = Id::parse(text)?.row();
                    rows.extend(
                        parent
                            .into_iter()
                            .flat_map(|row| self.org.store.children(object, *field, row)),
                    );
                }
                _ => return None,
            }
        }
        rows.sort_unstable();
        rows.dedup();
        Some(rows.into_iter().map(|row| Key { object, row }).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn like_knows_its_wildcards_and_their_escapes() {
        for (pattern, text, matches) in [
            ("a%", "abc", true),
            ("%c", "abc", true),
            ("a_c", "abc", true),
            ("a_", "abc", false),
            ("50\\%", "50%", true),
            ("50\\%", "500", false),
            ("a\\_c", "abc", false),
            ("%%", "", true),
        ] {
            let [pattern, text] = [pattern, text].map(|text| text.chars().collect::<Vec<char>>());
            assert_eq!(like(&pattern, &text), matches, "{pattern:?} {text:?}");
        }
    }
}
