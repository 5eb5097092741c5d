//! The three ways to a token, and how requests share one.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use futures_util::future::join_all;
use secrecy::SecretString;
use usage_sync::salesforce::{Certainty, Class, Client, Error};
use usage_sync::settings::Login;

use super::server::{Received, Reply, Server, TOKEN, grant, json};
use super::{client, print, raw, record, settings};

const SAVED: &str = r#"[{"id":"a01xx0000004GxDAAU","success":true,"errors":[],"created":true}]"#;
const EXPIRED: &str =
    r#"[{"message":"Session expired or invalid","errorCode":"INVALID_SESSION_ID"}]"#;

fn form(request: &Received) -> HashMap<String, String> {
    url::form_urlencoded::parse(request.body.as_bytes())
        .into_owned()
        .collect()
}

fn pem(key: &KeyPair) -> String {
    let der: Pkcs8V1Der<'_> = key.as_der().unwrap();
    let base64 = BASE64_STANDARD.encode(der.as_ref());
    format!("-----BEGIN PRIVATE KEY-----\n{base64}\n-----END PRIVATE KEY-----\n")
}

/// A server whose tokens are numbered, and who takes only the newest of at
/// least `oldest`.
async fn numbered(oldest: usize) -> Server {
    let granted = Arc::new(AtomicUsize::new(0));
    Server::bare(move |url, request| {
        if request.target == TOKEN {
            let number = granted.fetch_add(1, Ordering::SeqCst) + 1;
            return json(
                200,
                &grant(url).replace("AQEAQKnPHoqLEySVDQuVIfqb", &format!("n{number}")),
            );
        }
        let token = request.headers["authorization"]
            .rsplit_once("!n")
            .unwrap()
            .1;
        if token.parse::<usize>().unwrap() < oldest {
            json(401, EXPIRED)
        } else {
            json(200, SAVED)
        }
    })
    .await
}

async fn create_fifty(client: &Client) -> Vec<Result<(), Error>> {
    let fields = raw("{}");
    let records = [record("7:small", &fields)];
    let calls = (0..50).map(|_| async { client.create(&records).await.map(|_| ()) });
    join_all(calls).await
}

#[tokio::test]
async fn the_jwt_bearer_flow_shows_a_signed_assertion() {
    let server = Server::start(|_| Reply::HangUp).await;
    let key = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let mut settings = settings(&server.url());
    settings.login = Login::JwtBearer {
        username: "integration@example.com".to_owned(),
        private_key: SecretString::from(pem(&key)),
        audience: "https://test.salesforce.com".to_owned(),
    };
    let seconds = || {
        SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap()
            .as_secs()
    };

    let before = seconds();
    let identity = Client::new(&settings).unwrap().login().await.unwrap();
    let after = seconds();

    assert_eq!(identity.org_id, "00Dxx0000001gPLEAY");
    assert_eq!(identity.user_id, "005xx000001SwiUAAS");
    assert_eq!(identity.instance_url.as_str(), format!("{}/", server.url()));
    let login = &server.received()[0];
    assert_eq!(
        login.headers["content-type"],
        "application/x-www-form-urlencoded"
    );
    let form = form(login);
    assert_eq!(
        form["grant_type"],
        "urn:ietf:params:oauth:grant-type:jwt-bearer"
    );
    let (signed, signature) = form["assertion"].rsplit_once('.').unwrap();
    let (header, claims) = signed.split_once('.').unwrap();
    let decode = |part: &str| BASE64_URL_SAFE_NO_PAD.decode(part).unwrap();
    assert_eq!(decode(header), br#"{"alg":"RS256"}"#);
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public_key().as_ref())
        .verify(signed.as_bytes(), &decode(signature))
        .unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&decode(claims)).unwrap();
    assert_eq!(claims["iss"], "3MVG9.client");
    assert_eq!(claims["sub"], "integration@example.com");
    assert_eq!(claims["aud"], "https://test.salesforce.com");
    let expires = claims["exp"].as_u64().unwrap();
    assert!((before + 170..=after + 170).contains(&expires), "{expires}");
}

#[tokio::test]
async fn the_client_credentials_flow_shows_the_secret() {
    let server = Server::start(|_| Reply::HangUp).await;

    client(&server).login().await.unwrap();

    let form = form(&server.received()[0]);
    assert_eq!(form["grant_type"], "client_credentials");
    assert_eq!(form["client_id"], "3MVG9.client");
    assert_eq!(form["client_secret"], "s3cret-of-the-app");
}

#[tokio::test]
async fn a_rotated_refresh_token_replaces_the_old_one() {
    let server = Server::bare(|url, request| match request.target.as_str() {
        TOKEN if form(request)["refresh_token"] == "5Aep.first" => json(
            200,
            &grant(url).replace("{\"", "{\"refresh_token\":\"5Aep.second\",\""),
        ),
        TOKEN => json(200, &grant(url)),
        _ => json(401, EXPIRED),
    })
    .await;
    let mut settings = settings(&server.url());
    settings.login = Login::RefreshToken {
        client_secret: None,
        refresh_token: SecretString::from("5Aep.first"),
    };

    // Refused with the first token and again with the second.
    let error = Client::new(&settings)
        .unwrap()
        .create(&[record("7:small", &raw("{}"))])
        .await
        .unwrap_err();

    assert_eq!(error.class(), Class::Expired);
    let received = server.received();
    let shown: Vec<_> = received
        .iter()
        .filter(|request| request.target == TOKEN)
        .map(form)
        .collect();
    assert_eq!(shown.len(), 2);
    assert_eq!(shown[0]["grant_type"], "refresh_token");
    assert!(!shown[0].contains_key("client_secret"));
    assert_eq!(shown[1]["refresh_token"], "5Aep.second");
}

#[tokio::test]
async fn fifty_requests_ask_for_one_token() {
    let server = numbered(1).await;

    let results = create_fifty(&client(&server)).await;

    assert!(results.iter().all(Result::is_ok));
    assert_eq!(server.logins(), 1);
    assert_eq!(server.calls().len(), 50);
}

#[tokio::test]
async fn fifty_requests_with_a_dead_token_ask_for_one_new_one_and_are_all_sent_again() {
    let server = numbered(2).await;
    let client = client(&server);
    client.login().await.unwrap();

    let results = create_fifty(&client).await;

    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert_eq!(server.logins(), 2);
    let calls = server.calls();
    let new = calls
        .iter()
        .filter(|call| call.headers["authorization"].ends_with("!n2"))
        .count();
    assert_eq!(new, 50);
    assert!(calls.len() <= 100);
}

#[tokio::test]
async fn fifty_requests_share_a_refused_login() {
    let server = Server::bare(|_, _| {
        json(
            400,
            r#"{"error":"invalid_grant","error_description":"authentication failure"}"#,
        )
    })
    .await;

    let results = create_fifty(&client(&server)).await;

    assert_eq!(server.received().len(), 1);
    for result in results {
        let error = result.unwrap_err();
        assert_eq!(error.class(), Class::Configuration);
        assert_eq!(error.certainty(), Certainty::NotSent);
        assert!(print(&error).contains("invalid_grant: authentication failure"));
    }
}

#[tokio::test]
async fn a_refused_login_is_tried_again_by_the_next_request() {
    let tries = AtomicUsize::new(0);
    let server = Server::bare(move |url, request| match request.target.as_str() {
        TOKEN if tries.fetch_add(1, Ordering::SeqCst) == 0 => {
            json(400, r#"{"error":"invalid_grant"}"#)
        }
        TOKEN => json(200, &grant(url)),
        _ => json(200, SAVED),
    })
    .await;
    let client = client(&server);

    client.login().await.unwrap_err();
    client.login().await.unwrap();
    client.login().await.unwrap();

    assert_eq!(server.logins(), 2);
}

#[tokio::test]
async fn a_token_that_no_login_can_mend_is_not_renewed() {
    let server = Server::start(|_| {
        json(401, r#"[{"message":"This session is not valid for use with the REST API","errorCode":"INVALID_SESSION_ID"}]"#)
    })
    .await;

    let error = client(&server)
        .create(&[record("7:small", &raw("{}"))])
        .await
        .unwrap_err();

    assert_eq!(error.class(), Class::Configuration);
    assert_eq!(server.logins(), 1);
    assert_eq!(server.calls().len(), 1);
}

#[tokio::test]
async fn a_request_is_sent_again_once_only() {
    let server = Server::start(|_| json(401, EXPIRED)).await;

    let error = client(&server)
        .create(&[record("7:small", &raw("{}"))])
        .await
        .unwrap_err();

    assert_eq!(error.class(), Class::Expired);
    assert_eq!(error.certainty(), Certainty::Answered);
    assert_eq!(server.calls().len(), 2);
    assert_eq!(server.logins(), 2);
}

#[tokio::test]
async fn a_login_that_was_given_up_on_does_not_stop_the_next() {
    let awake = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&awake);
    let server = Server::bare(move |url, _| {
        if flag.load(Ordering::SeqCst) {
            json(200, &grant(url))
        } else {
            Reply::Silence
        }
    })
    .await;
    let mut settings = settings(&server.url());
    settings.read_timeout = Duration::from_millis(300);
    let client = Client::new(&settings).unwrap();

    client.impatient().login().await.unwrap_err();
    awake.store(true, Ordering::SeqCst);

    client.login().await.unwrap();
}

#[tokio::test]
async fn a_token_goes_nowhere_in_the_clear() {
    let server = Server::bare(|_, _| json(200, &grant("http://org.my.salesforce.com"))).await;

    let error = client(&server)
        .create(&[record("7:small", &raw("{}"))])
        .await
        .unwrap_err();

    assert_eq!(error.class(), Class::Configuration);
    assert_eq!(error.certainty(), Certainty::NotSent);
    assert!(print(&error).contains("neither https nor on this machine"));
}

#[test]
fn settings_that_cannot_work_are_refused_before_anything_is_sent() {
    for (url, safe) in [
        ("https://login.salesforce.com", true),
        ("http://localhost:8787", true),
        ("http://127.0.0.1:8787", true),
        ("http://[::1]:8787", true),
        ("http://login.salesforce.com", false),
        ("http://127.0.0.1.example.com", false),
        ("http://localhost.example.com", false),
        ("ftp://127.0.0.1", false),
    ] {
        let client = Client::new(&settings(url));
        assert_eq!(client.is_ok(), safe, "{url}");
        assert!(
            safe || client
                .unwrap_err()
                .to_string()
                .starts_with("SALESFORCE_LOGIN_URL")
        );
    }

    let mut bad_name = settings("https://login.salesforce.com");
    bad_name.object = "Usage__c WHERE Id".to_owned();
    assert!(
        Client::new(&bad_name)
            .unwrap_err()
            .to_string()
            .starts_with("SALESFORCE_OBJECT")
    );

    let mut bad_key = settings("https://login.salesforce.com");
    bad_key.login = Login::JwtBearer {
        username: "u".to_owned(),
        private_key: SecretString::from(
            "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n",
        ),
        audience: "https://login.salesforce.com".to_owned(),
    };
    let text = print(&Client::new(&bad_key).unwrap_err());
    assert!(
        text.contains("SALESFORCE_PRIVATE_KEY") && !text.contains("c2VjcmV0"),
        "{text}"
    );
}
