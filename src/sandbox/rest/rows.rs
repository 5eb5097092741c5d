//! `/sobjects/X`, `/sobjects/X/{id}` and `/sobjects/X/{field}/{value}`:
//! one row a call.

use super::super::id::Id;
use super::super::input::Input;
use super::super::org::Session;
use super::super::records::Unmatched;
use super::super::refusal::Refusal;
use super::super::schema::Column;
use super::super::store::Key;
use super::Reply;

/// A row named by the value of one of its key fields.
#[derive(Clone, Copy)]
pub(super) struct ByKey<'a> {
    pub(super) object: &'a str,
    pub(super) field: &'a str,
    pub(super) value: &'a str,
    pub(super) version: &'a str,
}

pub(super) fn create(
    session: &mut Session<'_>,
    version: &str,
    object: &str,
    body: &str,
) -> Result<Reply, Refusal> {
    let object = session.readable(object)?;
    let key = session.create(object, &read_input(body)?)?;
    Ok(created(session, version, key, b"}"))
}

pub(super) fn read(
    session: &mut Session<'_>,
    version: &str,
    object: &str,
    id: &str,
    fields: Option<&str>,
) -> Result<Reply, Refusal> {
    let object = session.readable(object)?;
    let key = find(session, object, id).map_err(|refusal| match refusal.code.as_ref() {
        "INVALID_CROSS_REFERENCE_KEY" => Refusal::not_found(),
        _ => refusal,
    })?;
    print(session, version, key, fields)
}

pub(super) fn update(
    session: &mut Session<'_>,
    object: &str,
    id: &str,
    body: &str,
) -> Result<Reply, Refusal> {
    let object = session.readable(object)?;
    let key = find(session, object, id)?;
    let input = read_input(body)?;
    if input.get("Id").is_some() {
        return Err(id_in_body());
    }
    session.update(key, &input)?;
    Ok(Reply::no_content())
}

pub(super) fn delete(session: &mut Session<'_>, object: &str, id: &str) -> Result<Reply, Refusal> {
    let object = session.readable(object)?;
    let key = find(session, object, id)?;
    session.delete(key)?;
    Ok(Reply::no_content())
}

pub(super) fn read_by_key(
    session: &mut Session<'_>,
    by: ByKey<'_>,
    fields: Option<&str>,
) -> Result<Reply, Refusal> {
    match match_key(session, by)? {
        Ok(key) => print(session, by.version, key, fields),
        Err(Unmatched::None) => Err(Refusal::not_found()),
        Err(Unmatched::Many(keys)) => Ok(choices(session, by.version, &keys)),
    }
}

pub(super) fn delete_by_key(session: &mut Session<'_>, by: ByKey<'_>) -> Result<Reply, Refusal> {
    match match_key(session, by)? {
        Ok(key) => session.delete(key).map(|()| Reply::no_content()),
        Err(Unmatched::None) => Err(Refusal::not_found()),
        Err(Unmatched::Many(keys)) => Ok(choices(session, by.version, &keys)),
    }
}

/// Creates or updates. The field of the path may not stand in the body too
/// (REST guide, Insert or Update (Upsert) a Record Using an External ID).
pub(super) fn upsert(
    session: &mut Session<'_>,
    by: ByKey<'_>,
    body: &str,
    update_only: bool,
) -> Result<Reply, Refusal> {
    let matched = match_key(session, by)?;
    let object = session.readable(by.object)?;
    let field = session.key_field(object, by.field)?;
    let name = session.schema.objects[object].fields[field].name.clone();
    let input = read_input(body)?;
    if input.get(&name).is_some() {
        let message = format!("The {name} field should not be specified in the sobject data.");
        return Err(Refusal::new("INVALID_FIELD", message).fields([name.as_str()]));
    }
    if input.get("Id").is_some() {
        return Err(id_in_body());
    }
    match matched {
        Ok(key) => {
            session.update(key, &input)?;
            // Before v46.0 an update had no answer, and `created` was unknown.
            if version_number(by.version) < 46 {
                return Ok(Reply::no_content());
            }
            let body = format!(
                "{{\"id\":\"{}\",\"success\":true,\"errors\":[],\"created\":false}}",
                session.id(key)
            );
            Ok(Reply::ok(body.into_bytes()))
        }
        Err(Unmatched::Many(keys)) => Ok(choices(session, by.version, &keys)),
        Err(Unmatched::None) if update_only => Err(Refusal::not_found()),
        Err(Unmatched::None) => {
            let raw =
                serde_json::value::to_raw_value(by.value).map_err(|_never| Refusal::not_found())?;
            let upserted = session.upsert(object, field, &raw, input)?;
            let end: &[u8] = if version_number(by.version) < 46 {
                b"}"
            } else {
                b",\"created\":true}"
            };
            Ok(created(session, by.version, upserted.key, end))
        }
    }
}

fn version_number(version: &str) -> u32 {
    version
        .trim_start_matches('v')
        .trim_end_matches(".0")
        .parse()
        .unwrap_or_default()
}

/// The values of a row by the names in `fields`, or by all that the user sees.
fn print(
    session: &Session<'_>,
    version: &str,
    key: Key,
    fields: Option<&str>,
) -> Result<Reply, Refusal> {
    let columns = columns(session, key.object, fields)?;
    let mut body = Vec::new();
    session.write_record(version, key, &columns, &mut body);
    Ok(Reply::ok(body))
}

/// Turns `A,B` into columns.
pub(super) fn columns(
    session: &Session<'_>,
    object: usize,
    fields: Option<&str>,
) -> Result<Vec<Column>, Refusal> {
    let definition = &session.schema.objects[object];
    let visible = |column: &Column| match column {
        Column::Field(index) => session.schema.sees(session.user, object, *index),
        _ => true,
    };
    let Some(fields) = fields else {
        return Ok(definition.all_columns().filter(visible).collect());
    };
    let mut columns = Vec::new();
    for name in fields
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
    {
        let column = definition.column(name).filter(visible).ok_or_else(|| {
            let message = format!(
                "No such column '{name}' on sobject of type {}",
                definition.name
            );
            Refusal::new("INVALID_FIELD", message)
        })?;
        if !columns.contains(&column) {
            columns.push(column);
        }
    }
    Ok(columns)
}

fn read_input(body: &str) -> Result<Input<'_>, Refusal> {
    serde_json::from_str(body).map_err(|error| {
        Refusal::bad_json(format!(
            "Cannot deserialize instance of sobject at [line:{}, column:{}]",
            error.line(),
            error.column()
        ))
    })
}

/// A row by what stands in the path. What does not even look like an id is
/// taken for the name of a field (recorded by restforce).
fn find(session: &Session<'_>, object: usize, text: &str) -> Result<Key, Refusal> {
    if !Id::looks_like(text) {
        session.key_field(object, text)?;
        return Err(Refusal::not_found());
    }
    match Id::parse(text).filter(|id| session.schema.object_of(*id) == Some(object)) {
        Some(id) => session.by_id(object, id),
        None => Err(malformed_id(session, object, text)),
    }
}

/// An id with a wrong checksum, or of another object.
pub(super) fn malformed_id(session: &Session<'_>, object: usize, text: &str) -> Refusal {
    let label = &session.schema.objects[object].label;
    Refusal::new(
        "MALFORMED_ID",
        format!("{label} ID: id value of incorrect type: {text}"),
    )
    .fields(["Id"])
}

fn match_key(session: &Session<'_>, by: ByKey<'_>) -> Result<Result<Key, Unmatched>, Refusal> {
    let object = session.readable(by.object)?;
    if by.field.eq_ignore_ascii_case("Id") {
        return find(session, object, by.value).map(Ok);
    }
    let field = session.key_field(object, by.field)?;
    Ok(session.by_key_field(object, field, by.value))
}

fn id_in_body() -> Refusal {
    Refusal::new(
        "INVALID_FIELD",
        "The Id field should not be specified in the sobject data.",
    )
}

fn created(session: &Session<'_>, version: &str, key: Key, end: &[u8]) -> Reply {
    let id = session.id(key);
    let mut body = format!("{{\"id\":\"{id}\",\"success\":true,\"errors\":[]").into_bytes();
    body.extend_from_slice(end);
    let object = &session.schema.objects[key.object].name;
    Reply {
        status: 201,
        body,
        location: Some(format!("/services/data/{version}/sobjects/{object}/{id}")),
    }
}

/// Several rows answer to one external id: a list of their addresses.
fn choices(session: &Session<'_>, version: &str, keys: &[Key]) -> Reply {
    let urls: Vec<String> = keys
        .iter()
        .map(|key| {
            let object = &session.schema.objects[key.object].name;
            format!(
                "/services/data/{version}/sobjects/{object}/{}",
                session.id(*key)
            )
        })
        .collect();
    Reply {
        status: 300,
        body: serde_json::json!(urls).to_string().into_bytes(),
        location: None,
    }
}
