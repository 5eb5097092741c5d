//! One HTTP exchange: sent once, answered or not, read under a limit.
//!
//! Promises: nothing is sent in the clear except to this machine; no redirect
//! is followed, for it could carry the token elsewhere; nothing is sent again
//! by itself; no body outgrows its limit, measured after decompression; no
//! error holds a header, a query or a body. It does not know what an answer
//! means.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::CONTENT_TYPE;
use serde::de::DeserializeOwned;
use url::{Host, Url};

use super::class::{Certainty, Class, Pause};
use super::usage::ApiUsage;

/// The longest body of a success: 2,000 rows of a query at 8 KiB each.
const BODY_LIMIT: usize = 16 << 20;

/// The longest body of anything else; Salesforce's errors are below 2 KiB.
const ERROR_BODY_LIMIT: usize = 64 << 10;

/// Shorter than the minute after which load balancers commonly drop an idle
/// connection, so that a request is not sent into a closed one.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(50);

/// The longest text of Salesforce's that is kept, in bytes. Messages may quote
/// a value, which can be 131,072 characters long.
const MESSAGE_LIMIT: usize = 512;

/// Why there is no answer that can be relied on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The HTTP client cannot be built, for want of certificates for example.
    #[error("the HTTP client cannot be set up")]
    Setup(#[source] reqwest::Error),
    /// No connection: name, address, TLS. Nothing was sent.
    #[error("no connection to {host}")]
    Unreachable {
        /// Which host.
        host: String,
        /// What the network said.
        #[source]
        source: reqwest::Error,
    },
    /// The request went out, or part of it, and no complete answer came back.
    #[error("no complete answer from {host}")]
    NoAnswer {
        /// Which host.
        host: String,
        /// What the network said.
        #[source]
        source: reqwest::Error,
    },
    /// An answer that is not what Salesforce's documentation promises: a page
    /// of some proxy, a cut body, JSON of another shape, a redirect.
    #[error("HTTP {status} from {host} with {what}")]
    Unreadable {
        /// Which host.
        host: String,
        /// HTTP status.
        status: u16,
        /// The kind of thing that came instead; never its words.
        what: String,
    },
}

impl Error {
    /// What the failure means: whatever answered, if anything did, was not
    /// Salesforce's application.
    pub fn class(&self) -> Class {
        match self {
            // Wrong until the machine is changed.
            Self::Setup(_) => Class::Configuration,
            Self::Unreachable { .. } | Self::NoAnswer { .. } | Self::Unreadable { .. } => {
                Class::Outage {
                    pause: Pause::Short,
                }
            }
        }
    }

    /// Whether the other side may have done what was asked.
    pub fn certainty(&self) -> Certainty {
        match self {
            Self::Setup(_) | Self::Unreachable { .. } => Certainty::NotSent,
            // A proxy's page may stand before a Salesforce that did the work.
            Self::NoAnswer { .. } | Self::Unreadable { .. } => Certainty::Unknown,
        }
    }
}

/// The connections.
#[derive(Debug, Clone)]
pub(super) struct Wire {
    http: reqwest::Client,
}

/// A complete answer, whatever its status.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Bytes,
    /// Of the header `Sforce-Limit-Info`.
    pub(super) usage: Option<ApiUsage>,
    host: String,
    content_type: String,
}

impl Wire {
    /// Connections with gzip and keep-alive, each opened within `connect_timeout`.
    ///
    /// A proxy in the environment is not obeyed: only the settings read the
    /// environment, and a token for this machine must not leave it.
    pub(super) fn new(connect_timeout: Duration) -> Result<Self, Error> {
        reqwest::Client::builder()
            .user_agent(concat!("usage-sync/", env!("CARGO_PKG_VERSION")))
            .gzip(true)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .connect_timeout(connect_timeout)
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .build()
            .map(|http| Self { http })
            .map_err(Error::Setup)
    }

    /// Begins a request; [`Self::exchange`] sends it.
    pub(super) fn request(&self, method: reqwest::Method, url: Url) -> reqwest::RequestBuilder {
        self.http.request(method, url)
    }

    /// Sends a request once and reads its answer.
    pub(super) async fn exchange(
        &self,
        request: reqwest::RequestBuilder,
        timeout: Duration,
    ) -> Result<Answer, Error> {
        let (http, request) = request.timeout(timeout).build_split();
        let request = request.map_err(|source| unsent(String::new(), source))?;
        let host = host(request.url());
        let response = http.execute(request).await.map_err(|source| {
            if source.is_connect() || source.is_builder() {
                unsent(host.clone(), source)
            } else {
                unanswered(host.clone(), source)
            }
        })?;
        Answer::read(host, response).await
    }
}

impl Answer {
    async fn read(host: String, mut response: reqwest::Response) -> Result<Self, Error> {
        let status = response.status();
        let header = |name| {
            response
                .headers()
                .get(name)
                .and_then(|value| value.to_str().ok())
        };
        let usage = header("sforce-limit-info").and_then(ApiUsage::parse);
        let content_type = header(CONTENT_TYPE.as_str())
            .unwrap_or("no content type")
            .to_owned();
        let limit = if status.is_success() {
            BODY_LIMIT
        } else {
            ERROR_BODY_LIMIT
        };
        let mut body = BytesMut::new();
        let mut answer = Self {
            status: status.as_u16(),
            body: Bytes::new(),
            usage,
            host,
            content_type,
        };
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() > limit => {
                    return Err(answer.unreadable(&format!("more than {limit} bytes")));
                }
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => break,
                Err(source) => return Err(unanswered(answer.host, source)),
            }
        }
        answer.body = body.freeze();
        Ok(answer)
    }

    /// Whether the status says that the request was carried out.
    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The body as JSON of the expected shape.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        // serde's words may quote a value of the body, so only the kind of
        // fault is kept.
        serde_json::from_slice(&self.body).map_err(|error| match error.classify() {
            serde_json::error::Category::Eof => self.unreadable("a cut body"),
            serde_json::error::Category::Data => self.unreadable("JSON of an unknown shape"),
            _ => self.unreadable("a body that is not JSON"),
        })
    }

    /// The error that says what came instead of what was expected.
    pub(super) fn unreadable(&self, what: &str) -> Error {
        Error::Unreadable {
            host: self.host.clone(),
            status: self.status,
            what: format!("{what} ({}, {} bytes)", self.content_type, self.body.len()),
        }
    }
}

/// Whether a secret may be sent there: https, or this very machine.
pub(super) fn is_safe(url: &Url) -> bool {
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    url.scheme() == "https" || (url.scheme() == "http" && loopback)
}

/// Host and port of an address, without what may stand before them.
pub(super) fn host(url: &Url) -> String {
    let name = url.host_str().unwrap_or_default();
    url.port()
        .map_or_else(|| name.to_owned(), |port| format!("{name}:{port}"))
}

/// The address is left out of both: its query may hold data of the app.
fn unsent(host: String, source: reqwest::Error) -> Error {
    Error::Unreachable {
        host,
        source: source.without_url(),
    }
}

fn unanswered(host: String, source: reqwest::Error) -> Error {
    Error::NoAnswer {
        host,
        source: source.without_url(),
    }
}

/// At most [`MESSAGE_LIMIT`] bytes of a text, whole characters, trimmed:
/// messages about a query begin with a newline.
pub(super) fn cut(text: String) -> String {
    let trimmed = text.trim();
    if trimmed.len() <= MESSAGE_LIMIT {
        return if trimmed.len() == text.len() {
            text
        } else {
            trimmed.to_owned()
        };
    }
    let end = trimmed.floor_char_boundary(MESSAGE_LIMIT);
    trimmed[..end].to_owned()
}
