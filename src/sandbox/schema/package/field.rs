//! The fields of an object (Metadata API Developer Guide, "`CustomField`").

use super::super::{Field, Kind, Operation};
use super::xml::{Element, unknown};
use super::{Error, formula};

/// Not the org's business, or the same for all fields of the package.
const ANY: [&str; 3] = ["fullName", "description", "label"];

/// How long a name is that people type.
const NAME_LENGTH: usize = 80;

/// The field `Name`, which the object itself describes.
pub(super) fn read_name(field: Element<'_, '_>) -> Result<Field, Error> {
    field.only(&["displayFormat", "label", "type"])?;
    let kind = match field.text("type")? {
        "Text" => Kind::Text {
            length: NAME_LENGTH,
        },
        "AutoNumber" => Kind::Autonumber {
            format: field.text("displayFormat")?.to_owned(),
            start: super::super::one(),
        },
        other => return Err(unknown("type", other)),
    };
    Ok(new("Name", field.text("label")?, kind))
}

/// A field with a file of its own.
pub(super) fn read(field: Element<'_, '_>) -> Result<Field, Error> {
    let name = field.text("fullName")?;
    let kind = kind(field, name)?;
    let master = matches!(kind, Kind::Reference { .. });
    let mut read = new(name, field.text("label")?, kind);
    read.required = master || field.flag("required")?;
    read.unique = field.flag("unique")?;
    read.external_id = field.flag("externalId")?;
    read.case_sensitive = field.flag("caseSensitive")?;
    Ok(read)
}

fn new(name: &str, label: &str, kind: Kind) -> Field {
    Field {
        name: name.to_owned(),
        label: label.to_owned(),
        kind,
        required: false,
        unique: false,
        external_id: false,
        id_lookup: false,
        case_sensitive: false,
    }
}

fn kind(field: Element<'_, '_>, name: &str) -> Result<Kind, Error> {
    let only = |own: &[&str]| {
        let common = ["type", "externalId", "required", "unique"];
        field.only(&[ANY.as_slice(), &common, own].concat())
    };
    match field.text("type")? {
        "Text" => {
            only(&["length", "caseSensitive"])?;
            let length = field.number("length")?;
            Ok(Kind::Text { length })
        }
        "Number" if field.has("formula") => {
            only(&["formula", "formulaTreatBlanksAs", "precision", "scale"])?;
            let (minuend, subtrahend) = formula::difference(field.text("formula")?)?;
            match field.text("formulaTreatBlanksAs")? {
                "BlankAsZero" => Ok(Kind::Formula {
                    minuend,
                    subtrahend,
                    terms: (0, 0),
                }),
                other => Err(unknown("formulaTreatBlanksAs", other)),
            }
        }
        sort @ ("Number" | "Currency") => {
            only(&["precision", "scale"])?;
            let (precision, scale) = (field.number("precision")?, field.number("scale")?);
            Ok(if sort == "Number" {
                Kind::Number { precision, scale }
            } else {
                Kind::Currency { precision, scale }
            })
        }
        "MasterDetail" => master(field, name),
        "Summary" => roll_up(field),
        other => Err(unknown("type", other)),
    }
}

fn master(field: Element<'_, '_>, name: &str) -> Result<Kind, Error> {
    let own = [
        "type",
        "referenceTo",
        "relationshipLabel",
        "relationshipName",
        "relationshipOrder",
        "reparentableMasterDetail",
        "writeRequiresMasterRead",
    ];
    field.only(&[ANY.as_slice(), &own].concat())?;
    let stem = name.strip_suffix("__c").unwrap_or(name);
    Ok(Kind::Reference {
        to: field.text("referenceTo")?.to_owned(),
        relationship: format!("{stem}__r"),
        children: format!("{}__r", field.text("relationshipName")?),
        master: true,
        reparentable: field.flag("reparentableMasterDetail")?,
        target: 0,
    })
}

fn roll_up(field: Element<'_, '_>) -> Result<Kind, Error> {
    let own = [
        "type",
        "externalId",
        "summarizedField",
        "summaryForeignKey",
        "summaryOperation",
    ];
    field.only(&[ANY.as_slice(), &own].concat())?;
    let (child, foreign_key) = column(field, "summaryForeignKey")?;
    let operation = match field.text("summaryOperation")? {
        "count" => Operation::Count,
        "sum" => Operation::Sum,
        "min" => Operation::Min,
        "max" => Operation::Max,
        other => return Err(unknown("summaryOperation", other)),
    };
    let summed = match operation {
        Operation::Count => None,
        _ => Some(column(field, "summarizedField")?),
    };
    if summed.as_ref().is_some_and(|(object, _)| *object != child) {
        return Err(Error::Name(format!("one child of {child}")));
    }
    Ok(Kind::RollUp {
        child,
        foreign_key,
        operation,
        field: summed.map(|(_, field)| field),
    })
}

/// `Usage__c.Quantity__c`.
fn column(field: Element<'_, '_>, name: &'static str) -> Result<(String, String), Error> {
    let text = field.text(name)?;
    let (object, column) = text.split_once('.').ok_or_else(|| unknown(name, text))?;
    Ok((object.to_owned(), column.to_owned()))
}
