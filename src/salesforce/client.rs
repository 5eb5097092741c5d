//! What every call has in common: the address, the token, the one renewal, the
//! time limit and the reading of a refusal.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use tokio::time::{Instant, timeout_at};
use url::form_urlencoded::byte_serialize;

use super::code::Purpose;
use super::error::{Entry, Error};
use super::login::Login;
use super::login::{Identity, Session};
use super::names::Names;
use super::session::Sessions;
use super::usage::ApiUsage;
use super::wire::{Answer, Wire};
use crate::settings;

/// A connection to one org as one user. Clones share connections and token.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
    timeout: Duration,
}

/// REST API Developer Guide, "Composite Graph".
const GRAPHS_SINCE: u32 = 50;

struct Shared {
    wire: Wire,
    sessions: Sessions,
    /// `/services/data/v67.0`.
    root: String,
    has_graphs: bool,
    names: Names,
    read_timeout: Duration,
    usage: Mutex<Option<ApiUsage>>,
    fixed_fields: OnceLock<Vec<String>>,
}

/// One request, before it has a host and a token.
pub(super) struct Request {
    pub(super) purpose: Purpose,
    pub(super) method: Method,
    /// Path and query, encoded, from the first slash on.
    pub(super) target: String,
    pub(super) body: Option<Bytes>,
}

impl Client {
    /// Checks the settings; connects to nothing.
    pub fn new(settings: &settings::Salesforce) -> Result<Self, Error> {
        let login =
            Login::new(settings).map_err(|(variable, why)| Error::Settings { variable, why })?;
        Ok(Self {
            shared: Arc::new(Shared {
                wire: Wire::new(settings.connect_timeout)?,
                sessions: Sessions::new(login),
                root: format!("/services/data/v{}", settings.api_version),
                has_graphs: version_of(&settings.api_version) >= GRAPHS_SINCE,
                names: Names::new(settings).map_err(|variable| Error::Settings {
                    variable,
                    why: "it is no API name",
                })?,
                read_timeout: settings.read_timeout,
                usage: Mutex::default(),
                fixed_fields: OnceLock::new(),
            }),
            timeout: settings.timeout,
        })
    }

    /// Whether this version of the API has composite graphs.
    pub fn has_graphs(&self) -> bool {
        self.shared.has_graphs
    }

    /// The same connection for someone who is waiting: each call, with a login
    /// if it needs one, is given up after `SALESFORCE_READ_TIMEOUT`.
    #[must_use]
    pub fn impatient(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            timeout: self.shared.read_timeout,
        }
    }

    /// Who we are to Salesforce; logs in if nobody has yet.
    pub async fn login(&self) -> Result<Identity, Error> {
        let deadline = Instant::now() + self.timeout;
        Ok(self.session(None, deadline).await?.identity.clone())
    }

    /// Who we are to Salesforce as the newest login told; asks nobody.
    pub fn identity(&self) -> Option<Identity> {
        let session = self.shared.sessions.known()?;
        Some(session.identity.clone())
    }

    /// The org's calls of the last 24 hours, as the newest answer told them.
    pub fn api_usage(&self) -> Option<ApiUsage> {
        *self
            .shared
            .usage
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// References that stay as they were created, as far as anybody asked.
    pub fn fixed_fields(&self) -> &[String] {
        self.shared.fixed_fields.get().map_or(&[], Vec::as_slice)
    }

    /// Asks for them, and remembers them if there are any.
    pub async fn learn_fixed_fields(&self) -> Result<(), Error> {
        let describe = self.describe(&self.names().object).await?;
        let fields = describe.fields.into_iter();
        let fixed: Vec<String> = fields
            .filter(|field| field.kind == "reference" && field.createable && !field.updateable)
            .map(|field| field.name)
            .collect();
        if !fixed.is_empty() {
            // Whoever was first has learnt the same.
            let _known = self.shared.fixed_fields.set(fixed);
        }
        Ok(())
    }

    pub(super) fn names(&self) -> &Names {
        &self.shared.names
    }

    /// A path below `/services/data/vNN.N`; each segment is encoded.
    pub(super) fn path(&self, segments: &[&str]) -> String {
        segments
            .iter()
            .fold(self.shared.root.clone(), |path, segment| {
                path + "/" + &encoded(segment)
            })
    }

    /// Sends a request; `Ok` is an answer whose status is a success.
    pub(super) async fn call(&self, request: Request) -> Result<Answer, Error> {
        let answer = self.answer(&request).await?;
        if answer.is_success() {
            Ok(answer)
        } else {
            Err(refusal(&answer, request.purpose))
        }
    }

    /// Sends a request, once more with a new token if the old one is dead;
    /// `Ok` is an answer of any other status.
    pub(super) async fn answer(&self, request: &Request) -> Result<Answer, Error> {
        let deadline = Instant::now() + self.timeout;
        let session = self.session(None, deadline).await?;
        let answer = self.send(request, &session, deadline).await?;
        if answer.status != 401 || !is_expired(&answer) {
            return Ok(answer);
        }
        let renewed = self.session(Some(&session), deadline).await?;
        self.send(request, &renewed, deadline).await
    }

    /// The error that a success is, part of which makes no sense.
    pub(crate) fn unreadable(&self, what: &str) -> Error {
        let url = self.identity().map(|identity| identity.instance_url);
        super::wire::Error::Unreadable {
            host: url.as_ref().map(super::wire::host).unwrap_or_default(),
            status: 200,
            what: what.to_owned(),
        }
        .into()
    }

    /// Whether anybody is at home: asks for the list of API versions, which
    /// needs no token and counts as no call (REST API Developer Guide,
    /// "Versions" and "Limit Info Header").
    pub async fn probe(&self) -> Result<(), Error> {
        let Shared { wire, sessions, .. } = &*self.shared;
        let versions = match sessions.known() {
            Some(session) => session.identity.instance_url.join("/services/data").ok(),
            None => sessions.login().versions(),
        };
        let Some(versions) = versions else {
            return Err(Error::Settings {
                variable: "SALESFORCE_LOGIN_URL",
                why: "no path can be put after it",
            });
        };
        let request = wire
            .request(Method::GET, versions)
            .header(ACCEPT, "application/json");
        let answer = wire.exchange(request, self.timeout).await?;
        if answer.is_success() {
            answer.json::<Vec<serde::de::IgnoredAny>>()?;
            return Ok(());
        }
        Err(refusal(&answer, Purpose::Read))
    }

    async fn session(
        &self,
        refused: Option<&Arc<Session>>,
        deadline: Instant,
    ) -> Result<Arc<Session>, Error> {
        let Shared { wire, sessions, .. } = &*self.shared;
        let host = || sessions.login().host();
        match timeout_at(deadline, sessions.session(wire, refused)).await {
            Ok(outcome) => outcome.map_err(|source| Error::Login {
                host: host(),
                source,
            }),
            Err(_elapsed) => Err(Error::LoginTimeout {
                host: host(),
                limit: self.timeout,
            }),
        }
    }

    async fn send(
        &self,
        request: &Request,
        session: &Session,
        deadline: Instant,
    ) -> Result<Answer, Error> {
        let mut url = session.identity.instance_url.clone();
        let (path, query) = match request.target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (request.target.as_str(), None),
        };
        url.set_path(path);
        url.set_query(query);
        let mut call = self
            .shared
            .wire
            .request(request.method.clone(), url)
            .header(AUTHORIZATION, session.authorization.clone())
            .header(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(body) = &request.body {
            call = call
                .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
                .body(body.clone());
        }
        let started = Instant::now();
        let answer = self.shared.wire.exchange(call, deadline - started).await?;
        tracing::debug!(
            http.method = %request.method,
            http.status = answer.status,
            duration_ms = started.elapsed().as_millis(),
            "salesforce answered"
        );
        if answer.usage.is_some() {
            *self
                .shared
                .usage
                .lock()
                .unwrap_or_else(PoisonError::into_inner) = answer.usage;
        }
        Ok(answer)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("login", &self.shared.sessions.login().host())
            .field("root", &self.shared.root)
            .finish_non_exhaustive()
    }
}

/// The error that a refused request becomes.
pub(super) fn refusal(answer: &Answer, purpose: Purpose) -> Error {
    match Entry::read(&answer.body).map(|entries| entries.into_iter().next()) {
        Some(Some(entry)) => entry.refusal(answer.status, purpose),
        _ => answer.unreadable("no error of Salesforce's").into(),
    }
}

fn is_expired(answer: &Answer) -> bool {
    Entry::read(&answer.body).is_some_and(|entries| entries.iter().any(Entry::is_expired_session))
}

/// A text as one segment of a path or one value of a query. The form encoding
/// leaves only letters, digits and `*-._` as they are.
pub(super) fn encoded(text: &str) -> String {
    byte_serialize(text.as_bytes())
        .collect::<String>()
        .replace('+', "%20")
}

/// `67.0` is version 67.
fn version_of(api_version: &str) -> u32 {
    let whole = api_version.split('.').next().unwrap_or_default();
    whole.parse().unwrap_or_default()
}
