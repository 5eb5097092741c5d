//! Answers that go wrong on purpose.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::Response;
use futures_util::stream::{self, StreamExt};
use tokio::time::sleep;

use super::super::fault::Effect;
use super::super::org::{Circumstances, StagedRefusal};
use super::super::refusal::Refusal;
use super::super::rest::Reply;
use super::super::service::{Service, lock};
use super::{Answer, Incoming, OnDrop, carry_out, pack, unauthorized};

/// How much of an endless answer comes at a time, and how soon after the last.
const CHUNK: usize = 64 << 10;
const CHUNK_PAUSE: Duration = Duration::from_millis(1);

/// Answers a request under a fault; `None`: the connection is to be cut.
pub(super) async fn answer(
    service: &Arc<Service>,
    incoming: Incoming,
    effect: Effect,
    processed: bool,
) -> Option<Response> {
    let headers = incoming.headers.clone();
    if let Some(staged) = staged(&effect) {
        let circumstances = Circumstances {
            staged: vec![staged],
            ..Circumstances::default()
        };
        return Some(pack(
            &headers,
            carry_out(service, incoming, circumstances).await,
        ));
    }
    if let Some(denial) = denial(service, &incoming, &effect) {
        if processed {
            carry_out(service, incoming, Circumstances::default()).await;
        }
        return Some(match denial {
            Denial::Json(answer) => pack(&headers, answer),
            Denial::Raw(response) => response,
        });
    }
    match effect {
        Effect::DropBefore => return None,
        Effect::LateLanding { after_ms } => {
            let service = Arc::clone(service);
            lock(&service.stats).began();
            let landed = OnDrop(Arc::clone(&service));
            tokio::spawn(async move {
                let _landed = landed;
                sleep(Duration::from_millis(after_ms)).await;
                carry_out(&service, incoming, Circumstances::default()).await;
            });
            return None;
        }
        Effect::Withhold { hangs } => {
            lock(&service.withheld).push(incoming);
            if hangs {
                std::future::pending::<()>().await;
            }
            return None;
        }
        Effect::Hang => std::future::pending::<()>().await,
        Effect::Delay { ms } => sleep(Duration::from_millis(ms)).await,
        _ => {}
    }
    let answer = carry_out(service, incoming, Circumstances::default()).await;
    match effect {
        Effect::DropAfter => None,
        Effect::Truncate => Some(streamed(answer, |body| {
            let half = body.slice(..body.len() / 2);
            // What was written goes out while the body makes the server wait.
            let broken = stream::once(async {
                tokio::task::yield_now().await;
                Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset))
            });
            let body_parts = stream::iter([Ok(half)]).chain(broken);
            (Some(body.len()), Body::from_stream(body_parts))
        })),
        Effect::CutJson => Some(streamed(answer, |body| {
            (None, Body::from(body.slice(..body.len() / 2)))
        })),
        Effect::OversizedBody { bytes } => Some(streamed(answer, |body| {
            let mut padded = body.to_vec();
            padded.resize(bytes.max(padded.len()), b' ');
            (None, Body::from(padded))
        })),
        Effect::EndlessBody => Some(streamed(answer, |_| (None, Body::from_stream(blanks())))),
        _ => Some(pack(&headers, answer)),
    }
}

/// Blanks without end; JSON allows them, so a parser goes on reading.
fn blanks() -> impl stream::Stream<Item = Result<Bytes, std::io::Error>> {
    let chunk = Bytes::from(vec![b' '; CHUNK]);
    stream::unfold(chunk, |chunk| async move {
        sleep(CHUNK_PAUSE).await;
        Some((Ok(chunk.clone()), chunk))
    })
}

/// An answer whose body is replaced, with the length that it claims.
fn streamed(answer: Answer, replace: impl FnOnce(Bytes) -> (Option<usize>, Body)) -> Response {
    let status = answer.reply.status;
    let (length, body) = replace(answer.reply.body.into());
    let mut response = Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/json;charset=UTF-8");
    if let Some(length) = length {
        response = response.header(header::CONTENT_LENGTH, length);
    }
    response
        .body(body)
        .unwrap_or_else(|_| Response::new(Body::empty()))
}

/// The refusal of records that an effect asks for.
fn staged(effect: &Effect) -> Option<StagedRefusal> {
    match effect {
        Effect::LockRow { every_row } => Some(StagedRefusal {
            refusal: Refusal::new(
                "UNABLE_TO_LOCK_ROW",
                "unable to obtain exclusive access to this record or 1 records: 8005f0000000001AAA",
            )
            .fields([]),
            external_ids: Vec::new(),
            every: *every_row,
        }),
        Effect::RecordError {
            code,
            message,
            fields,
            external_ids,
            every_row,
        } => Some(StagedRefusal {
            refusal: refusal(400, code, message).fields(fields.iter().map(String::as_str)),
            external_ids: external_ids.clone(),
            every: *every_row,
        }),
        _ => None,
    }
}

fn refusal(status: u16, code: &str, message: &str) -> Refusal {
    Refusal {
        status,
        code: code.to_owned().into(),
        message: message.to_owned(),
        fields: None,
    }
}

/// An answer in the place of the true one.
enum Denial {
    Json(Answer),
    Raw(Response),
}

fn denial(service: &Service, incoming: &Incoming, effect: &Effect) -> Option<Denial> {
    let json = |refusal: Refusal| Some(Denial::Json(Answer::from(Reply::from(refusal))));
    match effect {
        Effect::Error {
            status,
            code,
            message,
        } => json(refusal(*status, code, message)),
        Effect::LoginRefused { error, description } => Response::builder()
            .status(400)
            .header(header::CONTENT_TYPE, "application/json;charset=UTF-8")
            .body(Body::from(
                serde_json::json!({"error": error, "error_description": description}).to_string(),
            ))
            .ok()
            .map(Denial::Raw),
        Effect::RequestLimit { concurrent } => {
            let message = if *concurrent {
                "ConcurrentPerOrgLongTxn"
            } else {
                "TotalRequests"
            };
            json(refusal(
                403,
                "REQUEST_LIMIT_EXCEEDED",
                &format!("{message} Limit exceeded."),
            ))
        }
        Effect::SessionExpired { all } => {
            let mut access = lock(&service.access);
            match incoming.token() {
                _ if *all => access.expire_all(),
                Ok(Some(token)) => access.expire(token),
                _ => {}
            }
            Some(Denial::Json(unauthorized(refusal(
                401,
                "INVALID_SESSION_ID",
                "Session expired or invalid",
            ))))
        }
        Effect::HtmlPage { status } => {
            let page = "<html><head><title>Service Unavailable</title></head><body><h1>Service Unavailable</h1></body></html>";
            let response = Response::builder()
                .status(*status)
                .header(header::CONTENT_TYPE, "text/html");
            response.body(Body::from(page)).ok().map(Denial::Raw)
        }
        Effect::EmptyBody { status } => Response::builder()
            .status(*status)
            .body(Body::empty())
            .ok()
            .map(Denial::Raw),
        _ => None,
    }
}
