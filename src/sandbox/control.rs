//! `/control`: what tests and the demo do to the org behind its back.
//!
//! It needs no token and counts as no call; the listener is on the loopback
//! address only.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, patch, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;

use super::fault::Plan;
use super::id::Id;
use super::input::Input;
use super::org::{Circumstances, Org, Session};
use super::refusal::Refusal;
use super::schema::{self, Column, Right, Schema};
use super::service::{Service, lock};
use super::store::Key;
use super::value::{self, Value};

type Shared = State<Arc<Service>>;

/// The routes below `/control`.
pub(crate) fn router(service: Arc<Service>) -> Router<Arc<Service>> {
    Router::new()
        .route(
            "/faults",
            post(add_fault).get(list_faults).delete(clear_faults),
        )
        .route("/faults/{id}", delete(remove_fault))
        .route("/records/{object}", get(records).post(create))
        .route("/records/{object}/{id}", patch(update).delete(remove))
        .route("/stats", get(stats))
        .route("/stats/reset", post(reset_stats))
        .route("/settings", post(settings).get(show_settings))
        .route("/tokens/expire", post(expire_tokens))
        .route("/log", get(log))
        .route("/history", get(history))
        .with_state(service)
}

async fn add_fault(State(service): Shared, Json(plan): Json<Plan>) -> Response {
    let id = lock(&service.faults).add(plan);
    Json(json!({ "id": id })).into_response()
}

async fn list_faults(State(service): Shared) -> Response {
    Json(lock(&service.faults).list()).into_response()
}

async fn clear_faults(State(service): Shared) -> StatusCode {
    lock(&service.faults).remove(None);
    StatusCode::NO_CONTENT
}

async fn remove_fault(State(service): Shared, Path(id): Path<u64>) -> StatusCode {
    lock(&service.faults).remove(Some(id));
    StatusCode::NO_CONTENT
}

async fn stats(State(service): Shared) -> Response {
    Json(&*lock(&service.stats)).into_response()
}

async fn reset_stats(State(service): Shared) -> StatusCode {
    lock(&service.stats).reset();
    StatusCode::NO_CONTENT
}

async fn log(State(service): Shared) -> Response {
    Json(&lock(&service.stats).log).into_response()
}

async fn history(State(service): Shared) -> Response {
    Json(&lock(&service.org).history).into_response()
}

async fn expire_tokens(State(service): Shared) -> StatusCode {
    lock(&service.access).expire_all();
    StatusCode::NO_CONTENT
}

async fn records(State(service): Shared, Path(object): Path<String>) -> Response {
    answer(dump(&mut lock(&service.org), &object))
}

async fn create(State(service): Shared, Path(object): Path<String>, body: String) -> Response {
    answer(
        seed(&mut lock(&service.org), &object, &body)
            .map(|id| format!("{{\"id\":\"{id}\"}}").into_bytes()),
    )
}

async fn update(
    State(service): Shared,
    Path((object, id)): Path<(String, String)>,
    body: String,
) -> Response {
    answer(change(&mut lock(&service.org), &object, &id, &body).map(|()| Vec::new()))
}

async fn remove(State(service): Shared, Path((object, id)): Path<(String, String)>) -> Response {
    let removed = as_admin(&mut lock(&service.org), |session| {
        let key = find(session, &object, &id)?;
        session.delete(key)
    });
    answer(removed.map(|()| Vec::new()))
}

fn answer(result: Result<Vec<u8>, Refusal>) -> Response {
    let (status, body) = match result {
        Ok(body) if body.is_empty() => return StatusCode::NO_CONTENT.into_response(),
        Ok(body) => (200, body),
        Err(refusal) => (refusal.status, refusal.to_body()),
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    (status, [("content-type", "application/json")], body).into_response()
}

/// Does something with all rights, and keeps it if it went well.
fn as_admin<T>(
    org: &mut Org,
    work: impl FnOnce(&mut Session<'_>) -> Result<T, Refusal>,
) -> Result<T, Refusal> {
    let admin = org
        .schema
        .users
        .iter()
        .position(|user| user.all_rights)
        .unwrap_or_default();
    let circumstances = Circumstances::default();
    let mut session = org.session(admin, &circumstances);
    let start = session.savepoint();
    let result = work(&mut session);
    if result.is_err() {
        session.roll_back(start);
    }
    org.commit();
    result
}

fn read(body: &str) -> Result<Input<'_>, Refusal> {
    serde_json::from_str(body)
        .map_err(|error| Refusal::bad_json(format!("the record is no JSON object: {error}")))
}

fn find(session: &Session<'_>, object: &str, id: &str) -> Result<Key, Refusal> {
    let object = session.readable(object)?;
    let known = Id::parse(id).filter(|id| session.schema.object_of(*id) == Some(object));
    session.by_id(object, known.ok_or_else(Refusal::not_found)?)
}

/// Adds a row as an admin.
pub(crate) fn seed(org: &mut Org, object: &str, body: &str) -> Result<Id, Refusal> {
    let input = read(body)?;
    as_admin(org, |session| {
        let object = session.readable(object)?;
        let key = session.create(object, &input)?;
        Ok(session.id(key))
    })
}

/// Changes a row as an admin.
pub(crate) fn change(org: &mut Org, object: &str, id: &str, body: &str) -> Result<(), Refusal> {
    let input = read(body)?;
    as_admin(org, |session| {
        let key = find(session, object, id)?;
        session.update(key, &input)
    })
}

/// All live rows of an object with all their columns; numbers stand as they
/// were received, to the last zero.
pub(crate) fn dump(org: &mut Org, object: &str) -> Result<Vec<u8>, Refusal> {
    as_admin(org, |session| {
        let object = session.readable(object)?;
        let definition = &session.schema.objects[object];
        let columns: Vec<Column> = definition.all_columns().collect();
        let mut out = b"[".to_vec();
        let rows = (0..session.org.store.len(object)).map(|row| Key { object, row });
        for key in rows.filter(|key| session.org.store.live(*key).is_some()) {
            out.extend_from_slice(if out.len() > 1 { b",\n{" } else { b"{" });
            for (place, column) in columns.iter().enumerate() {
                if place > 0 {
                    out.push(b',');
                }
                value::write_string(definition.column_name(*column), &mut out);
                out.push(b':');
                match column {
                    Column::Field(field) => match session.computed(key, *field) {
                        Value::Number(number) => {
                            out.extend_from_slice(number.to_string().as_bytes());
                        }
                        _ => session.write_column(key, *column, &mut out),
                    },
                    _ => session.write_column(key, *column, &mut out),
                }
            }
            out.push(b'}');
        }
        out.push(b']');
        Ok(out)
    })
}

/// What may be changed; what is not named stays.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Change {
    base_ms: Option<u64>,
    per_record_ms: Option<u64>,
    daily_limit: Option<u64>,
    daily_used: Option<u64>,
    limit_enforced: Option<bool>,
    lock_wait_ms: Option<u64>,
    /// Rows a page of a query; 0 for Salesforce's own.
    page_size: Option<usize>,
    strict_collections: Option<bool>,
    /// Moments to keep from now on, forgetting those so far; 0 keeps none.
    history: Option<usize>,
    /// Makes this another org: its number goes into the org's id.
    org: Option<u32>,
    /// Where new tokens are said to be good.
    instance_url: Option<String>,
    /// Forgets every open query.
    #[serde(default)]
    close_cursors: bool,
    #[serde(default)]
    fields: Vec<FieldChange>,
    /// The rights of everybody but admins, by object.
    #[serde(default)]
    rights: HashMap<String, HashSet<Right>>,
    /// Rules on or off, by name.
    #[serde(default)]
    rules: HashMap<String, bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FieldChange {
    object: String,
    field: String,
    hidden: Option<bool>,
    required: Option<bool>,
    /// Whether a detail may be moved to another master.
    reparentable: Option<bool>,
}

async fn show_settings(State(service): Shared) -> Response {
    Json(&*lock(&service.behaviour)).into_response()
}

async fn settings(State(service): Shared, Json(change): Json<Change>) -> Response {
    match apply(&service, &change) {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    }
}

/// Changes all that is named, or nothing where a name is wrong.
pub(crate) fn apply(service: &Service, change: &Change) -> Result<(), schema::Error> {
    let mut org = lock(&service.org);
    let mut schema = Schema::clone(&org.schema);
    for field in &change.fields {
        if let Some(hidden) = field.hidden {
            schema.hide(&field.object, &field.field, hidden)?;
        }
        if let Some(required) = field.required {
            schema.require(&field.object, &field.field, required)?;
        }
        if let Some(reparentable) = field.reparentable {
            schema.let_move(&field.object, &field.field, reparentable)?;
        }
    }
    for (object, rights) in &change.rights {
        schema.grant(object, rights)?;
    }
    for (rule, active) in &change.rules {
        schema.activate(rule, *active)?;
    }
    org.schema = Arc::new(schema);
    if let Some(size) = change.page_size {
        org.page_size = (size > 0).then_some(size);
    }
    set(&mut org.strict_collections, change.strict_collections);
    if let Some(most) = change.history {
        org.history.keep(most);
    }
    if change.close_cursors {
        org.cursors.clear();
    }
    drop(org);
    let mut access = lock(&service.access);
    set(&mut access.org, change.org);
    if change.instance_url.is_some() {
        access.instance_url.clone_from(&change.instance_url);
    }
    drop(access);
    let mut behaviour = lock(&service.behaviour);
    set(&mut behaviour.base_ms, change.base_ms);
    set(&mut behaviour.per_record_ms, change.per_record_ms);
    set(&mut behaviour.daily_limit, change.daily_limit);
    set(&mut behaviour.daily_used, change.daily_used);
    set(&mut behaviour.limit_enforced, change.limit_enforced);
    set(&mut behaviour.lock_wait_ms, change.lock_wait_ms);
    Ok(())
}

fn set<T>(place: &mut T, value: Option<T>)
where
    T: Copy,
{
    if let Some(value) = value {
        *place = value;
    }
}
