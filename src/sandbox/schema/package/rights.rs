//! What the permission sets give to the users who have them (Metadata API
//! Developer Guide, "`PermissionSet`").
//!
//! A permission set that overrides locks or sharing is refused: the sandbox
//! would have to obey it, and the daemon must never need it.

use std::collections::HashSet;

use super::super::{Kind, Right, Schema};
use super::xml::{Element, unknown};
use super::{Error, File, each, stem};

const SUFFIX: &str = ".permissionset-meta.xml";

pub(super) fn grant(schema: &mut Schema, files: &[File<'_>]) -> Result<(), super::super::Error> {
    let mut visible: Vec<HashSet<String>> = vec![HashSet::new(); schema.users.len()];
    each(files, SUFFIX, "PermissionSet", |path, set| {
        let name = stem(path, SUFFIX);
        check(schema, set)?;
        for (user, visible) in schema.users.iter_mut().zip(&mut visible) {
            let Some(place) = user.permission_sets.iter().position(|own| own == name) else {
                continue;
            };
            user.permission_sets.remove(place);
            for permission in set.children("customPermissions") {
                if permission.flag("enabled")? {
                    user.permissions.insert(permission.text("name")?.to_owned());
                }
            }
            for object in set.children("objectPermissions") {
                user.rights
                    .entry(object.text("object")?.to_owned())
                    .or_default()
                    .extend(rights(object)?);
            }
            visible.extend(readable(set)?);
        }
        Ok(())
    })?;
    for (user, visible) in schema.users.iter_mut().zip(visible) {
        if user.all_rights {
            continue;
        }
        for (object, definition) in schema.objects.iter().enumerate() {
            for (index, field) in definition.fields.iter().enumerate() {
                let name = format!("{}.{}", definition.name, field.name);
                // Whoever may see a record sees its required fields.
                if field.name.ends_with("__c") && !field.required && !visible.contains(&name) {
                    user.hidden.insert((object, index));
                }
            }
        }
    }
    Ok(())
}

/// Refuses what does not fit the objects or what the sandbox does not act on.
fn check(schema: &Schema, set: Element<'_, '_>) -> Result<(), Error> {
    set.only(&[
        "customPermissions",
        "description",
        "fieldPermissions",
        "hasActivationRequired",
        "label",
        "objectPermissions",
        "tabSettings",
    ])?;
    let mut writable = HashSet::new();
    for object in set.children("objectPermissions") {
        for overriding in ["modifyAllRecords", "viewAllRecords"] {
            if object.flag(overriding)? {
                return Err(unknown(overriding, "true"));
            }
        }
        if rights(object)?.contains(&Right::Edit) {
            writable.insert(object.text("object")?);
        }
    }
    for permission in set.children("fieldPermissions") {
        let name = permission.text("field")?;
        let (object, column) = name.split_once('.').unwrap_or((name, ""));
        let field = schema
            .objects
            .iter()
            .filter(|known| known.name == object)
            .flat_map(|known| &known.fields)
            .find(|known| known.name == column)
            .ok_or_else(|| Error::Name(name.to_owned()))?;
        // Salesforce refuses to deploy a permission for such a field.
        if field.required || matches!(field.kind, Kind::Reference { .. }) {
            return Err(unknown("field", name));
        }
        // The sandbox has no field that a writer of the record may only read.
        if writable.contains(object) && permission.flag("editable")? != field.is_writable() {
            return Err(unknown("editable", name));
        }
    }
    Ok(())
}

fn rights(object: Element<'_, '_>) -> Result<HashSet<Right>, Error> {
    let mut rights = HashSet::new();
    for (flag, right) in [
        ("allowCreate", Right::Create),
        ("allowRead", Right::Read),
        ("allowEdit", Right::Edit),
        ("allowDelete", Right::Delete),
    ] {
        if object.flag(flag)? {
            rights.insert(right);
        }
    }
    Ok(rights)
}

fn readable(set: Element<'_, '_>) -> Result<Vec<String>, Error> {
    let mut names = Vec::new();
    for permission in set.children("fieldPermissions") {
        if permission.flag("readable")? {
            names.push(permission.text("field")?.to_owned());
        }
    }
    Ok(names)
}
