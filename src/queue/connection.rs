//! The connection to Redis: TLS, timeouts, and what the server says of itself.

use std::{collections::HashMap, time::Duration};

use redis::{Client, IntoConnectionInfo, aio::ConnectionManagerConfig, io::tcp::TcpSettings};
use secrecy::ExposeSecret;

use super::{Error, link::Link};
use crate::settings;

/// The crate's own default of 500 ms is less than a fail-over or a fork of a
/// busy server takes.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A dead peer is given up after this long, though nothing was ever answered.
const USER_TIMEOUT: Duration = Duration::from_secs(15);

/// What the server says of itself.
#[derive(Debug, Clone)]
pub struct Server {
    /// `7.0.15`.
    pub version: String,
    /// What happens when memory is used up; `None` where it may not be asked.
    pub eviction_policy: Option<String>,
    /// Whether a restart finds the data again.
    pub persistent: bool,
    /// Bytes in use.
    pub used_memory: u64,
    /// Bytes at most; 0 for no limit.
    pub max_memory: u64,
}

impl Server {
    /// `LPOP` with a count came with Redis 6.2.
    pub fn is_supported(&self) -> bool {
        let mut parts = self
            .version
            .split('.')
            .map(|part| part.parse().unwrap_or(0));
        let version: (u32, u32) = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
        version >= (6, 2)
    }
}

/// Opens a connection that reconnects by itself.
pub(super) async fn open(settings: &settings::Redis) -> Result<Link, Error> {
    let mut address = settings.url.expose_secret().to_owned();
    if !settings.tls_verify && address.starts_with("rediss://") && !address.contains('#') {
        address.push_str("#insecure");
    }
    let info = address.into_connection_info().map_err(Error::Address)?;
    let info = info.set_tcp_settings(
        TcpSettings::default()
            .set_nodelay(true)
            .set_keepalive(
                socket2::TcpKeepalive::new()
                    .with_time(Duration::from_secs(30))
                    .with_interval(Duration::from_secs(5)),
            )
            .set_user_timeout(USER_TIMEOUT),
    );
    let client = Client::open(info).map_err(Error::Address)?;
    let config = ConnectionManagerConfig::new()
        .set_response_timeout(Some(ANSWER_TIMEOUT))
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_number_of_retries(1)
        .set_max_delay(Duration::from_millis(500));
    Link::open(client, config).await.map_err(Error::Connect)
}

/// Asks the server what it is.
pub(super) async fn server(connection: &mut Link) -> Result<Server, Error> {
    let info: String = redis::cmd("INFO")
        .query_async(connection)
        .await
        .map_err(|source| Error::Command {
            operation: "tell its version",
            source,
        })?;
    let facts: HashMap<&str, &str> = info
        .lines()
        .filter_map(|line| line.trim_end().split_once(':'))
        .collect();
    let number = |key: &str| facts.get(key).and_then(|n| n.parse().ok()).unwrap_or(0);
    Ok(Server {
        version: facts.get("redis_version").unwrap_or(&"0").to_string(),
        eviction_policy: facts.get("maxmemory_policy").map(ToString::to_string),
        persistent: facts.get("aof_enabled") == Some(&"1")
            || number("rdb_last_save_time") > 0 && facts.get("rdb_saves") != Some(&"0"),
        used_memory: number("used_memory"),
        max_memory: number("maxmemory"),
    })
}
