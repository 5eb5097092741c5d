//! The network: what was sent, what was not, what must never be sent.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpSocket};
use usage_sync::salesforce::{Certainty, Class, Client, Error, Pause};

use super::server::{self, Reply, Server, answer, grant, gzipped, json};
use super::{client, print, raw, record, settings};
use crate::support::PATIENCE;

const SAVED: &str = r#"[{"id":"a01xx0000004GxDAAU","success":true,"errors":[],"created":true}]"#;

async fn create(client: &Client) -> Error {
    client
        .create(&[record("7:small", &raw("{}"))])
        .await
        .unwrap_err()
}

#[tokio::test]
async fn a_refused_connection_means_that_nothing_was_sent() {
    // Kept for as long as the test lasts, so that nobody else comes to listen there.
    let gone = TcpSocket::new_v4().unwrap();
    gone.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = gone.local_addr().unwrap();
    let server = Server::bare(move |_, _| json(200, &grant(&format!("http://{address}")))).await;

    let error = create(&client(&server)).await;

    assert_eq!(error.certainty(), Certainty::NotSent, "{error:?}");
    assert_eq!(
        error.class(),
        Class::Outage {
            pause: Pause::Short
        }
    );
    assert_eq!(error.to_string(), format!("no connection to {address}"));
}

#[tokio::test]
async fn a_failed_tls_handshake_means_that_nothing_was_sent() {
    let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = plain.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = plain.accept().await.unwrap();
            stream
                .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                .await
                .ok();
        }
    });
    let server = Server::bare(move |_, _| json(200, &grant(&format!("https://{address}")))).await;

    let error = create(&client(&server)).await;

    assert_eq!(error.certainty(), Certainty::NotSent, "{error:?}");
    assert_eq!(
        error.class(),
        Class::Outage {
            pause: Pause::Short
        }
    );
}

#[tokio::test]
async fn a_hang_up_after_the_request_means_that_nobody_knows() {
    let server = Server::start(|_| Reply::HangUp).await;

    let error = create(&client(&server)).await;

    assert_eq!(error.certainty(), Certainty::Unknown, "{error:?}");
    assert_eq!(
        error.class(),
        Class::Outage {
            pause: Pause::Short
        }
    );
    assert_eq!(server.calls().len(), 1, "nothing is sent again by itself");
}

#[tokio::test]
async fn a_request_without_an_answer_in_time_means_that_nobody_knows() {
    let server = Server::start(|_| Reply::Silence).await;
    let mut settings = settings(&server.url());
    // Enough to send it on a machine that stands still for a while.
    settings.read_timeout = Duration::from_secs(6);
    let client = Client::new(&settings).unwrap();
    client.login().await.unwrap();

    let error = create(&client.impatient()).await;

    assert_eq!(error.certainty(), Certainty::Unknown, "{error:?}");
    assert_eq!(
        error.class(),
        Class::Outage {
            pause: Pause::Short
        }
    );
}

/// Something comes all the time, and would for an hour.
#[tokio::test]
async fn f37_an_answer_that_drips_in_is_given_up_when_its_time_is_over() {
    let body = format!("{SAVED}{}", " ".repeat(100_000));
    let Reply::Bytes(bytes) = json(200, &body) else {
        unreachable!("an answer is bytes");
    };
    let server =
        Server::start(move |_| Reply::Drip(bytes.clone(), Duration::from_millis(30))).await;
    let mut settings = settings(&server.url());
    // Enough to log in and to send it on a machine that stands still for a while.
    settings.timeout = Duration::from_secs(6);
    let client = Client::new(&settings).unwrap();
    client.login().await.unwrap();

    let error = tokio::time::timeout(PATIENCE, create(&client)).await;

    let error = error.expect("it is given up");
    assert_eq!(error.certainty(), Certainty::Unknown, "{error:?}");
    assert_eq!(
        error.class(),
        Class::Outage {
            pause: Pause::Short
        }
    );
}

#[tokio::test]
async fn someone_who_waits_is_told_within_his_time_also_during_a_login() {
    let server = Server::bare(|_, _| Reply::Silence).await;
    let mut settings = settings(&server.url());
    settings.read_timeout = Duration::from_millis(100);
    let client = Client::new(&settings).unwrap();

    let error = client.impatient().login().await.unwrap_err();

    assert!(matches!(error, Error::LoginTimeout { .. }), "{error:?}");
    assert_eq!(error.certainty(), Certainty::NotSent);
}

#[tokio::test]
async fn f37_an_answer_beyond_the_limit_is_not_read_packed_or_not() {
    let long = " ".repeat((16 << 20) + 1);
    let inflated = gzipped(" ".repeat(64 << 20).as_bytes());
    let error_page = " ".repeat((64 << 10) + 1);
    for (status, reply) in [
        (200, answer(200, &[], long.as_bytes())),
        (200, answer(200, &[("Content-Encoding", "gzip")], &inflated)),
        (400, answer(400, &[], error_page.as_bytes())),
    ] {
        let server = Server::start(move |_| reply.clone()).await;

        let error = create(&client(&server)).await;

        let text = error.to_string();
        assert!(
            text.starts_with(&format!("HTTP {status} ")) && text.contains("more than"),
            "{text}"
        );
        assert_eq!(error.certainty(), Certainty::Unknown);
    }
}

#[tokio::test]
async fn an_answer_at_the_limit_is_read() {
    let padded = format!("{SAVED}{}", " ".repeat((16 << 20) - SAVED.len()));
    let server = Server::start(move |_| json(200, &padded)).await;

    let results = client(&server)
        .create(&[record("7:small", &raw("{}"))])
        .await
        .unwrap();

    assert!(results[0].is_ok());
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Server::start(|_| json(200, SAVED)).await;
    let target = elsewhere.url();
    for status in [301, 302, 303, 307, 308] {
        let target = target.clone();
        let server = Server::start(move |_| answer(status, &[("Location", &target)], b"")).await;

        let error = create(&client(&server)).await;

        assert_eq!(error.certainty(), Certainty::Unknown, "{status}: {error:?}");
    }
    assert!(elsewhere.received().is_empty());
}

#[tokio::test]
async fn no_error_shows_a_secret() {
    // Proxies like to print the request that they did not like.
    let server = Server::start(|request| {
        let echo = format!("{request:?}");
        match request.method.as_str() {
            "POST" => answer(400, &[("Content-Type", "text/html")], echo.as_bytes()),
            "PATCH" => json(200, &format!("[{{\"success\":{echo:?}}}]")),
            _ => json(200, &format!("{echo:?}")),
        }
    })
    .await;
    let client = client(&server);
    let fields = raw(r#"{"Note__c":"s3cret-of-the-app"}"#);
    let login =
        Server::bare(|_, request| json(400, &format!(r#"{{"token":{:?}}}"#, request.body))).await;

    for error in [
        client
            .create(&[record("7:small", &fields)])
            .await
            .unwrap_err(),
        client
            .upsert(&[record("7:small", &fields)])
            .await
            .unwrap_err(),
        client.delete(&["a01xx0000004GxDAAU"]).await.unwrap_err(),
        client
            .query::<u8>("SELECT Id FROM Usage__c WHERE Name = 's3cret-of-the-app'")
            .await
            .unwrap_err(),
        Client::new(&settings(&login.url()))
            .unwrap()
            .login()
            .await
            .unwrap_err(),
    ] {
        let text = print(&error);
        for secret in ["AQEAQKnPHoqLEySVDQuVIfqb", "s3cret-of-the-app"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
    let calls = server.calls();
    assert!(calls[0].headers["authorization"].contains("AQEAQKnPHoqLEySVDQuVIfqb"));
    let known = format!("{client:?}");
    assert!(
        !known.contains("AQEAQ") && !known.contains("s3cret"),
        "{known}"
    );
}

#[tokio::test]
async fn requests_say_who_asks_and_take_compressed_answers() {
    let server = Server::start(|_| {
        answer(
            200,
            &[("Content-Encoding", "gzip")],
            &gzipped(SAVED.as_bytes()),
        )
    })
    .await;

    let results = client(&server)
        .create(&[record("7:small", &raw("{}"))])
        .await
        .unwrap();

    assert_eq!(results[0].as_ref().unwrap().id, "a01xx0000004GxDAAU");
    let headers = &server.calls()[0].headers;
    assert_eq!(
        headers["user-agent"],
        format!("usage-sync/{}", env!("CARGO_PKG_VERSION"))
    );
    assert_eq!(headers["accept-encoding"], "gzip");
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(
        headers["authorization"],
        "Bearer 00Dxx0000001gPL!AQEAQKnPHoqLEySVDQuVIfqb"
    );
}

#[tokio::test]
async fn the_newest_answer_tells_the_used_calls() {
    let calls = std::sync::atomic::AtomicU32::new(0);
    let server = Server::start(move |_| {
        match calls.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
            0 => answer(
                200,
                &[("Sforce-Limit-Info", "api-usage=18/15000")],
                SAVED.as_bytes(),
            ),
            // The recording of a dead token has none.
            1 => answer(503, &[], b""),
            _ => answer(
                403,
                &[(
                    "sforce-limit-info",
                    "api-usage=15003/15000; per-app-api-usage=17/250(appName=x)",
                )],
                b"[]",
            ),
        }
    })
    .await;
    let client = client(&server);
    let mut seen = vec![client.api_usage()];

    for _ in 0..3 {
        client.create(&[record("7:small", &raw("{}"))]).await.ok();
        seen.push(client.clone().api_usage());
    }

    let seen: Vec<_> = seen
        .iter()
        .map(|usage| usage.map(|usage| (usage.used, usage.left())))
        .collect();
    assert_eq!(
        seen,
        [
            None,
            Some((18, 14_982)),
            Some((18, 14_982)),
            Some((15_003, 0))
        ]
    );
}

#[tokio::test]
async fn a_probe_needs_no_token_and_asks_the_instance_once_it_is_known() {
    const VERSIONS: &str =
        r#"[{"label":"Summer '26","url":"/services/data/v67.0","version":"67.0"}]"#;
    let instance = Server::start(|_| json(200, VERSIONS)).await;
    let url = instance.url();
    let login = Server::bare(move |_, request| match request.target.as_str() {
        server::TOKEN => json(200, &grant(&url)),
        _ => json(200, VERSIONS),
    })
    .await;
    let client = client(&login);

    client.probe().await.unwrap();
    assert_eq!(login.logins(), 0);
    assert_eq!(login.calls().len(), 1);
    client.login().await.unwrap();
    client.probe().await.unwrap();

    let probe = &instance.calls()[0];
    assert_eq!(
        (probe.method.as_str(), probe.target.as_str()),
        ("GET", "/services/data")
    );
    assert!(!probe.headers.contains_key("authorization"));
    assert_eq!(login.calls().len(), 1);
}

#[tokio::test]
async fn a_probe_fails_while_something_else_answers() {
    for reply in [
        answer(503, &[], b""),
        answer(200, &[], b"<html>maintenance</html>"),
        answer(302, &[("Location", "/")], b""),
        Reply::HangUp,
    ] {
        let server = Server::start(move |_| reply.clone()).await;

        let error = client(&server).probe().await.unwrap_err();

        assert_eq!(
            error.class(),
            Class::Outage {
                pause: Pause::Short
            },
            "{error:?}"
        );
    }
}
