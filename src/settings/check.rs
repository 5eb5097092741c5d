//! Turns the values that were found into settings, section by section.
//!
//! A section reads all of its keys before it gives up on one, so that no
//! fault hides another. What contradicts itself is a fault, too.

use std::time::Duration;

use secrecy::SecretString;
use tracing_subscriber::filter::{LevelFilter, Targets};
use url::Url;

use super::reader::Reader;
use super::{
    Capture, Database, Faults, Log, LogFormat, Outage, Queue, Redis, Retry, Settings, Source, Web,
    Worker, org,
};

/// Heroku kills a process 30 seconds after it asked it to stop (Dev Center,
/// "Dyno Shutdown Behavior").
const KILLED_AFTER: Duration = Duration::from_secs(30);

/// A claim is renewed every third of its lease: below three seconds a short
/// pause of the process would lose it. Above ten minutes a killed worker's ads
/// would wait longer than any request can run.
const LEASE: std::ops::RangeInclusive<Duration> = Duration::from_secs(3)..=Duration::from_mins(10);

const TOKEN: &str = "web.token";
const TOKEN_REMEDY: &str = "give at least 16 characters, such as `openssl rand -hex 32` prints";

impl Source {
    /// Checks everything; for all commands but those below.
    pub fn settings(&self) -> Result<Settings, Faults> {
        let mut reader = Reader::new(self);
        let settings = settings(&mut reader, self.no_color);
        // A fault in them shows before `web` is started.
        web(&mut reader);
        reader.finish(settings)
    }

    /// Checks everything, and what only `web` needs.
    pub fn web(&self) -> Result<(Settings, Web), Faults> {
        let mut reader = Reader::new(self);
        let settings = settings(&mut reader, self.no_color);
        reader.required(TOKEN, TOKEN_REMEDY);
        let web = web(&mut reader);
        reader.finish(settings.zip(web))
    }

    /// Checks what `migrate` needs and nothing else, so that Heroku's release
    /// phase does not fail because Salesforce is not set up yet.
    pub fn database(&self) -> Result<(Database, Log), Faults> {
        let mut reader = Reader::new(self);
        let database = database(&mut reader);
        let log = log(&mut reader, self.no_color);
        reader.finish(database.zip(log))
    }

    /// Checks how to log: what a command needs that brings its own services.
    pub fn log(&self) -> Result<Log, Faults> {
        let mut reader = Reader::new(self);
        let log = log(&mut reader, self.no_color);
        reader.finish(log)
    }
}

fn settings(reader: &mut Reader<'_>, no_color: bool) -> Option<Settings> {
    let database = database(reader);
    let redis = redis(reader);
    let salesforce = org::salesforce(reader);
    let queue = queue(reader);
    let batch_size = reader.number("worker.batch_size", 1..=200);
    let retry = retry(reader);
    let outage = outage(reader);
    let capture = capture(reader);
    let contract = org::contract(reader);
    let journal_retention = reader.duration("journal.retention");
    let shutdown_timeout = shutdown_timeout(reader);
    let log = log(reader, no_color);
    let metrics_interval = reader.duration("metrics.interval");
    Some(Settings {
        database: database?,
        redis: redis?,
        salesforce: salesforce?,
        queue: queue?,
        worker: Worker {
            batch_size: batch_size?,
        },
        retry: retry?,
        outage: outage?,
        capture: capture?,
        contract: contract?,
        journal_retention: journal_retention?,
        shutdown_timeout: shutdown_timeout?,
        log: log?,
        metrics_interval: metrics_interval?,
    })
}

fn database(reader: &mut Reader<'_>) -> Option<Database> {
    const REMEDY: &str = "give it as postgres://user:password@host:5432/name";
    const MODES: [&str; 6] = [
        "disable",
        "allow",
        "prefer",
        "require",
        "verify-ca",
        "verify-full",
    ];
    let url = reader.server("database.url", &["postgres", "postgresql"], REMEDY);
    let max_connections = reader.number("database.max_connections", 2..=500);
    let url = url?;
    let query = |name| {
        url.query_pairs()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value)
    };
    if url.host_str().is_none_or(str::is_empty) && query("host").is_none() {
        reader.fault("database.url", "names no host", REMEDY);
    }
    if url.fragment().is_some() {
        reader.fault(
            "database.url",
            "has a bare #",
            "write a # of the password as %23",
        );
    }
    let mode = query("sslmode").or_else(|| query("ssl-mode"));
    if mode.is_some_and(|mode| !MODES.contains(&mode.as_ref())) {
        let remedy = format!("use one of {}", MODES.join(", "));
        reader.fault("database.url", "has an unknown sslmode", remedy);
    }
    Some(Database {
        url: secret(&url),
        max_connections: max_connections?,
    })
}

fn redis(reader: &mut Reader<'_>) -> Option<Redis> {
    const REMEDY: &str = "give it as redis://user:password@host:6379 or rediss://…";
    let url = reader.server("redis.url", &["redis", "rediss"], REMEDY);
    let tls_verify = reader.choice("redis.tls_verify", &[("full", true), ("none", false)]);
    let url = url?;
    if url.host_str().is_none_or(str::is_empty) {
        reader.fault("redis.url", "names no host", REMEDY);
    }
    // The redis crate reads `#insecure` as "do not verify"; that is said in
    // one place only.
    if url.fragment().is_some() {
        let remedy = "take it off; REDIS_TLS_VERIFY decides about the certificate, and a # of the \
                      password is written %23";
        reader.fault("redis.url", "has a # at its end", remedy);
    }
    Some(Redis {
        url: secret(&url),
        tls_verify: tls_verify?,
    })
}

fn secret(url: &Url) -> SecretString {
    SecretString::from(url.as_str())
}

fn queue(reader: &mut Reader<'_>) -> Option<Queue> {
    let name = reader.required("queue.name", "give a name, such as usage-sync");
    // It stands between the braces of a hash tag, so it may hold none itself.
    reader.is_token("queue.name", name.as_deref().unwrap_or_default());
    let max = reader.number("queue.max", 1..=10_000_000);
    let lease = reader.duration_within(
        "queue.lease",
        LEASE,
        "is too short to renew or too long to wait",
    );
    Some(Queue {
        name: name?,
        max: max?,
        lease: lease?,
    })
}

fn retry(reader: &mut Reader<'_>) -> Option<Retry> {
    let base = reader.duration("retry.base");
    let max = reader.duration("retry.max");
    let rejected = reader.duration("retry.rejected");
    reader.in_order(("retry.base", base), ("retry.max", max));
    Some(Retry {
        base: base?,
        max: max?,
        rejected: rejected?,
    })
}

fn outage(reader: &mut Reader<'_>) -> Option<Outage> {
    let base = reader.duration("outage.base");
    let max = reader.duration("outage.max");
    reader.in_order(("outage.base", base), ("outage.max", max));
    Some(Outage {
        base: base?,
        max: max?,
    })
}

fn capture(reader: &mut Reader<'_>) -> Option<Capture> {
    let poll_interval = reader.duration("capture.poll_interval");
    let sweep_interval = reader.duration("capture.sweep_interval");
    Some(Capture {
        poll_interval: poll_interval?,
        sweep_interval: sweep_interval?,
    })
}

fn shutdown_timeout(reader: &mut Reader<'_>) -> Option<Duration> {
    let timeout = reader.duration("shutdown.timeout")?;
    if timeout >= KILLED_AFTER {
        let remedy = "give less than 30s, after which Heroku kills the process";
        reader.fault("shutdown.timeout", "is too long", remedy);
    }
    Some(timeout)
}

fn log(reader: &mut Reader<'_>, no_color: bool) -> Option<Log> {
    let formats = [
        ("auto", LogFormat::Auto),
        ("human", LogFormat::Human),
        ("logfmt", LogFormat::Logfmt),
        ("json", LogFormat::Json),
    ];
    let format = reader.choice("log.format", &formats);
    let level = log_level(reader);
    Some(Log {
        level: level?,
        format: format?,
        color: !no_color,
    })
}

/// A bare word must be a level: `tracing` would take a misspelt one for the
/// name of a target, and the log would fall silent.
fn log_level(reader: &mut Reader<'_>) -> Option<String> {
    const REMEDY: &str = "give error, warn, info, debug, trace or off, or as info,sqlx=debug";
    let level = reader.required("log.level", REMEDY)?;
    let known = |word: &str| word.contains('=') || word.trim().parse::<LevelFilter>().is_ok();
    let valid = level.split(',').all(known) && level.parse::<Targets>().is_ok();
    if !valid {
        reader.fault("log.level", "is not a level", REMEDY);
    }
    valid.then_some(level)
}

/// `None` where the token is not set, which is no fault of other commands.
fn web(reader: &mut Reader<'_>) -> Option<Web> {
    let port = reader.number("port", 0..=u16::MAX);
    let rate_limit = reader.number("web.rate_limit", 1..=100_000);
    let token = reader.optional(TOKEN)?;
    if token.len() < 16 {
        reader.fault(TOKEN, "is too short to withstand guessing", TOKEN_REMEDY);
    } else if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        reader.fault(TOKEN, "has what no HTTP header carries", TOKEN_REMEDY);
    }
    Some(Web {
        port: port?,
        rate_limit: rate_limit?,
        token: SecretString::from(token),
    })
}
