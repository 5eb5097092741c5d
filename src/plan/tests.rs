//! The plan against a model of Salesforce, and every refusal.

use proptest::{collection::btree_map, option, prelude::*, sample::select, sample::subsequence};

use super::*;

const AD: &str = "7";

fn names() -> Names {
    Names {
        prefix: String::from("p-"),
        reserved: vec![String::from("External_Id__c"), String::from("Revision__c")],
    }
}

/// A field to the text of its value.
type Fields = BTreeMap<String, String>;

/// What Salesforce holds: external id to fields. A parent that is named by its
/// id or by its external id is one field.
type Org = BTreeMap<String, Fields>;

fn text(fields: &Fields) -> String {
    let members: Vec<String> = fields
        .iter()
        .map(|(name, value)| format!("\"{name}\": {value}"))
        .collect();
    format!("{{{}}}", members.join(", "))
}

fn slot(name: &str) -> &str {
    name.strip_suffix("__r")
        .or_else(|| name.strip_suffix("__c"))
        .unwrap_or(name)
}

/// Sets fields as Salesforce does: what is not mentioned stays, null clears.
fn set(record: &mut Fields, body: &str) {
    let members = members(body).expect("a body is an object");
    let mut slots = BTreeSet::new();
    for (name, value) in &members {
        assert!(slots.insert(slot(name)), "{body} names one parent twice");
        match value.get() {
            "null" => {
                assert!(!name.ends_with("__r"), "{body} clears a relationship");
                record.remove(slot(name));
            }
            value => {
                record.insert(slot(name).to_owned(), value.to_owned());
            }
        }
    }
}

fn apply(org: &mut Org, operations: &[Operation]) {
    for operation in operations {
        let id = operation.external_id.clone();
        match operation.action {
            Action::Create => {
                let mut record = Fields::new();
                set(&mut record, &operation.body);
                let before = org.insert(id, record);
                assert_eq!(before, None, "created what is there already");
            }
            Action::Update => set(org.entry(id).or_default(), &operation.body),
            Action::Withdraw => {
                org.remove(&id);
            }
        }
    }
}

/// What Salesforce would hold had it been told nothing but this.
fn told(wanted: &[WantedLine]) -> Org {
    let record = |row: &WantedLine| {
        let mut record = Fields::new();
        set(&mut record, row.fields.as_deref().unwrap());
        let line = row.line.as_deref().unwrap();
        (names().external_id(AD, line), record)
    };
    wanted.iter().map(record).collect()
}

/// What the ledger holds after `operations` went through.
fn recorded(held: &[HeldRecord], operations: &[Operation]) -> Vec<HeldRecord> {
    let mut after: BTreeMap<String, HeldRecord> = held
        .iter()
        .map(|record| (record.external_id.clone(), record.clone()))
        .collect();
    for operation in operations {
        let id = operation.external_id.clone();
        if operation.action == Action::Withdraw {
            after.remove(&id);
            continue;
        }
        let record = HeldRecord {
            external_id: id.clone(),
            line: operation.line.clone(),
            contract: operation.contract.clone(),
            fields: operation.fields.clone(),
            salesforce_id: Some(String::from("a00")),
            in_doubt: false,
        };
        after.insert(id, record);
    }
    after.into_values().collect()
}

fn lines() -> impl Strategy<Value = Vec<&'static str>> {
    subsequence(vec!["a", "b", "c", "d"], 0..=4)
}

fn contract() -> impl Strategy<Value = Option<String>> {
    option::of(select(vec!["C", "D"]).prop_map(String::from))
}

/// A parent stands in one of the two forms, never in both.
fn fields() -> impl Strategy<Value = Fields> {
    let plain = btree_map(
        select(vec!["Units__c", "Note__c", "Name"]).prop_map(String::from),
        select(vec!["1", "2.50", "\"x, }\"", "null"]).prop_map(String::from),
        0..=3,
    );
    let parent = option::of(select(vec![
        ("P__c", "\"801\""),
        ("P__c", "null"),
        ("P__r", "{\"Key__c\": \"k\"}"),
        ("P__r", "{\"Key__c\": \"l\"}"),
    ]));
    (plain, parent).prop_map(|(mut fields, parent)| {
        fields.extend(parent.map(|(name, value)| (name.to_owned(), value.to_owned())));
        fields
    })
}

fn wanted() -> impl Strategy<Value = Vec<WantedLine>> {
    let row = |line: &'static str| {
        (contract(), fields()).prop_map(move |(contract, fields)| WantedLine {
            line: Some(line.to_owned()),
            contract,
            fields: Some(text(&fields)),
        })
    };
    lines().prop_flat_map(move |lines| lines.into_iter().map(row).collect::<Vec<_>>())
}

/// One record of the ledger and what Salesforce really holds under its name.
fn held_record(line: &'static str) -> impl Strategy<Value = (HeldRecord, Option<Fields>)> {
    let blank_names = subsequence(vec!["Units__c", "Note__c", "Name", "P__c", "P__r"], 0..=5);
    let prefix = select(vec!["p-", "p-", "p-", "old-"]);
    let id = option::of(Just(String::from("a00")));
    let actual = option::of(fields());
    (
        prefix,
        contract(),
        fields(),
        id,
        option::of(blank_names),
        actual,
    )
        .prop_map(move |(prefix, contract, fields, id, doubt, actual)| {
            let external_id = format!("{prefix}{AD}:{line}");
            let line = line.to_owned();
            let mut now = Fields::new();
            let Some(blank) = doubt else {
                set(&mut now, &text(&fields));
                let record = HeldRecord {
                    external_id,
                    line,
                    contract,
                    fields: text(&fields),
                    salesforce_id: Some(String::from("a00")),
                    in_doubt: false,
                };
                return (record, Some(now));
            };
            // Whatever a request may have set is among the names.
            let blank: Fields = blank
                .iter()
                .map(|name| ((*name).to_owned(), String::from("null")))
                .collect();
            let record = HeldRecord {
                external_id,
                line,
                contract,
                fields: text(&blank),
                salesforce_id: id,
                in_doubt: true,
            };
            let now = actual.map(|mut actual| {
                actual.retain(|name, _| blank.keys().any(|known| slot(known) == slot(name)));
                set(&mut now, &text(&actual));
                now
            });
            (record, now)
        })
}

fn held() -> impl Strategy<Value = Vec<(HeldRecord, Option<Fields>)>> {
    lines().prop_flat_map(|lines| lines.into_iter().map(held_record).collect::<Vec<_>>())
}

proptest! {
    #[test]
    fn whatever_is_held_or_in_doubt_salesforce_ends_up_with_what_is_wanted(
        wanted in wanted(), held in held()
    ) {
        let mut org: Org = held
            .iter()
            .filter_map(|(record, now)| Some((record.external_id.clone(), now.clone()?)))
            .collect();
        let held: Vec<HeldRecord> = held.into_iter().map(|(record, _)| record).collect();

        let operations = plan(&names(), AD, &wanted, &held).unwrap();
        apply(&mut org, &operations);

        prop_assert_eq!(org, told(&wanted));
        let after = recorded(&held, &operations);
        prop_assert_eq!(plan(&names(), AD, &wanted, &after).unwrap(), []);
    }

    #[test]
    fn operations_are_few_ordered_and_rightly_named(wanted in wanted(), held in held()) {
        let held: Vec<HeldRecord> = held.into_iter().map(|(record, _)| record).collect();
        let known: HashMap<&str, &HeldRecord> =
            held.iter().map(|record| (record.external_id.as_str(), record)).collect();

        let operations = plan(&names(), AD, &wanted, &held).unwrap();

        prop_assert!(operations.is_sorted_by_key(|operation| operation.action));
        let ids: BTreeSet<&str> =
            operations.iter().map(|operation| operation.external_id.as_str()).collect();
        prop_assert_eq!(ids.len(), operations.len(), "one operation a record");
        for operation in &operations {
            let record = known.get(operation.external_id.as_str());
            if operation.action == Action::Create {
                prop_assert!(record.is_none(), "created what is held");
            } else {
                let record = record.expect("it is held");
                // A record in doubt may have been made anew, under another id.
                let is_lookup = operation.action == Action::Withdraw && record.in_doubt;
                let known_id = record.salesforce_id.as_ref().filter(|_| !is_lookup);
                prop_assert_eq!(operation.salesforce_id.as_ref(), known_id);
                // The contract that a record leaves is locked by Salesforce, too.
                prop_assert!(
                    record.contract.as_deref().is_none_or(|left| operation.contracts().any(|c| c == left))
                );
            }
            if operation.action != Action::Withdraw {
                prop_assert_eq!(&operation.external_id, &format!("p-{AD}:{}", operation.line));
            }
        }
    }

    #[test]
    fn the_intent_names_every_field_that_is_sent(body in fields()) {
        let blank = blank(&text(&body));

        let named: BTreeSet<&String> = body.keys().collect();
        let blank: BTreeMap<String, Option<()>> = serde_json::from_str(&blank).unwrap();
        prop_assert_eq!(blank.keys().collect::<BTreeSet<_>>(), named);
        prop_assert!(blank.values().all(Option::is_none));
    }
}

fn row(line: Option<&str>, fields: Option<&str>) -> WantedLine {
    WantedLine {
        line: line.map(String::from),
        contract: None,
        fields: fields.map(String::from),
    }
}

#[test]
fn rows_that_cannot_be_reported_are_refused_with_a_reason() {
    let long = "x".repeat(300);
    let number = |value: &str| format!("{{\"Units__c\": \"{value}\"}}");
    let (nan, infinity) = (number("NaN"), number("-Infinity"));
    let cases = [
        (vec![row(None, Some("{}"))], "VIEW_NO_LINE"),
        (vec![row(Some(""), Some("{}"))], "VIEW_NO_LINE"),
        (
            vec![row(Some("a"), Some("{}")), row(Some("a"), Some("{}"))],
            "VIEW_LINE_TWICE",
        ),
        (vec![row(Some("a"), None)], "VIEW_FIELDS_NO_OBJECT"),
        (vec![row(Some("a"), Some("null"))], "VIEW_FIELDS_NO_OBJECT"),
        (vec![row(Some("a"), Some("[1]"))], "VIEW_FIELDS_NO_OBJECT"),
        (
            vec![row(Some("a"), Some("\"{}\""))],
            "VIEW_FIELDS_NO_OBJECT",
        ),
        (vec![row(Some("a"), Some(&nan))], "VIEW_NOT_A_NUMBER"),
        (vec![row(Some("a"), Some(&infinity))], "VIEW_NOT_A_NUMBER"),
        (
            vec![row(Some("a"), Some("{\"revision__C\": 1}"))],
            "VIEW_RESERVED_FIELD",
        ),
        (
            vec![row(Some(&long), Some("{}"))],
            "VIEW_EXTERNAL_ID_TOO_LONG",
        ),
    ];

    for (wanted, code) in cases {
        let refusal = plan(&names(), AD, &wanted, &[]).expect_err(code);
        assert_eq!(refusal.code(), code);
    }
}

#[test]
fn an_external_id_may_be_as_long_as_salesforce_takes_it() {
    // Salesforce counts characters, not bytes.
    let longest = "\u{e4}".repeat(EXTERNAL_ID_MAX - "p-7:".len());

    let operations = plan(&names(), AD, &[row(Some(&longest), Some("{}"))], &[]).unwrap();

    assert_eq!(operations[0].external_id.chars().count(), EXTERNAL_ID_MAX);
    let longer = format!("{longest}x");
    let refusal = plan(&names(), AD, &[row(Some(&longer), Some("{}"))], &[]);
    assert!(matches!(
        refusal,
        Err(Refusal::ExternalIdTooLong { length: 256, .. })
    ));
}

#[test]
fn numbers_keep_their_digits() {
    let fields = "{\"Units__c\": 12345678901234567890.10}";

    let operations = plan(&names(), AD, &[row(Some("a"), Some(fields))], &[]).unwrap();

    assert_eq!(operations[0].body, fields);
}

#[test]
fn a_field_that_is_written_in_another_case_is_not_cleared() {
    let held = HeldRecord {
        external_id: names().external_id(AD, "a"),
        line: String::from("a"),
        contract: None,
        fields: String::from("{\"Quantity__c\": 1, \"Gone__c\": 1}"),
        salesforce_id: Some(String::from("a01000000000001AAA")),
        in_doubt: false,
    };
    let wanted = row(Some("a"), Some("{\"quantity__c\": 2}"));

    let operations = plan(&names(), AD, &[wanted], &[held]).unwrap();

    assert_eq!(
        operations[0].body,
        "{\"quantity__c\": 2, \"Gone__c\": null}"
    );
}
