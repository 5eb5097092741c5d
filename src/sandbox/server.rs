//! The HTTP side: bodies, headers, tokens, the daily limit, and the faults
//! that strike before or after a request is carried out.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::HeaderMap;
use axum::response::Response;

use super::connection::Knife;
use super::control;
use super::incoming::Incoming;
use super::oauth::Form;
use super::org::Circumstances;
use super::refusal::Refusal;
use super::rest::{self, Call, Reply};
use super::service::{Service, lock};

mod faulty;
mod wire;

use wire::{NO_CACHE, pack, unpack};

/// Everything below the listener.
pub(crate) fn router(service: Arc<Service>) -> Router {
    Router::new()
        .nest("/control", control::router(Arc::clone(&service)))
        .fallback(serve)
        .with_state(service)
}

/// Carries out the requests that were withheld, in the order in which they came.
pub(crate) async fn land(service: &Arc<Service>) {
    let withheld = std::mem::take(&mut *lock(&service.withheld));
    for incoming in withheld {
        carry_out(service, incoming, Circumstances::default()).await;
    }
}

/// An answer before it is packed.
struct Answer {
    reply: Reply,
    headers: Vec<(&'static str, String)>,
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Self {
            reply,
            headers: Vec::new(),
        }
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        Reply::from(refusal).into()
    }
}

async fn serve(
    State(service): State<Arc<Service>>,
    ConnectInfo(knife): ConnectInfo<Knife>,
    request: Request,
) -> Response {
    let incoming = match unpack(request).await {
        Ok(incoming) => incoming,
        Err(refusal) => return pack(&HeaderMap::new(), refusal.into()),
    };
    let number = {
        let mut stats = lock(&service.stats);
        stats.began();
        stats.note(&incoming.method, &incoming.target())
    };
    let gone = OnDrop(Arc::clone(&service));
    let fault = lock(&service.faults).pick(&incoming.method, &incoming.target(), &incoming.body);
    let response = match fault {
        None => {
            let headers = incoming.headers.clone();
            pack(
                &headers,
                carry_out(&service, incoming, Circumstances::default()).await,
            )
        }
        Some((effect, processed)) => {
            let answered = faulty::answer(&service, incoming, effect, processed).await;
            let Some(response) = answered else {
                knife.cut();
                return Response::new(Body::empty());
            };
            response
        }
    };
    drop(gone);
    lock(&service.stats).answered(number, response.status().as_u16());
    response
}

/// Counts a request out, also when its client has gone away.
struct OnDrop(Arc<Service>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        lock(&self.0.stats).ended();
    }
}

/// Carries a request out to its end, whether or not its client still waits:
/// that is what Salesforce does.
async fn carry_out(
    service: &Arc<Service>,
    incoming: Incoming,
    circumstances: Circumstances,
) -> Answer {
    let service = Arc::clone(service);
    let task = tokio::spawn(async move { process(&service, &incoming, &circumstances).await });
    task.await.unwrap_or_else(|_| {
        Refusal::new(
            "UNKNOWN_EXCEPTION",
            "An unexpected error occurred in the sandbox",
        )
        .status(500)
        .into()
    })
}

async fn process(service: &Service, incoming: &Incoming, circumstances: &Circumstances) -> Answer {
    match incoming.path.trim_end_matches('/') {
        "/services/data" => rest::versions().into(),
        path if path.starts_with("/services/data/") => data(service, incoming, circumstances).await,
        path if path.starts_with("/services/oauth2/") || path.starts_with("/id/") => {
            login(service, incoming)
        }
        _ => Refusal::not_found().into(),
    }
}

fn login(service: &Service, incoming: &Incoming) -> Answer {
    let fields: HashMap<String, String> = url::form_urlencoded::parse(&incoming.body)
        .into_owned()
        .collect();
    let form = Form {
        fields,
        authorization: incoming.header("authorization"),
    };
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let mut access = lock(&service.access);
    let reply = match (
        incoming.method.as_str(),
        incoming.path.trim_end_matches('/'),
    ) {
        ("POST", "/services/oauth2/token") => {
            lock(&service.stats).token_requests += 1;
            access.token(&form, i64::try_from(now).unwrap_or_default())
        }
        ("POST", "/services/oauth2/revoke") => access.revoke(&form),
        ("POST", "/services/oauth2/introspect") => access.introspect(&form),
        (_, path) if path == "/services/oauth2/userinfo" || path.starts_with("/id/") => {
            let user = incoming
                .token()
                .ok()
                .flatten()
                .and_then(|token| access.user_of(token));
            match user {
                Some(user) => access.identity(user),
                // The words of the identity service; it has no JSON for them.
                None => Reply {
                    status: 403,
                    body: b"\"Bad_OAuth_Token\"".to_vec(),
                    location: None,
                },
            }
        }
        (_, path) if path.starts_with("/services/oauth2/") => Refusal::not_found().into(),
        _ => Refusal::not_found().into(),
    };
    let cache = if reply.status == 200 {
        NO_CACHE
    } else {
        "no-cache, no-store"
    };
    Answer {
        reply,
        headers: vec![("cache-control", cache.to_owned())],
    }
}

/// A call below `/services/data/vXX.0`: token, limit, then the call itself.
async fn data(service: &Service, incoming: &Incoming, circumstances: &Circumstances) -> Answer {
    let user = match incoming.token() {
        Ok(token) => token.and_then(|token| lock(&service.access).user_of(token)),
        Err(refusal) => return unauthorized(refusal),
    };
    let Some(user) = user else {
        return unauthorized(
            Refusal::new("INVALID_SESSION_ID", "Session expired or invalid").status(401),
        );
    };
    let call = to_call(incoming);
    let (usage, allowed) = count(service, incoming, call.as_ref().ok());
    let reply = match call {
        _ if !allowed => Refusal::new("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
            .status(403)
            .into(),
        Err(refusal) => refusal.into(),
        Ok(call) if call.resource() == "limits" && incoming.method == "GET" => limits(service),
        Ok(call) => service.perform(user, &call, circumstances).await,
    };
    Answer {
        reply,
        headers: vec![("sforce-limit-info", usage)],
    }
}

fn unauthorized(refusal: Refusal) -> Answer {
    Answer {
        reply: refusal.into(),
        headers: vec![("www-authenticate", "Token".to_owned())],
    }
}

/// Counts a call; answers the header, and whether the call may go on.
fn count(service: &Service, incoming: &Incoming, call: Option<&Call>) -> (String, bool) {
    let mut behaviour = lock(&service.behaviour);
    let allowed = !behaviour.limit_enforced || behaviour.daily_used < behaviour.daily_limit;
    // A call that is refused for the limit does not count toward it.
    if allowed {
        behaviour.daily_used += 1;
        let resource = call.map_or_else(|| "unknown".to_owned(), Call::resource);
        lock(&service.stats).counted(&incoming.method, &resource);
    }
    (
        format!(
            "api-usage={}/{}",
            behaviour.daily_used, behaviour.daily_limit
        ),
        allowed,
    )
}

fn limits(service: &Service) -> Reply {
    let behaviour = lock(&service.behaviour);
    let remaining = behaviour.daily_limit.saturating_sub(behaviour.daily_used);
    let body = serde_json::json!({
        "DailyApiRequests": {"Max": behaviour.daily_limit, "Remaining": remaining},
        "DailyBulkApiBatches": {"Max": 15000, "Remaining": 15000},
        "DataStorageMB": {"Max": 1024, "Remaining": 1024},
    });
    Reply::ok(body.to_string().into_bytes())
}

fn to_call(incoming: &Incoming) -> Result<Call, Refusal> {
    let method = incoming.method.parse()?;
    let kind = incoming
        .header("content-type")
        .unwrap_or("application/json");
    if !incoming.body.is_empty() && !kind.contains("json") {
        let message = format!("Content type {kind} is not supported");
        return Err(Refusal::new("UNSUPPORTED_MEDIA_TYPE", message).status(415));
    }
    let body = String::from_utf8(incoming.body.to_vec())
        .map_err(|_bytes| Refusal::bad_json("Invalid UTF-8 in the request body").fields([]))?;
    let options = incoming.header("sforce-query-options").unwrap_or_default();
    let batch_size = options.split([',', ';']).find_map(|option| {
        let (name, size) = option.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("batchSize")
            .then(|| size.trim().parse().ok())?
    });
    let query = url::form_urlencoded::parse(incoming.query.as_bytes())
        .into_owned()
        .collect();
    Ok(Call {
        method,
        path: incoming.path.clone(),
        query,
        body,
        batch_size,
    })
}
