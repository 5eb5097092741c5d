//! Reads what the admin deploys, the metadata in `salesforce/`, into the
//! schema, so that the org which the tests meet is the org which is deployed.
//!
//! It knows only what the package uses and refuses everything else: an element,
//! a type of field or a formula that it would have to guess at. So whoever
//! changes the package either changes the sandbox with it or is told.
//!
//! Not read: how things look (layouts, list views, tabs).

use roxmltree::Document;

use super::{Kind, Object, Schema};

mod field;
mod files;
mod formula;
mod lock;
mod rights;
mod xml;

pub(super) use files::FILES;
use xml::Element;

/// Path below `salesforce/`, and text.
pub(super) type File<'a> = (&'a str, &'a str);

/// Why the package cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not well-formed.
    #[error("it is no XML")]
    Xml(#[source] roxmltree::Error),
    /// The document is of another type than its name says.
    #[error("it holds a {0}")]
    Root(String),
    /// An element that the sandbox would have to ignore.
    #[error("the sandbox does not know <{element}> in <{parent}>")]
    Unknown {
        /// The element.
        element: String,
        /// Where it stands.
        parent: String,
    },
    /// An element that must be there once.
    #[error("<{element}> is missing in <{parent}>")]
    Missing {
        /// The element.
        element: &'static str,
        /// Where it should stand.
        parent: String,
    },
    /// A text that means nothing here.
    #[error("<{element}> is {text:?}, which the sandbox does not know")]
    Value {
        /// The element.
        element: &'static str,
        /// What it holds.
        text: String,
    },
    /// A formula that does something else than the sandbox.
    #[error("the formula {0:?} is none that the sandbox acts like")]
    Formula(String),
    /// A record could be deleted although the rule locks it.
    #[error("the rule {rule} locks, and no trigger on {object} has {wanted:?}")]
    Unguarded {
        /// The rule's name.
        rule: String,
        /// Whose records it locks.
        object: String,
        /// What a trigger must hold.
        wanted: String,
    },
    /// Something in it is about an object or a field that is not there.
    #[error("it names {0}, which is not there")]
    Name(String),
}

/// Adds the package to the org that it is deployed to.
pub(super) fn install(schema: &mut Schema, files: &[File<'_>]) -> Result<(), super::Error> {
    add_objects(schema, files)?;
    each(files, ".field-meta.xml", "CustomField", |path, field| {
        let object = owner(schema, path)?;
        object.fields.push(field::read(field)?);
        Ok(())
    })?;
    each(
        files,
        ".standardValueSet-meta.xml",
        "StandardValueSet",
        |path, set| add_values(schema, path, set),
    )?;
    lock::add_rules(schema, files)?;
    rights::grant(schema, files)
}

fn add_objects(schema: &mut Schema, files: &[File<'_>]) -> Result<(), super::Error> {
    let mut number = 0;
    each(files, ".object-meta.xml", "CustomObject", |path, object| {
        object.only(&[
            "deploymentStatus",
            "description",
            "enableBulkApi",
            "enableReports",
            "enableSearch",
            "enableSharing",
            "enableStreamingApi",
            "label",
            "nameField",
            "pluralLabel",
            "sharingModel",
        ])?;
        schema.objects.push(Object {
            name: stem(path, ".object-meta.xml").to_owned(),
            label: object.text("label")?.to_owned(),
            plural: object.text("pluralLabel")?.to_owned(),
            // An org counts its custom objects in the order of their creation.
            prefix: format!("a{number:02}"),
            fields: vec![field::read_name(object.child("nameField")?)?],
            columns: std::collections::HashMap::default(),
        });
        number += 1;
        Ok(())
    })
}

/// A deployed value set replaces the one that was there.
fn add_values(schema: &mut Schema, path: &str, set: Element<'_, '_>) -> Result<(), Error> {
    set.only(&["groupingStringEnum", "sorted", "standardValue"])?;
    let (object, field) = match stem(path, ".standardValueSet-meta.xml") {
        "ContractStatus" => ("Contract", "Status"),
        other => return Err(Error::Name(other.to_owned())),
    };
    let mut names = Vec::new();
    let mut first = None;
    for value in set.children("standardValue") {
        value.only(&["fullName", "default", "label", "groupingString"])?;
        let name = value.text("fullName")?.to_owned();
        if value.flag("default")? {
            first = Some(name.clone());
        }
        names.push(name);
    }
    let picklist = schema
        .objects
        .iter_mut()
        .filter(|candidate| candidate.name == object)
        .flat_map(|candidate| &mut candidate.fields)
        .find(|candidate| candidate.name == field);
    let Some(Kind::Picklist { values, default }) = picklist.map(|field| &mut field.kind) else {
        return Err(Error::Name(format!("{object}.{field}")));
    };
    *values = names;
    *default = first;
    Ok(())
}

/// Reads every file of a type; what is wrong is told with the file's name.
fn each(
    files: &[File<'_>],
    suffix: &str,
    root: &str,
    mut read: impl FnMut(&str, Element<'_, '_>) -> Result<(), Error>,
) -> Result<(), super::Error> {
    for (path, text) in files.iter().filter(|(path, _)| path.ends_with(suffix)) {
        let outcome = Document::parse(text).map_err(Error::Xml).and_then(|xml| {
            let element = Element::root(&xml, root)?;
            read(path, element)
        });
        outcome.map_err(|source| super::Error::Package {
            file: (*path).to_owned(),
            source,
        })?;
    }
    Ok(())
}

/// `Usage__c` from `…/objects/Usage__c/fields/Quantity__c.field-meta.xml`.
fn owner_name(path: &str) -> &str {
    let mut steps = path.split('/').skip_while(|step| *step != "objects");
    steps.nth(1).unwrap_or_default()
}

fn owner<'a>(schema: &'a mut Schema, path: &str) -> Result<&'a mut Object, Error> {
    let name = owner_name(path);
    schema
        .objects
        .iter_mut()
        .find(|object| object.name == name)
        .ok_or_else(|| Error::Name(name.to_owned()))
}

/// The API name that a file stands for.
fn stem<'a>(path: &'a str, suffix: &str) -> &'a str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.strip_suffix(suffix).unwrap_or(name)
}

#[cfg(test)]
mod tests;
