//! What has to be done so that Salesforce holds what the app wants: wanted −
//! held. Pure: no IO, no clock.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::value::RawValue;

/// Salesforce's longest text for an external id.
const EXTERNAL_ID_MAX: usize = 255;

/// One row of the app's view: a product that an ad uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedLine {
    /// Unique within the ad.
    pub line: Option<String>,
    /// The parent whose lock the writers of its records share.
    pub contract: Option<String>,
    /// Salesforce field to value, as Postgres printed it.
    pub fields: Option<String>,
}

/// One row of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldRecord {
    /// Its name in Salesforce.
    pub external_id: String,
    /// Which line of the ad it stands for.
    pub line: String,
    /// Its contract when it was reported.
    pub contract: Option<String>,
    /// What Salesforce was last told; only the names count while in doubt.
    pub fields: String,
    /// Salesforce's id, once known.
    pub salesforce_id: Option<String>,
    /// A request was made whose outcome is not known.
    pub in_doubt: bool,
}

/// What happens to one usage record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// It is in Salesforce and must not be.
    Withdraw,
    /// It is, or may be, in Salesforce and must read otherwise.
    Update,
    /// It is certainly not in Salesforce and must be.
    Create,
}

/// One change of one usage record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// What happens.
    pub action: Action,
    /// The record's name in Salesforce.
    pub external_id: String,
    /// Which line of the ad it stands for.
    pub line: String,
    /// The contract that the record goes to, or leaves for good.
    pub contract: Option<String>,
    /// The contract that it is moved away from.
    pub moved_from: Option<String>,
    /// What the ledger will hold: the wanted fields, or the held ones of a
    /// record that goes.
    pub fields: String,
    /// What Salesforce holds of an updated record, where that is known.
    pub held: Option<String>,
    /// What is sent: the wanted fields, and null for those that are to vanish.
    pub body: String,
    /// Salesforce's id where known. A record that goes and has none is looked up.
    pub salesforce_id: Option<String>,
}

impl Operation {
    /// The contracts whose locks Salesforce takes for this.
    pub fn contracts(&self) -> impl Iterator<Item = &str> {
        [&self.contract, &self.moved_from]
            .into_iter()
            .filter_map(|contract| contract.as_deref())
    }
}

/// Why the rows of an ad cannot be reported, whatever Salesforce says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A row has no line.
    #[error("a row of the ad in usage_sync.usage has no line")]
    NoLine,
    /// Two rows have the same line.
    #[error("line {0:?} stands twice in usage_sync.usage: a line is unique within its ad")]
    LineTwice(String),
    /// `fields` is no JSON object.
    #[error("fields of line {0:?} are no JSON object")]
    FieldsNoObject(String),
    /// A value that Salesforce has no number for.
    #[error("field {field} of line {line:?} is {value}, which is no number for Salesforce")]
    NotANumber {
        /// The line.
        line: String,
        /// The field.
        field: String,
        /// `NaN`, `Infinity` or `-Infinity`.
        value: String,
    },
    /// A field that belongs to the daemon.
    #[error("field {field} of line {line:?} is set by usage-sync itself")]
    ReservedField {
        /// The line.
        line: String,
        /// The field.
        field: String,
    },
    /// The external id does not fit into Salesforce's field.
    #[error("the external id of line {line:?} has {length} characters, Salesforce takes 255")]
    ExternalIdTooLong {
        /// The line.
        line: String,
        /// Characters of the external id.
        length: usize,
    },
    /// Another ad's line has the same external id.
    #[error("external id {external_id:?} is already that of ad {other:?}")]
    ExternalIdTaken {
        /// The external id.
        external_id: String,
        /// Whose it is.
        other: String,
    },
}

impl Refusal {
    /// The code under which the ad is rejected.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoLine => "VIEW_NO_LINE",
            Self::LineTwice(_) => "VIEW_LINE_TWICE",
            Self::FieldsNoObject(_) => "VIEW_FIELDS_NO_OBJECT",
            Self::NotANumber { .. } => "VIEW_NOT_A_NUMBER",
            Self::ReservedField { .. } => "VIEW_RESERVED_FIELD",
            Self::ExternalIdTooLong { .. } => "VIEW_EXTERNAL_ID_TOO_LONG",
            Self::ExternalIdTaken { .. } => "VIEW_EXTERNAL_ID_TAKEN",
        }
    }
}

/// Names that the plan needs to know.
#[derive(Debug, Clone)]
pub struct Names {
    /// Put before every external id.
    pub prefix: String,
    /// Fields that the daemon sets itself.
    pub reserved: Vec<String>,
}

impl Names {
    /// The name in Salesforce of one line of one ad.
    pub fn external_id(&self, ad_id: &str, line: &str) -> String {
        format!("{}{ad_id}:{line}", self.prefix)
    }
}

/// Wanted − held for one ad. Withdrawals come first, creates last.
pub fn plan(
    names: &Names,
    ad_id: &str,
    wanted: &[WantedLine],
    held: &[HeldRecord],
) -> Result<Vec<Operation>, Refusal> {
    let mut held: HashMap<&str, &HeldRecord> = held
        .iter()
        .map(|record| (record.external_id.as_str(), record))
        .collect();
    let mut lines: BTreeSet<&str> = BTreeSet::new();
    let mut operations = Vec::new();

    for row in wanted {
        let line = row.line.as_deref().filter(|line| !line.is_empty());
        let line = line.ok_or(Refusal::NoLine)?;
        if !lines.insert(line) {
            return Err(Refusal::LineTwice(line.to_owned()));
        }
        let fields = row.fields.as_deref().unwrap_or("null");
        let values = checked_fields(names, line, fields)?;
        let external_id = names.external_id(ad_id, line);
        let length = external_id.chars().count();
        if length > EXTERNAL_ID_MAX {
            let line = line.to_owned();
            return Err(Refusal::ExternalIdTooLong { line, length });
        }

        let record = held.remove(external_id.as_str());
        let (action, body) = match record {
            None => (Action::Create, fields.to_owned()),
            Some(record) if !record.in_doubt && record.fields == fields => continue,
            Some(record) => (Action::Update, clearing(&values, fields, &record.fields)),
        };
        let before = record.and_then(|record| record.contract.clone());
        operations.push(Operation {
            action,
            contract: row.contract.clone(),
            moved_from: before.filter(|before| Some(before) != row.contract.as_ref()),
            external_id,
            line: line.to_owned(),
            fields: fields.to_owned(),
            held: record
                .filter(|record| !record.in_doubt)
                .map(|record| record.fields.clone()),
            body,
            salesforce_id: record.and_then(|record| record.salesforce_id.clone()),
        });
    }

    operations.extend(held.into_values().map(|record| Operation {
        action: Action::Withdraw,
        external_id: record.external_id.clone(),
        line: record.line.clone(),
        contract: record.contract.clone(),
        moved_from: None,
        fields: record.fields.clone(),
        held: None,
        body: String::from("{}"),
        // A request that nobody knows the end of may have made it anew, under
        // another id.
        salesforce_id: record.salesforce_id.clone().filter(|_| !record.in_doubt),
    }));
    operations.sort_by(|a, b| (a.action, &a.external_id).cmp(&(b.action, &b.external_id)));
    Ok(operations)
}

/// The fields of a JSON object with null as every value: what a request may
/// have set in a record.
pub fn blank(body: &str) -> String {
    let names: Vec<String> = members(body)
        .unwrap_or_default()
        .into_keys()
        .map(|name| format!("{}: null", serde_json::Value::from(name)))
        .collect();
    format!("{{{}}}", names.join(", "))
}

pub(crate) type Members<'a> = BTreeMap<String, &'a RawValue>;

/// The members of a JSON object; `None` if it is something else.
pub(crate) fn members(fields: &str) -> Option<Members<'_>> {
    serde_json::from_str(fields).ok()
}

fn checked_fields<'a>(names: &Names, line: &str, fields: &'a str) -> Result<Members<'a>, Refusal> {
    let values = members(fields).ok_or_else(|| Refusal::FieldsNoObject(line.to_owned()))?;
    for (field, value) in &values {
        // Postgres writes a float or numeric that is no number as a text.
        if matches!(value.get(), "\"NaN\"" | "\"Infinity\"" | "\"-Infinity\"") {
            return Err(Refusal::NotANumber {
                line: line.to_owned(),
                field: field.clone(),
                value: value.get().trim_matches('"').to_owned(),
            });
        }
        let reserved = |name: &String| name.eq_ignore_ascii_case(field);
        if names.reserved.iter().any(reserved) {
            return Err(Refusal::ReservedField {
                line: line.to_owned(),
                field: field.clone(),
            });
        }
    }
    Ok(values)
}

/// The fields that Salesforce may hold of `held` and that are to be null where
/// `values` is wanted.
pub(crate) fn vanishing(values: &Members<'_>, held: &str) -> BTreeSet<String> {
    members(held)
        .unwrap_or_default()
        .into_keys()
        .filter_map(|name| {
            // A parent is named by its id (X__c) or by its external id (X__r);
            // only the former can be null, and neither where the other is set.
            let own = match name.strip_suffix("__r") {
                Some(stem) => format!("{stem}__c"),
                None => name,
            };
            let twin = own.strip_suffix("__c").map(|stem| format!("{stem}__r"));
            // Salesforce does not mind the case of field names.
            let set = |name: &str| values.keys().any(|set| set.eq_ignore_ascii_case(name));
            (!set(&own) && !twin.is_some_and(|twin| set(&twin))).then_some(own)
        })
        .collect()
}

/// `fields`, and null for what Salesforce may hold and the app no longer
/// names: a field that an update does not mention stays as it was.
fn clearing(values: &Members<'_>, fields: &str, held: &str) -> String {
    let cleared = vanishing(values, held);
    if cleared.is_empty() {
        return fields.to_owned();
    }
    let nulls: Vec<String> = cleared
        .iter()
        .map(|name| format!("{}: null", serde_json::Value::from(name.as_str())))
        .collect();
    let open = fields.trim_end().strip_suffix('}').unwrap_or(fields);
    let comma = if values.is_empty() { "" } else { ", " };
    format!("{open}{comma}{}}}", nulls.join(", "))
}

#[cfg(test)]
mod tests;
