//! The token endpoint: three ways in, and what it says to whoever may not.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Org, foreign_key, now, sign};

#[tokio::test]
async fn a_signed_assertion_is_answered_with_a_token_and_no_signature() {
    let org = Org::start().await;

    let answer = org
        .form("/services/oauth2/token", &org.assertion(&json!({})))
        .await;

    assert_eq!(answer.status, 200, "{}", answer.text);
    let body = answer.json();
    let keys: Vec<&String> = body.as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        ["access_token", "id", "instance_url", "scope", "token_type"]
    );
    assert_eq!(body["instance_url"], org.sandbox.base_url());
    assert!(body["id"].as_str().unwrap().contains("/id/00D"));
    assert!(
        answer.text.starts_with("{\"access_token\":\"00D"),
        "{}",
        answer.text
    );
}

#[tokio::test]
async fn an_assertion_with_anything_wrong_is_refused_in_salesforces_words() {
    let org = Org::start().await;
    let cases = [
        (
            json!({"aud": "https://example.com"}),
            "invalid_grant",
            "audience is invalid",
        ),
        (
            json!({"exp": now() - 5}),
            "invalid_grant",
            "expired authorization code",
        ),
        (
            json!({"exp": now() + 3600}),
            "invalid_grant",
            "invalid assertion",
        ),
        (
            json!({"sub": "nobody@example.com"}),
            "invalid_grant",
            "user hasn't approved this consumer",
        ),
        (
            json!({"iss": "another app"}),
            "invalid_client_id",
            "client identifier invalid",
        ),
    ];

    for (claims, error, description) in cases {
        let answer = org
            .form("/services/oauth2/token", &org.assertion(&claims))
            .await;

        assert_eq!(answer.status, 400, "{claims}");
        assert_eq!(
            answer.json(),
            json!({"error": error, "error_description": description}),
            "{claims}"
        );
        assert!(answer.header("cache-control").contains("no-store"));
    }
}

#[tokio::test]
async fn audiences_and_expiries_that_real_clients_send_are_taken() {
    let org = Org::start().await;
    let own = org.sandbox.base_url();
    for claims in [
        json!({"aud": "https://test.salesforce.com"}),
        json!({"aud": own}),
        json!({"aud": format!("{own}/")}),
        json!({"exp": now() + 290}),
        json!({"exp": (now() + 290) * 1000}),
    ] {
        let answer = org
            .form("/services/oauth2/token", &org.assertion(&claims))
            .await;
        assert_eq!(answer.status, 200, "{claims}: {}", answer.text);
    }
}

#[tokio::test]
async fn a_signature_of_another_key_is_refused() {
    let org = Org::start().await;
    let credentials = org.sandbox.credentials();
    let claims = json!({"iss": credentials.client_id, "sub": credentials.username, "aud": "https://login.salesforce.com", "exp": now() + 100});
    let mut form = org.assertion(&json!({}));
    form[1].1 = sign(&foreign_key(), &claims);

    let answer = org.form("/services/oauth2/token", &form).await;

    assert_eq!(
        answer.json(),
        json!({"error": "invalid_grant", "error_description": "invalid assertion"})
    );
}

#[tokio::test]
async fn client_credentials_come_in_the_body_or_in_the_header() {
    let org = Org::start().await;
    let credentials = org.sandbox.credentials();
    let grant = ("grant_type", "client_credentials".to_owned());
    let url = org.url("/services/oauth2/token");
    let basic = STANDARD.encode(format!(
        "{}:{}",
        credentials.client_id, credentials.client_secret
    ));

    let body = [
        grant.clone(),
        ("client_id", credentials.client_id.clone()),
        ("client_secret", credentials.client_secret.clone()),
    ];
    let by_body = org.form("/services/oauth2/token", &body).await.json();
    let request = org
        .http
        .post(&url)
        .header("authorization", format!("Basic {basic}"))
        .form(std::slice::from_ref(&grant));
    let by_header: Value =
        serde_json::from_str(&request.send().await.unwrap().text().await.unwrap()).unwrap();
    let wrong = [
        grant,
        ("client_id", credentials.client_id.clone()),
        ("client_secret", "guessed".to_owned()),
    ];
    let refused = org.form("/services/oauth2/token", &wrong).await;

    for body in [by_body, by_header] {
        assert!(
            body["issued_at"].as_str().unwrap().ends_with("000"),
            "{body}"
        );
        assert_eq!(body["token_type"], "Bearer");
        assert!(body.get("refresh_token").is_none() && body.get("expires_in").is_none());
    }
    assert_eq!(refused.status, 400);
    assert_eq!(refused.json()["error"], "invalid_client");
}

#[tokio::test]
async fn the_refresh_token_gives_access_and_a_wrong_one_does_not() {
    let org = Org::start().await;
    let credentials = org.sandbox.credentials().clone();
    let form = |token: &str| {
        [
            ("grant_type", "refresh_token".to_owned()),
            ("client_id", credentials.client_id.clone()),
            ("refresh_token", token.to_owned()),
        ]
    };

    let good = org
        .form("/services/oauth2/token", &form(&credentials.refresh_token))
        .await;
    let bad = org.form("/services/oauth2/token", &form("5Aepwrong")).await;
    let unknown = org
        .form(
            "/services/oauth2/token",
            &[("grant_type", "password".to_owned())],
        )
        .await;

    assert_eq!(good.status, 200);
    assert_eq!(
        bad.json(),
        json!({"error": "invalid_grant", "error_description": "expired access/refresh token"})
    );
    assert_eq!(
        unknown.json(),
        json!({"error": "unsupported_grant_type", "error_description": "grant type not supported"})
    );
}

#[tokio::test]
async fn a_token_tells_who_it_is_until_it_is_revoked() {
    let org = Org::start().await;

    let identity = org.get("/services/oauth2/userinfo").await.json();
    let revoked = org
        .form("/services/oauth2/revoke", &[("token", org.token.clone())])
        .await;
    let after = org.get("/limits").await;
    let again = org
        .form("/services/oauth2/revoke", &[("token", org.token.clone())])
        .await;

    assert_eq!(identity["organization_id"].as_str().unwrap().len(), 18);
    assert_eq!(identity["user_id"].as_str().unwrap().len(), 18);
    assert_eq!(
        identity["preferred_username"],
        org.sandbox.credentials().username.as_str()
    );
    assert_eq!(
        (revoked.status, after.status, again.status),
        (200, 401, 400)
    );
}

#[tokio::test]
async fn requests_to_the_token_endpoint_are_counted_apart() {
    let org = Org::start().await;

    let stats = org.get("/control/stats").await.json();

    assert_eq!(
        (stats["token_requests"].clone(), stats["api_calls"].clone()),
        (json!(1), json!(0))
    );
}
