//! Who may ask, and what everybody is told.

use std::collections::BTreeSet;

use reqwest::{Method, header::HeaderMap};

use super::{Answer, Gateway, TOKEN};
use crate::support::{Daemon, World};

const GUARDED: [(Method, &str); 6] = [
    (Method::GET, "/contracts?account=001"),
    (Method::GET, "/contracts/00000101"),
    (Method::GET, "/ads/1"),
    (Method::POST, "/ads/1/retry"),
    (Method::GET, "/status"),
    (Method::GET, "/openapi.json"),
];

#[tokio::test]
async fn nobody_is_told_anything_without_the_token() {
    let (world, _daemon) = World::reporting().await;
    let mut gateway = Gateway::with(&world, &[("LOG_LEVEL", "trace")]).await;
    let changes = world.pending().await;

    for (method, path) in GUARDED {
        for credentials in [
            None,
            Some(String::from("Bearer")),
            Some(String::from("Bearer ")),
            Some(format!("Bearer {}", &TOKEN[1..])),
            Some(format!("Bearer {TOKEN}x")),
            Some(format!("Bearer {}", TOKEN.to_uppercase())),
            Some(format!("Token {TOKEN}")),
            Some(TOKEN.to_owned()),
        ] {
            let mut request = gateway.request(method.clone(), path);
            if let Some(credentials) = &credentials {
                request = request.header("authorization", credentials);
            }
            let answer = Answer::to(request).await;
            answer.refuses(401, "unauthorized");
            let scheme = answer.header("www-authenticate");
            assert_eq!(scheme, "Bearer realm=\"usage-sync\"", "{credentials:?}");
        }
        let given = gateway
            .request(method.clone(), path)
            .query(&[("access_token", TOKEN)]);
        Answer::to(given).await.refuses(401, "unauthorized");
    }

    assert_eq!(world.pending().await, changes, "nothing was queued");
    for (method, path) in GUARDED {
        let answer = Answer::to(gateway.request(method, path).bearer_auth(TOKEN)).await;
        assert_ne!(answer.status.as_u16(), 401, "{path}");
    }
    // All that it says has come when it has ended.
    gateway.process.sigterm();
    gateway.process.ended().await;
    let log = gateway.process.log();
    assert!(log.contains("answered"), "it logs every step: {log}");
    assert!(!log.contains("sesame"), "the token is in the log: {log}");
}

#[tokio::test]
async fn anybody_may_know_that_the_process_lives_and_no_more() {
    let world = World::new(0).await;
    let gateway = Gateway::of(&world).await;

    let answer = Answer::to(gateway.request(Method::GET, "/healthz")).await;
    assert_eq!(
        (answer.status.as_u16(), &*answer.text),
        (200, r#"{"ok":true}"#)
    );
    let head = Answer::to(gateway.request(Method::HEAD, "/healthz")).await;
    assert_eq!((head.status.as_u16(), &*head.text), (200, ""));
    let answer = Answer::to(gateway.request(Method::GET, "/secrets")).await;
    answer.refuses(404, "not_found");
}

/// What a page may do: fetch from here and nowhere else, send its forms here, and
/// be framed by nobody.
const POLICY: [&str; 8] = [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    "connect-src 'self'",
    "form-action 'self'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
];

fn are_safe(headers: &HeaderMap) {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    assert_eq!(header("x-content-type-options"), Some("nosniff"));
    assert_eq!(header("x-frame-options"), Some("DENY"));
    assert_eq!(header("cache-control"), Some("no-store"));
    assert_eq!(header("referrer-policy"), Some("same-origin"));
    // A year: less is as good as none, and 0 takes back what was said before.
    assert_eq!(
        header("strict-transport-security"),
        Some("max-age=31536000")
    );
    let policy = header("content-security-policy").expect("a policy");
    let directives: BTreeSet<&str> = policy.split(';').map(str::trim).collect();
    assert_eq!(directives, BTreeSet::from(POLICY), "{policy}");
    let cors = headers
        .keys()
        .find(|name| name.as_str().starts_with("access-control-"));
    assert_eq!(cors, None);
}

#[tokio::test]
async fn every_answer_has_the_headers_that_keep_browsers_tame() {
    let world = World::new(0).await;
    let gateway = Gateway::of(&world).await;
    let cross_site = [
        ("origin", "https://evil.example"),
        ("access-control-request-method", "GET"),
    ];

    for (method, path, token) in [
        (Method::GET, "/healthz", false),
        (Method::GET, "/status", true),
        (Method::GET, "/status", false),
        (Method::GET, "/ads/none", true),
        (Method::GET, "/nowhere", true),
        (Method::DELETE, "/status", true),
        (Method::OPTIONS, "/status", true),
        (Method::GET, "/ads/%FF", true),
        (Method::GET, "/", false),
        (Method::GET, "/login", false),
        (Method::GET, "/ops.js", false),
    ] {
        let mut request = gateway.request(method.clone(), path);
        for (name, value) in cross_site {
            request = request.header(name, value);
        }
        if token {
            request = request.bearer_auth(TOKEN);
        }
        are_safe(&Answer::to(request).await.headers);
    }
}

#[tokio::test]
async fn web_without_a_token_or_a_port_says_so() {
    let world = World::new(0).await;
    let environment = |port: u16, token: &str| {
        let mut environment = world.environment();
        environment.push(("PORT", port.to_string()));
        environment.push(("WEB_TOKEN", token.to_owned()));
        environment
    };
    let listener = tokio::net::TcpListener::bind("0.0.0.0:0")
        .await
        .expect("a port");
    let taken = listener.local_addr().expect("an address").port();

    for (port, token, exit, said) in [
        (
            0,
            "",
            78,
            "WEB_TOKEN is not set: give at least 16 characters",
        ),
        (0, "fifteen-letters", 78, "WEB_TOKEN is too short"),
        (
            0,
            "sixteen letters of",
            78,
            "WEB_TOKEN has what no HTTP header carries",
        ),
        (taken, TOKEN, 69, "set PORT to one that is free"),
    ] {
        let mut process = Daemon::start(&["web"], environment(port, token));
        let status = process.ended().await;
        assert_eq!(status.code(), Some(exit), "{}", process.log());
        assert!(process.log().contains(said), "{said}: {}", process.log());
        assert!(!process.log().contains("letters"), "{}", process.log());
    }
}
