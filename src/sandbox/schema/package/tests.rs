use std::path::Path;

use super::super::RuleKind;
use super::*;

/// The package, with one piece of text replaced in one file.
fn changed(file: &str, good: &str, bad: &str) -> Vec<(&'static str, String)> {
    let mut hits = 0;
    let files = FILES.iter().map(|(path, text)| {
        if !path.ends_with(file) {
            return (*path, (*text).to_owned());
        }
        hits += text.matches(good).count();
        (*path, text.replacen(good, bad, 1))
    });
    let files: Vec<_> = files.collect();
    assert!(hits > 0, "{file} has no {good}");
    files
}

fn install_changed(file: &str, good: &str, bad: &str) -> Result<Schema, super::super::Error> {
    let files = changed(file, good, bad);
    let files: Vec<File<'_>> = files.iter().map(|(path, text)| (*path, &**text)).collect();
    let mut schema = Schema::read(super::super::STANDARD)?;
    install(&mut schema, &files)?;
    schema.link()
}

#[track_caller]
fn refusal(file: &str, good: &str, bad: &str) -> Error {
    match install_changed(file, good, bad) {
        Err(super::super::Error::Package {
            file: named,
            source,
        }) => {
            assert!(named.ends_with(file), "{named} is blamed for {file}");
            source
        }
        Err(other) => panic!("{bad}: {other}"),
        Ok(_) => panic!("{bad} was taken"),
    }
}

#[test]
fn the_rules_are_those_of_the_deployed_formulas() {
    let schema = Schema::shipped().unwrap();

    let [lock, revision] = ["Locked_When_Fulfilled", "Revision"]
        .map(|name| schema.rules.iter().find(|rule| rule.name == name).unwrap());
    let RuleKind::LockedByAncestor {
        path,
        field,
        value,
        unless_only,
        unless_permission,
        ..
    } = &lock.kind
    else {
        panic!("{lock:?}");
    };
    assert_eq!(path.join("."), "Contract_Product__c.Contract__c");
    assert_eq!((field.as_str(), value.as_str()), ("Status", "Fulfilled"));
    assert_eq!(unless_only, &["Revision__c"]);
    assert_eq!(unless_permission, "Usage_Override");
    assert!(matches!(&revision.kind, RuleKind::NotOlder { field, .. } if field == "Revision__c"));
    assert_eq!(revision.error_field.as_deref(), Some("Revision__c"));
}

#[test]
fn the_integration_user_sees_what_its_permission_set_names() {
    let hidden = |schema: &Schema| {
        let object = schema.object("Usage__c").unwrap();
        let integration = schema.users.iter().position(|user| !user.all_rights);
        let field = schema.find_field(object, "Revision__c").unwrap();
        !schema.sees(integration.unwrap(), object, field)
    };
    assert!(!hidden(&Schema::shipped().unwrap()));

    let without = install_changed(
        "Usage_Sync.permissionset-meta.xml",
        "<field>Usage__c.Revision__c</field>\n        <readable>true",
        "<field>Usage__c.Revision__c</field>\n        <readable>false",
    );
    assert!(hidden(&without.unwrap()));
}

#[test]
fn a_formula_that_does_something_else_is_refused() {
    let revision = "Revision.validationRule-meta.xml";
    let lock = "Locked_When_Fulfilled.validationRule-meta.xml";
    let available = "Available__c.field-meta.xml";
    for (file, good, bad) in [
        (revision, "&lt; ", "&lt;= "),
        (revision, "NOT(ISNEW())", "ISNEW()"),
        (revision, "BLANKVALUE(Revision__c, 0)", "Revision__c"),
        (
            revision,
            "PRIORVALUE(Revision__c)",
            "PRIORVALUE(Quantity__c)",
        ),
        (lock, "NOT($Permission", "($Permission"),
        (lock, "&amp;&amp;\n(", "||\n("),
        (lock, "ISNEW() ||", ""),
        (lock, "ISCHANGED(Quantity__c)", "ISBLANK(Quantity__c)"),
        (lock, "\"Fulfilled\"", "'Fulfilled'"),
        (available, "Units__c - ", "Units__c + "),
        (available, " - Consumed__c", " - Consumed__c - Units__c"),
    ] {
        assert!(
            matches!(refusal(file, good, bad), Error::Formula(_)),
            "{bad}"
        );
    }
}

#[test]
fn a_formula_may_be_laid_out_anew() {
    let lock = "Locked_When_Fulfilled.validationRule-meta.xml";
    assert!(install_changed(lock, " &amp;&amp;\n", "\n    &amp;&amp;   ").is_ok());
}

#[test]
fn a_field_left_out_of_the_lock_may_change_under_it() {
    let lock = "Locked_When_Fulfilled.validationRule-meta.xml";
    let schema = install_changed(lock, "ISCHANGED(Ad_Id__c) ||", "").unwrap();

    let open = schema.rules.iter().find_map(|rule| match &rule.kind {
        RuleKind::LockedByAncestor { unless_only, .. } => Some(unless_only.clone()),
        RuleKind::NotOlder { .. } => None,
    });
    assert_eq!(open.unwrap(), ["Ad_Id__c", "Revision__c"]);
}

#[test]
fn a_lock_whose_trigger_does_not_do_the_same_is_refused() {
    let lock = "Locked_When_Fulfilled.validationRule-meta.xml";
    for (file, good, bad) in [
        ("UsageLock.trigger", "before delete, ", ""),
        ("UsageLock.trigger", "'Fulfilled'", "'Closed'"),
        ("UsageLock.trigger", "'Usage_Override'", "'Override'"),
        ("UsageLock.trigger", "usage is locked.'", "closed.'"),
        ("UsageLock.trigger", "on Usage__c (", "on Contract ("),
        ("UsageLock.trigger-meta.xml", "Active", "Inactive"),
        (lock, "\"Fulfilled\"", "\"Closed\""),
        (lock, "usage is locked.", "closed."),
    ] {
        let refused = install_changed(file, good, bad);
        let Err(super::super::Error::Package { file, source }) = refused else {
            panic!("{bad} was taken");
        };
        assert!(file.ends_with(lock), "{file}");
        assert!(matches!(source, Error::Unguarded { .. }), "{bad}: {source}");
    }
}

#[test]
fn what_the_sandbox_does_not_know_is_refused() {
    let quantity = "Quantity__c.field-meta.xml";
    let rights = "Usage_Sync.permissionset-meta.xml";
    let unknown = |file, good, bad| matches!(refusal(file, good, bad), Error::Unknown { .. });
    assert!(unknown(
        quantity,
        "<unique>false</unique>",
        "<uniqe>false</uniqe>"
    ));
    assert!(unknown(
        rights,
        "<label>Usage Sync</label>",
        "<license>X</license>"
    ));

    assert!(matches!(
        refusal(quantity, "</label>", "</lable>"),
        Error::Xml(_)
    ));
    assert!(matches!(
        refusal(quantity, "<scale>4</scale>", ""),
        Error::Missing { .. }
    ));
    let value = |file, good, bad| matches!(refusal(file, good, bad), Error::Value { .. });
    assert!(value(quantity, "<type>Number", "<type>Percent"));
    assert!(value(quantity, "<required>true", "<required>yes"));
    assert!(value(
        rights,
        "<modifyAllRecords>false",
        "<modifyAllRecords>true"
    ));
    assert!(value(
        rights,
        "Usage__c.Revision__c",
        "Usage__c.Quantity__c"
    ));
    let read_only = "<editable>true</editable>";
    assert!(value(rights, read_only, "<editable>false</editable>"));

    assert!(matches!(
        refusal(rights, "Usage__c.Revision__c", "Usage__c.Version__c"),
        Error::Name(_)
    ));
}

#[test]
fn no_file_that_says_how_the_org_behaves_is_left_out() {
    fn walk(folder: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else {
                found.push(path.to_str().unwrap().replace('\\', "/"));
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("salesforce");
    let mut found = Vec::new();
    for folder in ["force-app", "contract-status"] {
        walk(&root.join(folder), &mut found);
    }

    // How things look, and what the sandbox needs no file for.
    let looks = [
        "/layouts/",
        "/listViews/",
        "/tabs/",
        "/classes/",
        "/customPermissions/",
    ];
    for path in found {
        let listed = FILES.iter().any(|(known, _)| path.ends_with(known));
        let look = looks.iter().any(|folder| path.contains(folder));
        assert!(listed != look, "{path}");
    }
}
