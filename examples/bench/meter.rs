//! Stands between the daemon and the sandbox and notes when each record
//! arrives, before the sandbox sees it: what Salesforce then takes for its
//! answer is not counted.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::Error;

/// How a record names itself in a request.
const KEY: &str = "\"External_Id__c\":\"";
/// Larger than any request of 200 records.
const MAX_BODY: usize = 16 << 20;

/// A running meter.
pub(crate) struct Meter {
    /// Salesforce, for the daemon.
    pub(crate) url: String,
    relay: Arc<Relay>,
    task: JoinHandle<()>,
}

struct Relay {
    http: reqwest::Client,
    /// The sandbox's address, and our own in its place.
    target: String,
    own: String,
    /// When the first request with each external id came.
    arrivals: Mutex<HashMap<String, Instant>>,
}

impl Meter {
    /// In front of the sandbox at this address.
    pub(crate) async fn in_front_of(target: &str) -> Result<Self, Error> {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .map_err(Error::io("listening"))?;
        let address = listener.local_addr().map_err(Error::io("listening"))?;
        let url = format!("http://{address}");
        let relay = Arc::new(Relay {
            http: reqwest::Client::builder().no_proxy().no_gzip().build()?,
            target: target.to_owned(),
            own: url.clone(),
            arrivals: Mutex::default(),
        });
        let router = Router::new().fallback(pass).with_state(Arc::clone(&relay));
        let task = tokio::spawn(async move {
            // It runs until it is dropped; accepting connections does not fail for good.
            axum::serve(
                axum::serve::ListenerExt::tap_io(listener, |tcp| {
                    tcp.set_nodelay(true).ok();
                }),
                router,
            )
            .await
            .ok();
        });
        Ok(Self { url, relay, task })
    }

    /// When each external id arrived first.
    pub(crate) fn arrivals(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.relay.arrivals()
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Relay {
    fn arrivals(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, body: &[u8]) {
        let now = Instant::now();
        let text = String::from_utf8_lossy(body);
        let mut arrivals = self.arrivals();
        for part in text.split(KEY).skip(1) {
            if let Some((id, _)) = part.split_once('"') {
                arrivals.entry(id.to_owned()).or_insert(now);
            }
        }
    }

    async fn forward(&self, request: Request) -> Result<Response, reqwest::Error> {
        let (mut parts, body) = request.into_parts();
        let body = axum::body::to_bytes(body, MAX_BODY)
            .await
            .unwrap_or_default();
        self.note(&body);
        parts.headers.remove(header::HOST);
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let answer = self
            .http
            .request(parts.method, format!("{}{path}", self.target))
            .headers(parts.headers)
            .body(body)
            .send()
            .await?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let mut body = answer.bytes().await?;
        if path.starts_with("/services/oauth2/") {
            // The token's answer says where to go on: here.
            let text = String::from_utf8_lossy(&body).replace(&self.target, &self.own);
            body = Bytes::from(text);
        }
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response.headers_mut().remove(header::CONTENT_LENGTH);
        response.headers_mut().remove(header::TRANSFER_ENCODING);
        Ok(response)
    }
}

async fn pass(State(relay): State<Arc<Relay>>, mut request: Request) -> Response {
    // Packed bytes cannot be read here.
    request.headers_mut().remove(header::ACCEPT_ENCODING);
    relay
        .forward(request)
        .await
        .unwrap_or_else(|_| StatusCode::BAD_GATEWAY.into_response())
}
