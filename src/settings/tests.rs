//! Settings as a person gives them, and what is said when they are wrong.

use std::time::Duration;

use secrecy::ExposeSecret as _;

use super::key::tests::PEM;
use super::*;

const DATABASE: (&str, &str) = ("DATABASE_URL", "postgres://app:sesame@db.example:5433/ads");
const REDIS: (&str, &str) = ("REDIS_URL", "rediss://:sesame@redis.example:6380");
const CLIENT_ID: (&str, &str) = ("SALESFORCE_CLIENT_ID", "3MVG9");
const LOOPBACK: (&str, &str) = ("SALESFORCE_LOGIN_URL", "http://127.0.0.1:8080");
const CLIENT_SECRET: (&str, &str) = ("SALESFORCE_CLIENT_SECRET", "sesame");

type Environment<'a> = &'a [(&'a str, &'a str)];

/// A complete environment, with `changes` laid over it.
fn load(changes: Environment<'_>) -> Result<Settings, Faults> {
    let complete = [DATABASE, REDIS, CLIENT_ID, LOOPBACK, CLIENT_SECRET];
    Source::read(complete.iter().chain(changes).copied()).settings()
}

fn faults(changes: Environment<'_>) -> Vec<String> {
    load(changes).map_or_else(
        |faults| faults.0.iter().map(ToString::to_string).collect(),
        |_| vec![],
    )
}

#[test]
fn the_defaults_are_those_of_the_design() {
    let settings = load(&[]).unwrap();

    let second = Duration::from_secs(1);
    assert_eq!(settings.database.max_connections, 5);
    assert!(settings.redis.tls_verify);
    assert_eq!(settings.salesforce.api_version, "67.0");
    assert_eq!(settings.salesforce.object, "Usage__c");
    assert_eq!(settings.salesforce.external_id_field, "External_Id__c");
    assert_eq!(settings.salesforce.external_id_prefix, "");
    assert_eq!(
        settings.salesforce.revision_field.as_deref(),
        Some("Revision__c")
    );
    assert_eq!(settings.salesforce.timeout, 60 * second);
    assert_eq!(settings.salesforce.connect_timeout, 5 * second);
    assert_eq!(settings.salesforce.read_timeout, 5 * second);
    assert_eq!(settings.salesforce.max_concurrency, 4);
    assert_eq!(settings.salesforce.landing_window, 660 * second);
    assert!((settings.salesforce.api_budget - 0.8).abs() < 1e-9);
    assert_eq!(settings.queue.name, "usage-sync");
    assert_eq!(settings.queue.max, 50_000);
    assert_eq!(settings.queue.lease, 15 * second);
    assert_eq!(settings.worker.batch_size, 200);
    assert_eq!(settings.retry.base, 2 * second);
    assert_eq!(settings.retry.max, 600 * second);
    assert_eq!(settings.retry.rejected, 6 * 3600 * second);
    assert_eq!(settings.outage.base, second);
    assert_eq!(settings.outage.max, 60 * second);
    assert_eq!(settings.capture.poll_interval, 5 * second);
    assert_eq!(settings.capture.sweep_interval, 60 * second);
    assert_eq!(
        settings.contract.products_relationship,
        "Contract_Products__r"
    );
    assert_eq!(settings.contract.locked_status, "Fulfilled");
    assert_eq!(settings.journal_retention, 400 * 86400 * second);
    assert_eq!(settings.shutdown_timeout, 25 * second);
    assert_eq!(settings.log.level, "info");
    assert_eq!(settings.log.format, LogFormat::Auto);
    assert!(settings.log.color);
    assert_eq!(settings.metrics_interval, 60 * second);
}

#[test]
fn variables_win_over_the_defaults() {
    let settings = load(&[
        ("SALESFORCE_REVISION_FIELD", ""),
        ("SALESFORCE_API_VERSION", "v60"),
        ("SALESFORCE_API_BUDGET", "12.5%"),
        ("SALESFORCE_CLIENT_ID", "007"),
        ("QUEUE_LEASE", "3s"),
        ("SHUTDOWN_TIMEOUT", "250ms"),
        ("LOG_LEVEL", "info,sqlx=debug"),
        ("LOG_FORMAT", "JSON"),
        ("NO_COLOR", "1"),
        ("WORKER_BATCH_SIZE", ""),
    ])
    .unwrap();

    assert_eq!(settings.salesforce.revision_field, None);
    assert_eq!(settings.salesforce.api_version, "60.0");
    assert!((settings.salesforce.api_budget - 0.125).abs() < 1e-9);
    assert_eq!(settings.salesforce.client_id, "007");
    assert_eq!(settings.queue.lease, Duration::from_secs(3));
    assert_eq!(settings.shutdown_timeout, Duration::from_millis(250));
    assert_eq!(settings.log.level, "info,sqlx=debug");
    assert_eq!(settings.log.format, LogFormat::Json);
    assert!(!settings.log.color);
    assert_eq!(settings.worker.batch_size, 200);
}

/// `variable=value` and, after the arrow, all that is said about it.
const BAD_VALUES: &str = "
DATABASE_URL= -> DATABASE_URL is not set: give it as postgres://user:password@host:5432/name
DATABASE_URL=mysql://sesame@h/d -> DATABASE_URL does not begin with postgres:// or postgresql://: give it as postgres://user:password@host:5432/name
DATABASE_URL=postgres:///d -> DATABASE_URL names no host: give it as postgres://user:password@host:5432/name
DATABASE_URL=postgres://u:p@h/d#sesame -> DATABASE_URL has a bare #: write a # of the password as %23
DATABASE_URL=postgres://h/d?sslmode=sesame -> DATABASE_URL has an unknown sslmode: use one of disable, allow, prefer, require, verify-ca, verify-full
DATABASE_URL=postgres://u:p#sesame@h/d -> DATABASE_URL is not a URL: give it as postgres://user:password@host:5432/name, special characters of the password as %23 for #
DATABASE_MAX_CONNECTIONS=1 -> DATABASE_MAX_CONNECTIONS is not a number within its bounds: give a whole number, 2 to 500
REDIS_URL=http://h -> REDIS_URL does not begin with redis:// or rediss://: give it as redis://user:password@host:6379 or rediss://…
REDIS_URL=redis:///0 -> REDIS_URL names no host: give it as redis://user:password@host:6379 or rediss://…
REDIS_URL=rediss://h#insecure -> REDIS_URL has a # at its end: take it off; REDIS_TLS_VERIFY decides about the certificate, and a # of the password is written %23
REDIS_TLS_VERIFY=false -> REDIS_TLS_VERIFY is none of its values: give full or none
SALESFORCE_LOGIN_URL=http://x.my.salesforce.com -> SALESFORCE_LOGIN_URL is not https: give https://login.salesforce.com or https://<My Domain>.my.salesforce.com
SALESFORCE_LOGIN_URL=http://127.0.0.1.example.com -> SALESFORCE_LOGIN_URL is not https: give https://login.salesforce.com or https://<My Domain>.my.salesforce.com
SALESFORCE_LOGIN_URL=https://u:sesame@x.my.salesforce.com -> SALESFORCE_LOGIN_URL holds more than an address: give https://login.salesforce.com or https://<My Domain>.my.salesforce.com
SALESFORCE_LOGIN_URL=https://x.lightning.force.com -> SALESFORCE_LOGIN_URL is the address for the browser: give https://login.salesforce.com or https://<My Domain>.my.salesforce.com
SALESFORCE_LOGIN_URL=https://test.salesforce.com -> SALESFORCE_LOGIN_URL does not permit the client credentials flow: give the org's own https://<My Domain>.my.salesforce.com
SALESFORCE_CLIENT_ID= -> SALESFORCE_CLIENT_ID is not set: give the consumer key of the external client app
SALESFORCE_API_VERSION=45.0 -> SALESFORCE_API_VERSION is out of range: give a version as 67.0, 46.0 or newer
SALESFORCE_API_VERSION=sesame -> SALESFORCE_API_VERSION is not an API version: give a version as 67.0, 46.0 or newer
SALESFORCE_OBJECT=Usage__c; sesame -> SALESFORCE_OBJECT is not an API name: give its API name, such as Usage__c
SALESFORCE_EXTERNAL_ID_FIELD=1st -> SALESFORCE_EXTERNAL_ID_FIELD is not an API name: give its API name, such as Usage__c
SALESFORCE_EXTERNAL_ID_PREFIX=a/b -> SALESFORCE_EXTERNAL_ID_PREFIX has other than plain characters or is too long: use letters, digits, dots, colons, - and _, 64 at most
SALESFORCE_REVISION_FIELD=Révision__c -> SALESFORCE_REVISION_FIELD is not an API name: give its API name, or nothing
SALESFORCE_TIMEOUT=60 -> SALESFORCE_TIMEOUT is not a duration: give it as 250ms, 30s, 5m or 6h, more than zero
SALESFORCE_CONNECT_TIMEOUT=61s -> SALESFORCE_CONNECT_TIMEOUT is longer than SALESFORCE_TIMEOUT: lower it, or raise the other
SALESFORCE_MAX_CONCURRENCY=-1 -> SALESFORCE_MAX_CONCURRENCY is not a number within its bounds: give a whole number, 1 to 100
SALESFORCE_API_BUDGET=0.8 -> SALESFORCE_API_BUDGET is not a share in percent: give a share as 80%, more than 0% and at most 100%
SALESFORCE_API_BUDGET=101% -> SALESFORCE_API_BUDGET is not a share in percent: give a share as 80%, more than 0% and at most 100%
SALESFORCE_API_BUDGET=NaN% -> SALESFORCE_API_BUDGET is not a share in percent: give a share as 80%, more than 0% and at most 100%
QUEUE_NAME={a} -> QUEUE_NAME has other than plain characters or is too long: use letters, digits, dots, colons, - and _, 64 at most
QUEUE_LEASE=2s -> QUEUE_LEASE is too short to renew or too long to wait: give 3s to 10m
WORKER_BATCH_SIZE=201 -> WORKER_BATCH_SIZE is not a number within its bounds: give a whole number, 1 to 200
RETRY_BASE=1h -> RETRY_BASE is longer than RETRY_MAX: lower it, or raise the other
OUTAGE_MAX=10ms -> OUTAGE_BASE is longer than OUTAGE_MAX: lower it, or raise the other
CAPTURE_POLL_INTERVAL=0s -> CAPTURE_POLL_INTERVAL is zero: give it as 250ms, 30s, 5m or 6h, more than zero
CONTRACT_UNITS_FIELD=Units c -> CONTRACT_UNITS_FIELD is not an API name: give its API name, such as Usage__c
SHUTDOWN_TIMEOUT=30s -> SHUTDOWN_TIMEOUT is too long: give less than 30s, after which Heroku kills the process
LOG_LEVEL=verbose -> LOG_LEVEL is not a level: give error, warn, info, debug, trace or off, or as info,sqlx=debug
LOG_LEVEL=info,sqlx=sesame -> LOG_LEVEL is not a level: give error, warn, info, debug, trace or off, or as info,sqlx=debug
LOG_FORMAT=xml -> LOG_FORMAT is none of its values: give auto or human or logfmt or json
PORT=70000 -> PORT is not a number within its bounds: give a whole number, 0 to 65535
WEB_TOKEN=sesame -> WEB_TOKEN is too short to withstand guessing: give at least 16 characters, such as `openssl rand -hex 32` prints
";

#[test]
fn every_bad_value_is_named_with_its_remedy_and_not_shown() {
    for case in BAD_VALUES.trim().lines() {
        let (assignment, expected) = case.split_once(" -> ").unwrap();
        let (variable, value) = assignment.split_once('=').unwrap();
        // An empty variable is "not set", so the value it replaces must go.
        let complete = [DATABASE, REDIS, CLIENT_ID, LOOPBACK, CLIENT_SECRET];
        let others = complete.into_iter().filter(|(name, _)| *name != variable);

        let found = Source::read(others.chain([(variable, value)])).settings();

        assert_eq!(
            found.err().map(|faults| faults.to_string()).as_deref(),
            Some(expected)
        );
    }
}

#[test]
fn all_faults_come_at_once() {
    let nothing: [(&str, &str); 0] = [];

    let found = Source::read(nothing).settings().unwrap_err().to_string();

    let named: Vec<&str> = found
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert_eq!(
        named,
        [
            "DATABASE_URL",
            "REDIS_URL",
            "SALESFORCE_CLIENT_ID",
            "SALESFORCE_PRIVATE_KEY"
        ]
    );
    assert_eq!(
        faults(&[("RETRY_BASE", "x"), ("RETRY_MAX", "y"), ("PORT", "z")]).len(),
        3
    );
}

#[test]
fn there_is_one_way_to_log_in_and_it_is_complete() {
    let username = ("SALESFORCE_USERNAME", "sync@example.com");
    let private_key = ("SALESFORCE_PRIVATE_KEY", PEM.as_str());
    let refresh_token = ("SALESFORCE_REFRESH_TOKEN", "5Aep");
    let audience = ("SALESFORCE_AUDIENCE", "https://test.salesforce.com");
    let cases: [(Environment<'_>, Result<&str, &[&str]>); 11] = [
        (&[username, private_key], Ok("jwt bearer")),
        (&[username, private_key, audience], Ok("jwt bearer")),
        (&[CLIENT_SECRET], Ok("client credentials")),
        (&[refresh_token], Ok("refresh token")),
        (&[refresh_token, CLIENT_SECRET], Ok("refresh token")),
        (&[], Err(&["SALESFORCE_PRIVATE_KEY"])),
        (&[username], Err(&["SALESFORCE_PRIVATE_KEY"])),
        (&[private_key], Err(&["SALESFORCE_USERNAME"])),
        (
            &[username, private_key, CLIENT_SECRET],
            Err(&["SALESFORCE_CLIENT_SECRET"]),
        ),
        (
            &[username, refresh_token],
            Err(&["SALESFORCE_REFRESH_TOKEN", "SALESFORCE_PRIVATE_KEY"]),
        ),
        (
            &[username, ("SALESFORCE_PRIVATE_KEY", "sesame")],
            Err(&["SALESFORCE_PRIVATE_KEY"]),
        ),
    ];
    for (login, expected) in cases {
        let common = [DATABASE, REDIS, CLIENT_ID, LOOPBACK];
        let found = Source::read(common.iter().chain(login).copied()).settings();

        let found = found
            .map(|settings| settings.summary().login)
            .map_err(|faults| {
                assert!(!faults.to_string().contains("sesame"));
                faults
                    .0
                    .into_iter()
                    .map(|fault| fault.variable)
                    .collect::<Vec<_>>()
            });
        let expected = expected.map_err(|names| names.iter().map(ToString::to_string).collect());
        assert_eq!(
            found,
            expected,
            "{:?}",
            login.iter().map(|(name, _)| name).collect::<Vec<_>>()
        );
    }
}

#[test]
fn the_audience_is_the_login_url_without_its_slash() {
    let environment = [
        DATABASE,
        REDIS,
        CLIENT_ID,
        ("SALESFORCE_USERNAME", "sync@example.com"),
        ("SALESFORCE_PRIVATE_KEY", PEM.as_str()),
    ];
    let settings = Source::read(environment).settings().unwrap();

    let Login::JwtBearer {
        audience,
        private_key,
        ..
    } = &settings.salesforce.login
    else {
        panic!("another flow was chosen");
    };
    assert_eq!(audience, "https://login.salesforce.com");
    assert_eq!(private_key.expose_secret(), PEM.as_str());
}

#[test]
fn migrate_needs_the_database_only() {
    let source = Source::read([DATABASE, ("SALESFORCE_PRIVATE_KEY", "broken")]);

    assert!(source.database().is_ok());
    assert!(source.log().is_ok());
    assert!(source.settings().is_err());
}

#[test]
fn switched_off_verification_is_a_warning() {
    let warnings = |changes: Environment<'_>| {
        Source::read([DATABASE, REDIS].iter().chain(changes).copied())
            .warnings()
            .0
            .len()
    };

    assert_eq!(warnings(&[]), 0);
    assert_eq!(warnings(&[("REDIS_TLS_VERIFY", "none")]), 1);
    assert_eq!(
        warnings(&[("REDIS_TLS_VERIFY", "none"), ("REDIS_URL", "redis://h")]),
        0
    );
}

#[test]
fn neither_the_summary_nor_debug_shows_a_secret() {
    let settings = load(&[("REDIS_TLS_VERIFY", "none")]).unwrap();

    assert_eq!(
        settings.summary().to_string(),
        "database db.example:5433/ads, redis redis.example:6380 (tls unverified), \
         salesforce 127.0.0.1:8080 by client credentials, Usage__c"
    );
    assert!(!format!("{settings:?}").contains("sesame"));
    let socket = load(&[("DATABASE_URL", "postgres:///ads?host=/run/pg")]).unwrap();
    assert_eq!(socket.summary().database, "/run/pg/ads");
}
