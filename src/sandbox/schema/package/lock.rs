//! The rules that refuse writes: validation rules, and the trigger that locks
//! where no validation rule runs (Apex Developer Guide, "Triggers and Order of
//! Execution": a delete runs triggers and no validation rules).
//!
//! A trigger is a program and is not understood here. What must stand in it,
//! word for word, is what the rule says: so neither is changed alone.

use roxmltree::Document;

use super::super::{Rule, RuleKind, Schema};
use super::formula::{self, Condition};
use super::xml::Element;
use super::{Error, File, each, owner, owner_name, stem};

const SUFFIX: &str = ".validationRule-meta.xml";

pub(super) fn add_rules(
    schema: &mut Schema,
    files: &[File<'_>],
) -> Result<(), super::super::Error> {
    each(files, SUFFIX, "ValidationRule", |path, rule| {
        rule.only(&[
            "fullName",
            "active",
            "description",
            "errorConditionFormula",
            "errorDisplayField",
            "errorMessage",
        ])?;
        let message = rule.text("errorMessage")?;
        let kind = match formula::condition(rule.text("errorConditionFormula")?)? {
            Condition::NotOlder { field } => RuleKind::NotOlder { field, index: 0 },
            Condition::Locked {
                permission,
                status,
                value,
                changed,
            } => {
                let guard = Guard {
                    rule: stem(path, SUFFIX),
                    object: owner_name(path),
                    wanted: wanted(&permission, &status, &value, message),
                };
                guard.find_in(files)?;
                let (path, field) = ancestor(&status)?;
                RuleKind::LockedByAncestor {
                    path,
                    field,
                    value,
                    unless_only: others(schema, guard.object, &changed)?,
                    unless_permission: permission,
                    steps: Vec::new(),
                    status: 0,
                    ignored: Vec::new(),
                }
            }
        };
        let object = owner(schema, path)?.name.clone();
        schema.rules.push(Rule {
            name: rule.text("fullName")?.to_owned(),
            object,
            on: 0,
            kind,
            message: message.to_owned(),
            error_field: rule
                .has("errorDisplayField")
                .then(|| rule.text("errorDisplayField").map(str::to_owned))
                .transpose()?,
            active: rule.flag("active")?,
        });
        Ok(())
    })
}

/// `Contract_Product__r.Contract__r.Status` as references and a field.
fn ancestor(status: &str) -> Result<(Vec<String>, String), Error> {
    let mut steps: Vec<&str> = status.split('.').collect();
    let field = steps.pop().unwrap_or_default();
    let references = steps.iter().map(|step| {
        let stem = step.strip_suffix("__r");
        stem.map(|stem| format!("{stem}__c"))
            .ok_or_else(|| Error::Name(format!("a relationship {step}")))
    });
    Ok((references.collect::<Result<_, _>>()?, field.to_owned()))
}

/// The fields that may change under the lock: those that are not named.
fn others(schema: &Schema, object: &str, changed: &[String]) -> Result<Vec<String>, Error> {
    let object = schema.objects.iter().find(|known| known.name == object);
    let fields = object
        .map(|object| object.fields.as_slice())
        .unwrap_or_default();
    if let Some(name) = changed
        .iter()
        .find(|name| !fields.iter().any(|field| field.name == **name))
    {
        return Err(Error::Name(name.clone()));
    }
    Ok(fields
        .iter()
        .filter(|field| field.is_writable() && !changed.contains(&field.name))
        .map(|field| field.name.clone())
        .collect())
}

/// What a trigger must hold to do what the rule does.
fn wanted(permission: &str, status: &str, value: &str, message: &str) -> [String; 6] {
    // The query starts at the parent, which the record itself need not name.
    let (_, status) = status.split_once('.').unwrap_or(("", status));
    [
        "before update".to_owned(),
        "before delete".to_owned(),
        "after undelete".to_owned(),
        format!("checkPermission('{permission}')"),
        format!("{status} = '{value}'"),
        format!("addError('{message}')"),
    ]
}

struct Guard<'a> {
    rule: &'a str,
    object: &'a str,
    wanted: [String; 6],
}

impl Guard<'_> {
    fn find_in(&self, files: &[File<'_>]) -> Result<(), Error> {
        let on = format!(" on {} (", self.object);
        let trigger = files.iter().find(|(path, text)| {
            path.ends_with(".trigger") && text.contains(&on) && is_active(path, files)
        });
        let missing = match trigger {
            None => Some(&self.wanted[0]),
            Some((_, text)) => self.wanted.iter().find(|wanted| !text.contains(*wanted)),
        };
        missing.map_or(Ok(()), |wanted| {
            Err(Error::Unguarded {
                rule: self.rule.to_owned(),
                object: self.object.to_owned(),
                wanted: wanted.clone(),
            })
        })
    }
}

fn is_active(trigger: &str, files: &[File<'_>]) -> bool {
    let path = format!("{trigger}-meta.xml");
    let text = files.iter().find(|(name, _)| **name == path);
    let document = text.and_then(|(_, text)| Document::parse(text).ok());
    document.is_some_and(|document| {
        Element::root(&document, "ApexTrigger")
            .and_then(|trigger| trigger.text("status"))
            .is_ok_and(|status| status == "Active")
    })
}
