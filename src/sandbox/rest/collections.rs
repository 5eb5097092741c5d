//! `/composite/sobjects`: up to 200 records a call, each with a result of its
//! own, in the order of the request.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::id::Id;
use super::super::input::Input;
use super::super::org::Session;
use super::super::refusal::Refusal;
use super::super::store::Key;
use super::super::value;
use super::{Reply, rows};

mod outcome;

use outcome::{Outcome, run};

/// REST guide, sObject Collections.
const MAX_RECORDS: usize = 200;
/// Runs of consecutive equal types in one request (same page).
const MAX_RUNS: usize = 10;
/// Ids in the body of a read (same guide, Get Records Using sObject Collections).
const MAX_READ: usize = 2000;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    #[serde(default)]
    all_or_none: bool,
    #[serde(borrow)]
    records: Vec<Input<'a>>,
}

pub(super) fn create(session: &mut Session<'_>, body: &str) -> Result<Reply, Refusal> {
    let request = read_request(body)?;
    let types = types_of(&request)?;
    run(
        session,
        request.all_or_none,
        request.records.len(),
        |session, place| {
            let object = session
                .readable(types[place])
                .map_err(|_unseen| unsupported(types[place]));
            match object.and_then(|object| session.create(object, &request.records[place])) {
                Ok(key) => Outcome {
                    id: Some(session.id(key)),
                    created: None,
                    result: Ok(()),
                },
                Err(refusal) => Outcome::refused(refusal),
            }
        },
    )
}

pub(super) fn update(session: &mut Session<'_>, body: &str) -> Result<Reply, Refusal> {
    let request = read_request(body)?;
    let types = types_of(&request)?;
    let ids: Vec<Option<Cow<'_, str>>> = request
        .records
        .iter()
        .map(|record| record.get("Id").and_then(value::string))
        .collect();
    let counts = count(
        ids.iter()
            .flatten()
            .filter_map(|id| Id::parse(id))
            .map(|id| id.to_string()),
    );
    run(
        session,
        request.all_or_none,
        request.records.len(),
        |session, place| {
            let key = ids[place]
                .as_deref()
                .ok_or_else(|| {
                    Refusal::new("MISSING_ARGUMENT", "Id not specified in an update call")
                        .fields([])
                })
                .and_then(|id| {
                    let object = session
                        .readable(types[place])
                        .map_err(|_unseen| unsupported(types[place]))?;
                    let known =
                        Id::parse(id).filter(|id| session.schema.object_of(*id) == Some(object));
                    let known = known.ok_or_else(|| rows::malformed_id(session, object, id))?;
                    if counts.get(known.as_str()).is_some_and(|count| *count > 1) {
                        let message = format!("Duplicate id specified: {known}");
                        return Err(Refusal::new("DUPLICATE_VALUE", message).fields(["Id"]));
                    }
                    session.by_id(object, known)
                });
            match key {
                Ok(key) => Outcome {
                    id: Some(session.id(key)),
                    created: None,
                    result: session.update(key, &request.records[place]),
                },
                Err(refusal) => Outcome::refused(refusal),
            }
        },
    )
}

pub(super) fn upsert(
    session: &mut Session<'_>,
    object: &str,
    field: &str,
    body: &str,
) -> Result<Reply, Refusal> {
    let object = session.readable(object)?;
    let by_id = field.eq_ignore_ascii_case("Id");
    let field = if by_id {
        None
    } else {
        Some(session.key_field(object, field)?)
    };
    let request = read_request(body)?;
    let schema = std::sync::Arc::clone(&session.schema);
    let wanted = &schema.objects[object];
    if let Some(other) = types_of(&request)?
        .into_iter()
        .find(|name| !name.eq_ignore_ascii_case(&wanted.name))
    {
        let message = format!(
            "Record type {other} does not match the type of the request, {}",
            wanted.name
        );
        return Err(Refusal::new("INVALID_TYPE", message));
    }
    let name = field.map_or("Id", |field| wanted.fields[field].name.as_str());
    let definition = field.map(|field| &wanted.fields[field]);
    let (mut keys, mut records) = (Vec::new(), Vec::new());
    for mut record in request.records {
        keys.push(record.take(name));
        records.push(Some(record));
    }
    let fold = |raw: &RawValue| {
        let text = value::string(raw).unwrap_or(Cow::Borrowed(raw.get()));
        definition.map_or_else(
            || text.trim().to_owned(),
            |field| field.fold(text.trim()).into_owned(),
        )
    };
    let present = |raw: &&RawValue| raw.get() != "null";
    let counts = count(keys.iter().flatten().copied().filter(present).map(fold));
    run(
        session,
        request.all_or_none,
        records.len(),
        |session, place| {
            let record = records[place].take().unwrap_or_default();
            let Some(key) = keys[place].filter(present) else {
                return upsert_without_key(session, object, name, by_id, &record);
            };
            if counts.get(&fold(key)).is_some_and(|count| *count > 1) {
                let text = value::string(key).unwrap_or(Cow::Borrowed(key.get()));
                let message = format!("Duplicate external id specified: {}", text.trim());
                return Outcome::refused(Refusal::new("DUPLICATE_VALUE", message).fields([name]));
            }
            let upserted = match field {
                Some(field) => session
                    .upsert(object, field, key, record)
                    .map(|done| (done.key, done.created)),
                None => update_by_id(session, object, key, &record).map(|key| (key, false)),
            };
            match upserted {
                Ok((key, created)) => Outcome {
                    id: Some(session.id(key)),
                    created: Some(created),
                    result: Ok(()),
                },
                Err(refusal) => Outcome::refused(refusal),
            }
        },
    )
}

/// Upsert by `Id` creates where the id is null (recorded).
fn upsert_without_key(
    session: &mut Session<'_>,
    object: usize,
    name: &str,
    by_id: bool,
    record: &Input<'_>,
) -> Outcome {
    if !by_id {
        return Outcome::refused(
            Refusal::new("MISSING_ARGUMENT", format!("{name} not specified")).fields([]),
        );
    }
    match session.create(object, record) {
        Ok(key) => Outcome {
            id: Some(session.id(key)),
            created: Some(true),
            result: Ok(()),
        },
        Err(refusal) => Outcome::refused(refusal),
    }
}

fn update_by_id(
    session: &mut Session<'_>,
    object: usize,
    raw: &RawValue,
    record: &Input<'_>,
) -> Result<Key, Refusal> {
    let text = value::string(raw).unwrap_or(Cow::Borrowed(raw.get()));
    let id = Id::parse(&text).filter(|id| session.schema.object_of(*id) == Some(object));
    let key = session.by_id(
        object,
        id.ok_or_else(|| rows::malformed_id(session, object, &text))?,
    )?;
    session.update(key, record)?;
    Ok(key)
}

/// Deletes by record ids, never by external ids.
pub(super) fn delete(
    session: &mut Session<'_>,
    ids: Option<&str>,
    all_or_none: bool,
) -> Result<Reply, Refusal> {
    let ids: Vec<&str> = split(ids)?;
    check_count(ids.len())?;
    run(session, all_or_none, ids.len(), |session, place| {
        let text = ids[place];
        let found = Id::parse(text).and_then(|id| Some((id, session.schema.object_of(id)?)));
        let Some((id, object)) = found else {
            let message = format!("malformed id {text}");
            return Outcome::refused(Refusal::new("MALFORMED_ID", message).fields([]));
        };
        match session.by_id(object, id) {
            Ok(key) => Outcome {
                id: Some(id),
                created: None,
                result: session.delete(key),
            },
            Err(refusal) => Outcome::refused(refusal),
        }
    })
}

pub(super) fn read(
    session: &mut Session<'_>,
    version: &str,
    object: &str,
    ids: Option<&str>,
    fields: Option<&str>,
) -> Result<Reply, Refusal> {
    let ids = split(ids)?;
    let fields = fields
        .ok_or_else(|| Refusal::new("MISSING_ARGUMENT", "The fields parameter is required"))?;
    print(session, version, object, &ids, fields)
}

#[derive(Deserialize)]
struct ReadRequest<'a> {
    #[serde(borrow)]
    ids: Vec<Cow<'a, str>>,
    #[serde(borrow)]
    fields: Vec<Cow<'a, str>>,
}

pub(super) fn read_many(
    session: &mut Session<'_>,
    version: &str,
    object: &str,
    body: &str,
) -> Result<Reply, Refusal> {
    let request: ReadRequest<'_> =
        serde_json::from_str(body).map_err(|error| not_well_formed(&error))?;
    let ids: Vec<&str> = request.ids.iter().map(AsRef::as_ref).collect();
    print(session, version, object, &ids, &request.fields.join(","))
}

/// The rows in the order of the ids, `null` for each that is not there.
fn print(
    session: &Session<'_>,
    version: &str,
    object: &str,
    ids: &[&str],
    fields: &str,
) -> Result<Reply, Refusal> {
    let object = session.readable(object)?;
    if ids.len() > MAX_READ {
        return Err(too_many(MAX_READ));
    }
    let columns = rows::columns(session, object, Some(fields))?;
    let mut body = vec![b'['];
    for (place, text) in ids.iter().enumerate() {
        if place > 0 {
            body.push(b',');
        }
        let id = Id::parse(text).filter(|id| session.schema.object_of(*id) == Some(object));
        let id = id.ok_or_else(|| rows::malformed_id(session, object, text))?;
        match session.by_id(object, id) {
            Ok(key) => session.write_record(version, key, &columns, &mut body),
            Err(_) => body.extend_from_slice(b"null"),
        }
    }
    body.push(b']');
    Ok(Reply::ok(body))
}

fn read_request(body: &str) -> Result<Request<'_>, Refusal> {
    let request: Request<'_> =
        serde_json::from_str(body).map_err(|error| not_well_formed(&error))?;
    check_count(request.records.len())?;
    Ok(request)
}

fn not_well_formed(error: &serde_json::Error) -> Refusal {
    Refusal::bad_json(format!(
        "Cannot deserialize the request body at [line:{}, column:{}]",
        error.line(),
        error.column()
    ))
}

fn check_count(count: usize) -> Result<(), Refusal> {
    if count > MAX_RECORDS {
        Err(too_many(MAX_RECORDS))
    } else {
        Ok(())
    }
}

fn too_many(limit: usize) -> Refusal {
    let message =
        format!("record limit reached. cannot submit more than {limit} records into this call");
    Refusal::new("EXCEEDED_ID_LIMIT", message)
}

/// The type of every record; a request with too many runs of types, or with a
/// record without one, is refused as a whole.
fn types_of<'r>(request: &'r Request<'_>) -> Result<Vec<&'r str>, Refusal> {
    let missing = || {
        Refusal::new(
            "INVALID_INPUT",
            "The type attribute of a record is missing: attributes.type",
        )
    };
    let types: Vec<&str> = request
        .records
        .iter()
        .map(|record| record.sobject.as_deref().ok_or_else(missing))
        .collect::<Result<_, _>>()?;
    let runs = 1 + types
        .windows(2)
        .filter(|pair| !pair[0].eq_ignore_ascii_case(pair[1]))
        .count();
    if runs > MAX_RUNS {
        let message =
            format!("The request has {runs} chunks of objects; at most {MAX_RUNS} are allowed");
        return Err(Refusal::new("LIMIT_EXCEEDED", message));
    }
    Ok(types)
}

fn unsupported(name: &str) -> Refusal {
    Refusal::new(
        "INVALID_TYPE",
        format!("sObject type '{name}' is not supported."),
    )
    .fields([])
}

fn split(ids: Option<&str>) -> Result<Vec<&str>, Refusal> {
    let ids =
        ids.ok_or_else(|| Refusal::new("MISSING_ARGUMENT", "The ids parameter is required"))?;
    Ok(ids
        .split(',')
        .map(str::trim)
        .filter(|id| !id.is_empty())
        .collect())
}

fn count(keys: impl Iterator<Item = String>) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for key in keys {
        *counts.entry(key).or_default() += 1;
    }
    counts
}
