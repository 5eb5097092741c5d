//! What the org says about itself: objects, fields, limits.
//!
//! The keys are those that a mapping check wants; Salesforce has more.

use serde_json::{Value as Json, json};

use super::super::org::Session;
use super::super::refusal::Refusal;
use super::super::schema::{Column, Field, Kind, Object, Right, SYSTEM_COLUMNS};
use super::Reply;

fn reply(body: &Json) -> Reply {
    Reply::ok(body.to_string().into_bytes())
}

/// The resources of a version.
pub(super) fn version(version: &str) -> Reply {
    let resources = ["limits", "query", "queryAll", "sobjects", "composite"];
    let urls = resources.map(|name| {
        (
            name.to_owned(),
            json!(format!("/services/data/{version}/{name}")),
        )
    });
    reply(&Json::Object(urls.into_iter().collect()))
}

/// Rows of some objects; one that has none is left out, as recorded.
pub(super) fn record_count(session: &Session<'_>, objects: Option<&str>) -> Reply {
    let wanted: Option<Vec<&str>> = objects.map(|names| names.split(',').map(str::trim).collect());
    let counts: Vec<Json> = session
        .schema
        .objects
        .iter()
        .enumerate()
        .filter(|(_, object)| {
            wanted.as_ref().is_none_or(|names| {
                names
                    .iter()
                    .any(|name| name.eq_ignore_ascii_case(&object.name))
            })
        })
        .filter_map(|(index, object)| {
            let live = (0..session.org.store.len(index))
                .filter(|row| {
                    session
                        .org
                        .store
                        .live(super::super::store::Key {
                            object: index,
                            row: *row,
                        })
                        .is_some()
                })
                .count();
            (live > 0).then(|| json!({"count": live, "name": object.name}))
        })
        .collect();
    reply(&json!({ "sObjects": counts }))
}

/// Every object that the user may read.
pub(super) fn global(session: &Session<'_>, version: &str) -> Reply {
    let objects: Vec<Json> = (0..session.schema.objects.len())
        .filter(|object| session.schema.may(session.user, Right::Read, *object))
        .map(|object| summary(session, version, object))
        .collect();
    reply(&json!({"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": objects}))
}

/// `GET /sobjects/X`: the summary, and nothing recent.
pub(super) fn basic(session: &Session<'_>, version: &str, name: &str) -> Result<Reply, Refusal> {
    let object = session.readable(name)?;
    Ok(reply(
        &json!({"objectDescribe": summary(session, version, object), "recentItems": []}),
    ))
}

/// `GET /sobjects/X/describe`.
pub(super) fn object(session: &Session<'_>, version: &str, name: &str) -> Result<Reply, Refusal> {
    let object = session.readable(name)?;
    let schema = &session.schema;
    let mut body = summary(session, version, object);
    let definition = &schema.objects[object];
    let fields: Vec<Json> = SYSTEM_COLUMNS
        .iter()
        .map(|(name, column)| system_field(definition, name, *column))
        .chain(
            definition
                .fields
                .iter()
                .enumerate()
                .filter(|(index, _)| schema.sees(session.user, object, *index))
                .map(|(_, field)| own_field(session, object, field)),
        )
        .collect();
    let children: Vec<Json> = schema
        .children_of(object)
        .map(|(child, field, relationship)| {
            let (child, field) = (
                &schema.objects[child].name,
                &schema.objects[child].fields[field],
            );
            json!({
                "cascadeDelete": matches!(field.kind, Kind::Reference { master: true, .. }),
                "childSObject": child,
                "field": field.name,
                "relationshipName": relationship,
            })
        })
        .collect();
    body["fields"] = Json::from(fields);
    body["childRelationships"] = Json::from(children);
    Ok(reply(&body))
}

fn summary(session: &Session<'_>, version: &str, object: usize) -> Json {
    let definition = &session.schema.objects[object];
    let may = |right| session.schema.may(session.user, right, object);
    let url = format!("/services/data/{version}/sobjects/{}", definition.name);
    json!({
        "activateable": false,
        "createable": may(Right::Create),
        "custom": definition.name.ends_with("__c"),
        "deletable": may(Right::Delete),
        "deprecatedAndHidden": false,
        "keyPrefix": definition.prefix,
        "label": definition.label,
        "labelPlural": definition.plural,
        "name": definition.name,
        "queryable": may(Right::Read),
        "retrieveable": may(Right::Read),
        "undeletable": may(Right::Delete),
        "updateable": may(Right::Edit),
        "urls": {"rowTemplate": format!("{url}/{{ID}}"), "describe": format!("{url}/describe"), "sobject": url},
    })
}

fn system_field(object: &Object, name: &str, column: Column) -> Json {
    let (kind, soap, length) = match column {
        Column::Id => ("id", "tns:ID", 18),
        Column::IsDeleted => ("boolean", "xsd:boolean", 0),
        _ => ("datetime", "xsd:dateTime", 0),
    };
    json!({
        "calculated": false, "caseSensitive": false, "createable": false, "custom": false,
        "defaultedOnCreate": true, "externalId": false, "idLookup": column == Column::Id,
        "label": if column == Column::Id { format!("{} ID", object.label) } else { name.to_owned() },
        "length": length, "name": name, "nillable": false, "picklistValues": [], "precision": 0,
        "referenceTo": [], "relationshipName": null, "restrictedPicklist": false, "scale": 0,
        "soapType": soap, "type": kind, "unique": false, "updateable": false,
        "writeRequiresMasterRead": false,
    })
}

fn own_field(session: &Session<'_>, object: usize, field: &Field) -> Json {
    let may = |right| field.is_writable() && session.schema.may(session.user, right, object);
    let (kind, soap, length, precision, scale) = describe_kind(&field.kind);
    let (to, relationship, fixed) = match &field.kind {
        Kind::Reference {
            to,
            relationship,
            master,
            reparentable,
            ..
        } => (
            vec![to.as_str()],
            Some(relationship.as_str()),
            *master && !*reparentable,
        ),
        _ => (Vec::new(), None, false),
    };
    let (values, default): (&[String], _) = match &field.kind {
        Kind::Picklist { values, default } => (values, default.as_deref()),
        _ => (&[], None),
    };
    let values: Vec<Json> = values
        .iter()
        .map(|value| json!({"active": true, "defaultValue": default == Some(value), "label": value, "value": value}))
        .collect();
    json!({
        "calculated": matches!(field.kind, Kind::RollUp { .. } | Kind::Formula { .. }),
        "caseSensitive": field.case_sensitive,
        "createable": may(Right::Create),
        "custom": field.name.ends_with("__c"),
        "defaultedOnCreate": default.is_some() || matches!(field.kind, Kind::Autonumber { .. } | Kind::Checkbox),
        "externalId": field.external_id,
        "idLookup": field.is_key(),
        "label": field.label,
        "length": length,
        "name": field.name,
        "nillable": !field.required && !matches!(field.kind, Kind::Autonumber { .. } | Kind::Checkbox),
        "picklistValues": values,
        "precision": precision,
        "referenceTo": to,
        "relationshipName": relationship,
        "restrictedPicklist": matches!(field.kind, Kind::Picklist { .. }),
        "scale": scale,
        "soapType": soap,
        "type": kind,
        "unique": field.unique,
        "updateable": may(Right::Edit) && !fixed,
        "writeRequiresMasterRead": matches!(field.kind, Kind::Reference { master: true, .. }),
    })
}

/// Type, SOAP type, length, precision and scale as describe tells them.
fn describe_kind(kind: &Kind) -> (&'static str, &'static str, usize, u32, u32) {
    match kind {
        Kind::Text { length } => ("string", "xsd:string", *length, 0, 0),
        Kind::Autonumber { .. } => ("string", "xsd:string", 30, 0, 0),
        Kind::Number { precision, scale } => ("double", "xsd:double", 0, *precision, *scale),
        Kind::Currency { precision, scale } => ("currency", "xsd:double", 0, *precision, *scale),
        Kind::RollUp { .. } | Kind::Formula { .. } => ("double", "xsd:double", 0, 18, 4),
        Kind::Checkbox => ("boolean", "xsd:boolean", 0, 0, 0),
        Kind::Date => ("date", "xsd:date", 0, 0, 0),
        Kind::Datetime => ("datetime", "xsd:dateTime", 0, 0, 0),
        Kind::Picklist { .. } => ("picklist", "xsd:string", 255, 0, 0),
        Kind::Reference { .. } => ("reference", "tns:ID", 18, 0, 0),
    }
}
