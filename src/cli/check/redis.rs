//! Redis: version, eviction policy, persistence.

use usage_sync::{
    queue::{Error, Queue, Server},
    settings::Settings,
    telemetry::Chain,
};

use super::Item;

pub(super) async fn check(settings: &Settings) -> Vec<Item> {
    let server = match Queue::connect(&settings.redis, &settings.queue).await {
        Ok(queue) => queue.server().await,
        Err(error) => Err(error),
    };
    match server {
        Ok(server) => items(&server, settings),
        Err(error) => vec![unreachable(&error)],
    }
}

fn unreachable(error: &Error) -> Item {
    let remedy = match error {
        Error::TooOld { .. } => "upgrade Redis to 6.2 or newer",
        Error::Address(_) => "correct REDIS_URL",
        Error::Connect(_) | Error::Command { .. } => {
            "start Redis or correct REDIS_URL; for Heroku Key-Value Store, whose certificate is \
             self-signed, set REDIS_TLS_VERIFY=none"
        }
    };
    Item::failed("redis", Chain(error).to_string(), remedy)
}

fn items(server: &Server, settings: &Settings) -> Vec<Item> {
    let mut items = vec![Item::ok("redis", format!("version {}", server.version))];
    if !settings.redis.tls_verify {
        items.push(Item::warning(
            "redis certificate",
            "not verified",
            "set REDIS_TLS_VERIFY=full where the server has a certificate of a known authority",
        ));
    }
    items.push(match server.eviction_policy.as_deref() {
        Some("noeviction") => Item::ok("redis eviction", "noeviction"),
        Some(policy) => Item::warning(
            "redis eviction",
            format!("{policy}: keys of the queue may vanish; the sweep brings them back, late"),
            "set maxmemory-policy to noeviction",
        ),
        None => Item::warning("redis eviction", "the server does not tell its policy", ""),
    });
    items.push(Item::ok(
        "redis persistence",
        if server.persistent {
            "a restart finds the queue again"
        } else {
            "none: after a restart the sweep fills the queue again"
        },
    ));
    if server.max_memory > 0 {
        let (used, most) = (
            server.used_memory / 1_048_576,
            server.max_memory / 1_048_576,
        );
        items.push(Item::ok(
            "redis memory",
            format!("{used} of {most} MiB in use"),
        ));
    }
    items
}
