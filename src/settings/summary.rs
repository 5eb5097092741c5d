//! What the start log says about the settings: which services, and nothing
//! that opens them.

use std::fmt;

use secrecy::ExposeSecret as _;
use url::Url;

use super::{Login, Settings};

/// The services that the daemon works with, fit to be logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Host, port and name of the database.
    pub database: String,
    /// Host and port of the queue's server, and whether TLS protects it.
    pub redis: String,
    /// Host that tokens are asked for.
    pub salesforce: String,
    /// The flow that logs in.
    pub login: &'static str,
    /// The object that takes usage records.
    pub object: String,
}

impl Settings {
    /// Hosts and names, without users, passwords, keys and parameters.
    pub fn summary(&self) -> Summary {
        let tls = match (
            self.redis.url.expose_secret().starts_with("rediss:"),
            self.redis.tls_verify,
        ) {
            (false, _) => "plain",
            (true, true) => "tls",
            (true, false) => "tls unverified",
        };
        Summary {
            database: location(self.database.url.expose_secret()),
            redis: format!("{} ({tls})", location(self.redis.url.expose_secret())),
            salesforce: location(self.salesforce.login_url.as_str()),
            login: match self.salesforce.login {
                Login::JwtBearer { .. } => "jwt bearer",
                Login::ClientCredentials { .. } => "client credentials",
                Login::RefreshToken { .. } => "refresh token",
            },
            object: self.salesforce.object.clone(),
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            database,
            redis,
            salesforce,
            login,
            object,
        } = self;
        write!(
            f,
            "database {database}, redis {redis}, salesforce {salesforce} by {login}, {object}"
        )
    }
}

/// `host:port/path` of an address that may hold a password.
fn location(address: &str) -> String {
    let Ok(url) = Url::parse(address) else {
        return String::new();
    };
    // A socket's directory stands in a parameter instead.
    let socket = url
        .query_pairs()
        .find(|(key, _)| key == "host")
        .map(|(_, value)| value);
    let host = match url.host_str() {
        Some(host) if !host.is_empty() => host.to_owned(),
        _ => socket.unwrap_or_default().into_owned(),
    };
    let port = url
        .port()
        .map(|port| format!(":{port}"))
        .unwrap_or_default();
    let path = url.path().trim_end_matches('/');
    format!("{host}{port}{path}")
}
