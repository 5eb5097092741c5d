//! Values against a model of an org, and the shapes that Salesforce answers.

use proptest::prelude::*;

use super::*;

fn fields(json: &str) -> Fields {
    serde_json::from_str(json).expect("an object")
}

fn holds(told: &str, blank: &str, held: &str) -> bool {
    let expected = Expectation::new(told, blank).expect("it can be asked for");
    expected.is_met_by(&fields(held))
}

/// Whether a field that was told the one holds the other.
fn same(told: &str, held: &str) -> bool {
    holds(
        &format!(r#"{{"A__c": {told}}}"#),
        "{}",
        &format!(r#"{{"A__c": {held}}}"#),
    )
}

#[test]
fn one_value_has_many_spellings() {
    for (told, held) in [
        ("5.50", "5.5"),
        ("5", "5.0"),
        ("1e2", "100.0"),
        ("-0", "0.0"),
        ("0.10", "0.1"),
        ("123456789012345678", "1.23456789012345677E17"),
        (r#""17""#, "17.0"),
        ("7", r#""7""#),
        ("null", r#""""#),
        (r#"" ""#, "null"),
        (r#""x  ""#, r#""x""#),
        ("true", "true"),
        (r#""false""#, "false"),
        (r#""a005f00000abcde""#, r#""a005f00000abcdeAAA""#),
        (r#""2026-02-01""#, r#""2026-02-01""#),
        (
            r#""2026-02-01T10:00:00+02:00""#,
            r#""2026-02-01T08:00:00.000+0000""#,
        ),
        (
            r#""2026-02-01T08:00:00.123456Z""#,
            r#""2026-02-01T08:00:00.000+0000""#,
        ),
    ] {
        assert!(same(told, held), "{told} and {held} are the same");
    }
}

#[test]
fn what_is_not_known_to_be_equal_is_different() {
    for (told, held) in [
        ("5.5", "5.51"),
        ("1", "null"),
        ("null", "0.0"),
        ("null", "false"),
        ("true", "false"),
        (r#""x""#, r#""X""#),
        (r#""1.0""#, r#""1""#),
        (r#""nan""#, "0.0"),
        ("5", "true"),
        (r#""2026-02-01""#, r#""2026-02-02""#),
        (
            r#""2026-02-01T10:00:00+02:00""#,
            r#""2026-02-01T10:00:00.000+0000""#,
        ),
        (r#""a005f00000abcde""#, r#""a005f00000abcdEAAQ""#),
        (r#""äöü+é000""#, r#""äöü+0000""#),
        ("5", "[5]"),
    ] {
        assert!(!same(told, held), "{told} and {held} differ");
    }
    assert!(!holds(r#"{"A__c": null}"#, "{}", "{}"), "not answered");
}

#[test]
fn a_field_that_was_cleared_is_null_and_names_mind_no_case() {
    let (told, blank) = (
        r#"{"A__c": 1}"#,
        r#"{"a__C": null, "B__c": null, "P__r": null}"#,
    );
    let expected = Expectation::new(told, blank).unwrap();

    assert_eq!(expected.columns(), ["A__c", "B__c", "P__c"]);
    assert!(expected.is_met_by(&fields(r#"{"a__c": 1.0, "B__c": null, "P__c": null}"#)));
    assert!(!expected.is_met_by(&fields(r#"{"a__c": 1.0, "B__c": 2.0, "P__c": null}"#)));
}

#[test]
fn a_parent_is_compared_by_what_names_it() {
    let told = r#"{"P__r": {"attributes": {"type": "P__c"}, "Ext__c": "p-1"}}"#;
    let expected = Expectation::new(told, r#"{"P__c": null}"#).unwrap();

    assert_eq!(expected.columns(), ["P__r.Ext__c"]);
    let held = r#"{"P__r": {"attributes": {"type": "P__c", "url": "/x"}, "Ext__c": "p-1"}}"#;
    assert!(expected.is_met_by(&fields(held)));
    assert!(!expected.is_met_by(&fields(r#"{"P__r": {"Ext__c": "p-2"}}"#)));
    assert!(!expected.is_met_by(&fields(r#"{"P__r": null}"#)));
    assert!(holds(r#"{"P__r": null}"#, "{}", r#"{"P__c": null}"#));
    assert!(holds(
        r#"{"P__r": {"Ext__c": null}}"#,
        "{}",
        r#"{"P__r": null}"#
    ));
}

#[test]
fn what_no_query_can_tell_is_said_so() {
    for told in [
        r#"{"A__c, (select Id from B__r)": 1}"#,
        r#"{"": 1}"#,
        r#"{"A__c": [1]}"#,
        "[]",
        "null",
    ] {
        assert_eq!(Expectation::new(told, "{}"), None, "{told}");
    }
    assert_eq!(Expectation::new("{}", r#"{"A B": null}"#), None);
}

/// A value as an app writes it.
#[derive(Debug, Clone)]
enum Told {
    Number(i64, u32),
    Text(String),
    Flag(bool),
    Nothing,
}

fn told() -> impl Strategy<Value = Told> {
    prop_oneof![
        (-1_000_000_i64..1_000_000, 0_u32..5)
            .prop_map(|(digits, scale)| Told::Number(digits, scale)),
        "[ a-c]{0,4}".prop_map(Told::Text),
        any::<bool>().prop_map(Told::Flag),
        Just(Told::Nothing),
    ]
}

impl Told {
    /// As Postgres prints it: with all its decimals.
    fn written(&self) -> String {
        match self {
            Self::Number(digits, scale) => {
                let sign = if *digits < 0 { "-" } else { "" };
                let width = *scale as usize + 1;
                let digits = format!("{:0width$}", digits.unsigned_abs());
                let (whole, decimals) = digits.split_at(digits.len() - *scale as usize);
                let point = if decimals.is_empty() { "" } else { "." };
                format!("{sign}{whole}{point}{decimals}")
            }
            Self::Text(text) => Value::from(text.as_str()).to_string(),
            Self::Flag(flag) => flag.to_string(),
            Self::Nothing => String::from("null"),
        }
    }

    /// What an org makes of it: exact, and the same for equal values only.
    fn kept(&self) -> String {
        match self {
            Self::Number(digits, scale) => {
                format!("{}e-5", digits * 10_i64.pow(5 - scale))
            }
            Self::Text(text) if text.trim().is_empty() => Self::Nothing.kept(),
            Self::Text(text) => Value::from(text.trim()).to_string(),
            Self::Flag(_) | Self::Nothing => self.written(),
        }
    }
}

proptest! {
    #[test]
    fn a_record_holds_what_it_was_told_and_nothing_else(was in told(), other in told()) {
        prop_assert!(same(&was.written(), &was.kept()));
        prop_assert_eq!(same(&was.written(), &other.kept()), was.kept() == other.kept());
    }

    #[test]
    fn a_moment_is_the_same_in_every_zone(second in 0_i64..4_000_000_000, hours in -12_i8..=12, apart in 1_i64..100_000) {
        let moment = |second, hours| {
            OffsetDateTime::from_unix_timestamp(second)
                .unwrap()
                .to_offset(time::UtcOffset::from_hms(hours, 0, 0).unwrap())
                .format(&Rfc3339)
                .unwrap()
        };
        let salesforce = |second| moment(second, 0).replace('Z', ".000+0000");
        let told = Value::from(moment(second, hours)).to_string();
        prop_assert!(same(&told, &Value::from(salesforce(second)).to_string()));
        prop_assert!(!same(&told, &Value::from(salesforce(second + apart)).to_string()));
    }
}
