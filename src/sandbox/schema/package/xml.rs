//! The little that is asked of an XML document, with refusals that name the
//! element.

use std::str::FromStr;

use roxmltree::{Document, Node};

use super::Error;

/// An element of a metadata file.
#[derive(Clone, Copy)]
pub(super) struct Element<'a, 'text>(Node<'a, 'text>);

impl<'a, 'text> Element<'a, 'text> {
    pub(super) fn root(document: &'a Document<'text>, name: &str) -> Result<Self, Error> {
        let root = Self(document.root_element());
        if root.name() == name {
            Ok(root)
        } else {
            Err(Error::Root(root.name().to_owned()))
        }
    }

    fn name(self) -> &'a str {
        self.0.tag_name().name()
    }

    fn elements(self) -> impl Iterator<Item = Self> {
        self.0.children().filter(Node::is_element).map(Self)
    }

    pub(super) fn children(self, name: &str) -> impl Iterator<Item = Self> {
        self.elements().filter(move |child| child.name() == name)
    }

    /// Refuses elements that nobody here reads.
    pub(super) fn only(self, known: &[&str]) -> Result<(), Error> {
        match self.elements().find(|child| !known.contains(&child.name())) {
            None => Ok(()),
            Some(other) => Err(Error::Unknown {
                element: other.name().to_owned(),
                parent: self.name().to_owned(),
            }),
        }
    }

    pub(super) fn child(self, name: &'static str) -> Result<Self, Error> {
        self.children(name).next().ok_or_else(|| Error::Missing {
            element: name,
            parent: self.name().to_owned(),
        })
    }

    pub(super) fn has(self, name: &str) -> bool {
        self.children(name).next().is_some()
    }

    pub(super) fn text(self, name: &'static str) -> Result<&'a str, Error> {
        Ok(self.child(name)?.0.text().unwrap_or_default())
    }

    pub(super) fn number<T: FromStr>(self, name: &'static str) -> Result<T, Error> {
        let text = self.text(name)?;
        text.parse().map_err(|_number| unknown(name, text))
    }

    /// False where the element is missing, as Salesforce reads it.
    pub(super) fn flag(self, name: &'static str) -> Result<bool, Error> {
        if !self.has(name) {
            return Ok(false);
        }
        match self.text(name)? {
            "true" => Ok(true),
            "false" => Ok(false),
            other => Err(unknown(name, other)),
        }
    }
}

pub(super) fn unknown(element: &'static str, text: &str) -> Error {
    Error::Value {
        element,
        text: text.to_owned(),
    }
}
