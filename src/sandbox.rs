//! The Salesforce sandbox: an org that answers over HTTP as Salesforce does,
//! so that neither the demo nor a test needs an account.
//!
//! It promises the status codes, headers, bodies and rules that were recorded
//! from real orgs or are documented, real signatures at login, real roll-ups,
//! locks and limits, and faults on demand. It keeps everything in memory and
//! forgets it when it stops. It knows nothing of the daemon; the daemon knows
//! only its URL.
//!
//! Not there: Bulk API, batch and tree, sharing, flows, and SOQL beyond what
//! the module `soql` says.

use std::fs;
use std::future::Future;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value as Json;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

mod connection;
mod control;
mod cursors;
mod fault;
mod history;
mod id;
mod incoming;
mod input;
mod keys;
mod oauth;
mod org;
mod pretty;
mod records;
mod refusal;
mod rest;
mod schema;
mod search;
mod server;
mod service;
pub(crate) mod soql;
mod stats;
mod store;
mod value;

pub use fault::{Effect, Plan};
pub use history::{Moment, RowChange};
pub use org::Tally;
pub use schema::{Error as SchemaError, PackageError, Schema};
pub use service::Behaviour;
pub use stats::Stats;

use service::{Service, lock};

/// How long open connections get to finish when the sandbox stops.
const GRACE: Duration = Duration::from_millis(250);

/// Why the sandbox does not run, or refuses what a test wants of it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is taken, or may not be used.
    #[error("port {port} of 127.0.0.1 cannot be used")]
    Listen {
        /// The port that was asked for; 0 is any.
        port: u16,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// No key pair, so nobody could log in.
    #[error("the sandbox has no key pair")]
    Keys(#[source] keys::Error),
    /// The schema is wrong.
    #[error("the sandbox has no usable schema")]
    Schema(#[source] SchemaError),
    /// A file for the caller cannot be written.
    #[error("{} cannot be written", path.display())]
    Write {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Standard output is closed.
    #[error("the line that says where the sandbox is cannot be printed")]
    Print(#[source] io::Error),
    /// The org refused a record.
    #[error("{code}: {message}")]
    Refused {
        /// Salesforce's code.
        code: String,
        /// Salesforce's words.
        message: String,
    },
    /// What a test wants to set is not known.
    #[error("the settings are not of the expected form")]
    Settings(#[source] serde_json::Error),
}

/// Where the sandbox runs and what the org looks like.
#[derive(Debug, Default)]
pub struct Options {
    /// 0: any free one.
    pub port: u16,
    /// Another org than the shipped one.
    pub schema: Option<Schema>,
}

/// What a client needs to log in.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// Consumer key of the connected app.
    pub client_id: String,
    /// Its secret.
    pub client_secret: String,
    /// The integration user.
    pub username: String,
    /// RSA private key as PEM.
    pub private_key: String,
    /// For the refresh flow.
    pub refresh_token: String,
}

/// A running sandbox. It stops when it is dropped.
pub struct Sandbox {
    base_url: String,
    credentials: Credentials,
    service: Arc<Service>,
    stop: watch::Sender<bool>,
    server: JoinHandle<()>,
}

impl Sandbox {
    /// Starts a sandbox on the runtime of the caller.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let schema = match options.schema {
            Some(schema) => schema,
            None => Schema::shipped().map_err(Error::Schema)?,
        };
        let (private_key, public_key) = keys::generate().map_err(Error::Keys)?;
        let listen = |source| Error::Listen {
            port: options.port,
            source,
        };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, options.port));
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let base_url = format!("http://{}", listener.local_addr().map_err(listen)?);

        let users: Vec<String> = schema
            .users
            .iter()
            .map(|user| user.username.clone())
            .collect();
        let run_as = schema
            .users
            .iter()
            .position(|user| !user.all_rights)
            .unwrap_or_default();
        let access = oauth::Access::new(base_url.clone(), public_key, users, run_as);
        let credentials = Credentials {
            client_id: access.client_id.clone(),
            client_secret: access.client_secret.clone(),
            username: access.users.get(run_as).cloned().unwrap_or_default(),
            private_key,
            refresh_token: access.refresh_token.clone(),
        };
        let service = Arc::new(Service::new(org::Org::new(schema), access));
        let (stop, stopped) = watch::channel(false);
        let server = tokio::spawn(run(listener, Arc::clone(&service), stopped));
        Ok(Self {
            base_url,
            credentials,
            service,
            stop,
            server,
        })
    }

    /// `http://127.0.0.1:…`, for the login URL and as `instance_url`.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// Stands behind another address, such as a proxy's: that one is answered
    /// as `instance_url` from the next login on.
    pub fn stand_behind(&self, url: &str) {
        url.trim_end_matches('/')
            .clone_into(&mut lock(&self.service.access).base_url);
    }

    /// Where the control endpoint is.
    pub fn control_url(&self) -> String {
        format!("{}/control", self.base_url)
    }

    /// What a client needs to log in.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// Adds a row as an admin; answers its id.
    pub fn seed(&self, object: &str, record: &Json) -> Result<String, Error> {
        let id = control::seed(&mut lock(&self.service.org), object, &record.to_string())
            .map_err(refused)?;
        Ok(id.to_string())
    }

    /// Changes a row as an admin.
    pub fn change(&self, object: &str, id: &str, record: &Json) -> Result<(), Error> {
        control::change(
            &mut lock(&self.service.org),
            object,
            id,
            &record.to_string(),
        )
        .map_err(refused)
    }

    /// All live rows of an object. Numbers go through binary floating point
    /// here; whoever wants every digit asks the control endpoint.
    pub fn records(&self, object: &str) -> Result<Vec<Json>, Error> {
        let dump = control::dump(&mut lock(&self.service.org), object).map_err(refused)?;
        serde_json::from_slice(&dump).map_err(Error::Settings)
    }

    /// Lets something go wrong; answers the number of the fault.
    pub fn fault(&self, plan: Plan) -> u64 {
        lock(&self.service.faults).add(plan)
    }

    /// One fault is over.
    pub fn end_fault(&self, number: u64) {
        lock(&self.service.faults).remove(Some(number));
    }

    /// Nothing goes wrong any more.
    pub fn clear_faults(&self) {
        lock(&self.service.faults).remove(None);
    }

    /// How many requests a fault has struck.
    pub fn fault_hits(&self, number: u64) -> u64 {
        lock(&self.service.faults)
            .list()
            .iter()
            .find(|fault| fault.id == number)
            .map_or(0, |fault| fault.hits)
    }

    /// Carries out the requests that were withheld; done when this returns.
    pub async fn land(&self) {
        server::land(&self.service).await;
    }

    /// The counters.
    pub fn stats(&self) -> Stats {
        lock(&self.service.stats).clone()
    }

    /// Every change since the setting `history` asked for them; `None` if there
    /// were more than it gave room for.
    pub fn history(&self) -> Option<Vec<Moment>> {
        lock(&self.service.org).history.whole()
    }

    /// Ends every session.
    pub fn expire_tokens(&self) {
        lock(&self.service.access).expire_all();
    }

    /// The same as `POST /control/settings`.
    pub fn settings(&self, change: &Json) -> Result<(), Error> {
        let change = serde_json::from_value(change.clone()).map_err(Error::Settings)?;
        control::apply(&self.service, &change).map_err(Error::Schema)
    }

    /// Stops, and waits until the port is free again.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        // A server that panicked has stopped too.
        (&mut self.server).await.ok();
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

fn refused(refusal: refusal::Refusal) -> Error {
    Error::Refused {
        code: refusal.code.into_owned(),
        message: refusal.message,
    }
}

async fn run(listener: TcpListener, service: Arc<Service>, stopped: watch::Receiver<bool>) {
    let wait = |mut stopped: watch::Receiver<bool>| async move {
        // A sender that is gone means the same.
        stopped.wait_for(|stop| *stop).await.ok();
    };
    let router = server::router(service).into_make_service_with_connect_info::<connection::Knife>();
    let serving = axum::serve(connection::Cuttable(listener), router)
        .with_graceful_shutdown(wait(stopped.clone()));
    let too_long = async {
        wait(stopped).await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        // The listener never fails: it waits out what it cannot accept.
        _ = serving => {}
        () = too_long => {}
    }
}

/// The command `sandbox`: runs until told to stop, after saying where it is,
/// on standard output and in a file.
pub async fn run_command(
    port: u16,
    ready_file: Option<&Path>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), Error> {
    let sandbox = Sandbox::start(Options { port, schema: None }).await?;
    let write = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::Write { path, source }
    };
    let temp = std::env::temp_dir();
    // Only its owner may read it: that is how temporary files are made.
    let key_file = tempfile::Builder::new()
        .prefix("usage-sync-")
        .suffix(".pem")
        .tempfile()
        .map_err(write(&temp))?;
    fs::write(key_file.path(), &sandbox.credentials.private_key).map_err(write(key_file.path()))?;
    let line = sandbox.ready_line(key_file.path());
    if let Some(path) = ready_file {
        write_whole(path, &line).map_err(write(path))?;
    }
    print_line(&line).map_err(Error::Print)?;
    shutdown.await;
    sandbox.shutdown().await;
    Ok(())
}

impl Sandbox {
    fn ready_line(&self, key_file: &Path) -> String {
        let Credentials {
            client_id,
            client_secret,
            username,
            refresh_token,
            ..
        } = &self.credentials;
        serde_json::json!({
            "base_url": self.base_url,
            "control_url": self.control_url(),
            "client_id": client_id,
            "client_secret": client_secret,
            "username": username,
            "private_key_file": key_file,
            "refresh_token": refresh_token,
        })
        .to_string()
    }
}

fn print_line(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// Whoever waits for the file finds it whole or not at all.
fn write_whole(path: &Path, line: &str) -> io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    writeln!(file, "{line}")?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}
