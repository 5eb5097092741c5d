//! Whether Salesforce holds what the app asks for: every record, every field,
//! every digit.
//!
//! A full outer join of two lists of records by external id. Neither list is
//! trusted to name a record only once: a second one that has no partner is
//! missing or extra like any other.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use serde_json::value::RawValue;

/// Examples of each kind that are worth reading.
const EXAMPLES: usize = 5;

/// Fields by name, with their values as they are written; without those that
/// are null, which is the same as not there.
pub(crate) type Fields = BTreeMap<String, Box<RawValue>>;

/// One usage record, wanted by the app or held by Salesforce.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) external_id: String,
    pub(crate) fields: Fields,
}

/// What the join found, each line an external id and its particulars.
#[derive(Debug, Default)]
pub(crate) struct Comparison {
    /// How many records the app asks for.
    pub(crate) wanted: usize,
    missing: Vec<String>,
    extra: Vec<String>,
    different: Vec<String>,
}

impl Comparison {
    /// Whether both sides are the same.
    pub(crate) fn holds(&self) -> bool {
        self.missing.is_empty() && self.extra.is_empty() && self.different.is_empty()
    }

    /// A few lines about each kind of difference.
    pub(crate) fn examples(&self) -> impl Iterator<Item = String> {
        let kinds = [
            ("missing", &self.missing),
            ("extra", &self.extra),
            ("different", &self.different),
        ];
        kinds.into_iter().flat_map(|(kind, lines)| {
            let few = lines.iter().take(EXAMPLES);
            few.map(move |line| format!("{kind}: {line}"))
        })
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (missing, extra) = (self.missing.len(), self.extra.len());
        let different = self.different.len();
        write!(f, "{missing} missing, {extra} extra, {different} different")
    }
}

/// Joins what the app wants with what Salesforce holds.
pub(crate) fn compare(wanted: Vec<Record>, held: Vec<Record>) -> Comparison {
    let mut comparison = Comparison {
        wanted: wanted.len(),
        ..Comparison::default()
    };
    let mut partners: HashMap<String, Vec<Fields>> = HashMap::new();
    for record in held {
        let fields = partners.entry(record.external_id).or_default();
        fields.push(record.fields);
    }
    for record in wanted {
        let partner = partners.get_mut(&record.external_id).and_then(Vec::pop);
        let Some(partner) = partner else {
            comparison.missing.push(record.external_id);
            continue;
        };
        if let Some(difference) = difference(&record.fields, &partner) {
            let line = format!("{}, {difference}", record.external_id);
            comparison.different.push(line);
        }
    }
    for (external_id, left) in partners {
        let extra = left.into_iter().map(|_| external_id.clone());
        comparison.extra.extend(extra);
    }
    comparison.extra.sort();
    comparison
}

/// The first field that is not the same on both sides.
fn difference(wanted: &Fields, held: &Fields) -> Option<String> {
    let text = |value: Option<&RawValue>| value.map_or("null", RawValue::get).to_owned();
    wanted.keys().chain(held.keys()).find_map(|name| {
        let wanted = wanted.get(name).map(Box::as_ref);
        let held = held.get(name).map(Box::as_ref);
        let (says, holds) = (text(wanted), text(held));
        (!same(wanted, held)).then(|| format!("{name}: the app says {says}, Salesforce {holds}"))
    })
}

/// Texts are compared by what they say, whatever was escaped; everything else,
/// numbers above all, as it is written.
fn same(wanted: Option<&RawValue>, held: Option<&RawValue>) -> bool {
    let (Some(wanted), Some(held)) = (wanted, held) else {
        return wanted.is_none() && held.is_none();
    };
    let text = |value: &RawValue| serde_json::from_str::<String>(value.get()).ok();
    match (text(wanted), text(held)) {
        (None, None) => wanted.get() == held.get(),
        (wanted, held) => wanted == held,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(external_id: &str, fields: &str) -> Record {
        Record {
            external_id: external_id.to_owned(),
            fields: serde_json::from_str(fields).unwrap(),
        }
    }

    fn records(list: &[(&str, &str)]) -> Vec<Record> {
        list.iter().map(|(id, fields)| record(id, fields)).collect()
    }

    fn outcome(wanted: &[(&str, &str)], held: &[(&str, &str)]) -> (String, Vec<String>) {
        let comparison = compare(records(wanted), records(held));
        let examples: Vec<String> = comparison.examples().collect();
        assert_eq!(comparison.holds(), examples.is_empty());
        (comparison.to_string(), examples)
    }

    const NONE: &str = "0 missing, 0 extra, 0 different";

    #[test]
    fn the_same_records_in_another_order_and_spelling_are_the_same() {
        let wanted = [("1:small", r#"{"a":"ü","n":1.50}"#), ("2:small", "{}")];
        let held = [("2:small", "{}"), ("1:small", r#"{"n":1.50,"a":"\u00fc"}"#)];

        assert_eq!(outcome(&wanted, &held), (NONE.to_owned(), Vec::new()));
    }

    #[test]
    fn what_only_one_side_has_is_missing_or_extra() {
        let (text, examples) = outcome(&[("1:a", "{}"), ("2:a", "{}")], &[("3:a", "{}")]);

        assert_eq!(text, "2 missing, 1 extra, 0 different");
        assert_eq!(examples, ["missing: 1:a", "missing: 2:a", "extra: 3:a"]);
    }

    #[test]
    fn a_duplicate_is_extra_in_salesforce_and_missing_from_it() {
        let (once, twice) = ([("1:a", "{}")], [("1:a", "{}"), ("1:a", "{}")]);

        assert_eq!(outcome(&once, &twice).0, "0 missing, 1 extra, 0 different");
        assert_eq!(outcome(&twice, &once).0, "1 missing, 0 extra, 0 different");
    }

    #[test]
    fn a_digit_a_type_and_a_field_too_many_make_a_difference() {
        let cases = [
            (
                r#"{"n":1.5}"#,
                r#"{"n":1.50}"#,
                "n: the app says 1.5, Salesforce 1.50",
            ),
            (
                r#"{"n":0.1}"#,
                r#"{"n":0.10000000000000001}"#,
                "n: the app says 0.1, Salesforce 0.10000000000000001",
            ),
            (
                r#"{"n":1}"#,
                r#"{"n":"1"}"#,
                r#"n: the app says 1, Salesforce "1""#,
            ),
            (r#"{"n":1}"#, "{}", "n: the app says 1, Salesforce null"),
            (
                "{}",
                r#"{"b":true}"#,
                "b: the app says null, Salesforce true",
            ),
        ];
        for (wanted, held, expected) in cases {
            let (text, examples) = outcome(&[("1:a", wanted)], &[("1:a", held)]);

            assert_eq!(text, "0 missing, 0 extra, 1 different");
            assert_eq!(examples, [format!("different: 1:a, {expected}")]);
        }
    }

    #[test]
    fn examples_are_few_and_counts_are_whole() {
        let ids: Vec<String> = (0..12).map(|id| format!("{id}:a")).collect();
        let wanted: Vec<(&str, &str)> = ids.iter().map(|id| (id.as_str(), "{}")).collect();

        let (text, examples) = outcome(&wanted, &[]);

        assert_eq!(text, "12 missing, 0 extra, 0 different");
        assert_eq!(examples.len(), EXAMPLES);
    }
}
