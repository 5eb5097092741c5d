//! What is asked wrongly, too large or too often.

use futures_util::future::join_all;
use reqwest::{Body, Method};

use super::{Answer, Gateway, TOKEN};
use crate::support::World;

#[tokio::test]
async fn what_makes_no_sense_is_told_apart() {
    let world = World::new(0).await;
    let gateway = Gateway::of(&world).await;

    for path in [
        "/contracts",
        "/contracts?account=a&account=b",
        "/contracts/%00",
        "/ads/%00",
        "/ads/%FF",
        "/ads/%C3%28",
        "/ads/1?before=yesterday",
        "/ads/1?before=9223372036854775808",
    ] {
        gateway.get(path).await.refuses(422, "invalid");
    }
    for path in [
        "/ads",
        "/ads/",
        "/ads/1/2",
        "/contracts/",
        "/status/",
        "//status",
        "/ADS/1",
    ] {
        gateway.get(path).await.refuses(404, "not_found");
    }
    for (method, path, allowed) in [
        (Method::POST, "/status", "GET,HEAD"),
        (Method::GET, "/ads/1/retry", "POST"),
        (Method::PUT, "/ads/1", "GET,HEAD"),
    ] {
        let answer = Answer::to(gateway.request(method, path).bearer_auth(TOKEN)).await;
        answer.refuses(405, "method_not_allowed");
        assert_eq!(answer.header("allow"), allowed, "{path}");
    }
}

#[tokio::test]
async fn a_large_request_is_not_read() {
    let world = World::new(0).await;
    let gateway = Gateway::of(&world).await;
    let post = || {
        gateway
            .request(Method::POST, "/ads/1/retry")
            .bearer_auth(TOKEN)
    };
    let chunks = |count| {
        let chunk = || Ok::<_, std::io::Error>(vec![b'x'; 1024]);
        Body::wrap_stream(futures_util::stream::iter((0..count).map(move |_| chunk())))
    };

    let small = vec![b'x'; 64 * 1024];
    let large = vec![b'x'; 64 * 1024 + 1];
    Answer::to(post().body(small))
        .await
        .refuses(404, "not_found");
    Answer::to(post().body(large))
        .await
        .refuses(413, "too_large");
    Answer::to(post().body(chunks(64)))
        .await
        .refuses(404, "not_found");
    Answer::to(post().body(chunks(65)))
        .await
        .refuses(413, "too_large");
    // The head of a request is not for data either.
    let path = format!("/ads/{}", "x".repeat(40 * 1024));
    let answer = Answer::to(gateway.request(Method::GET, &path).bearer_auth(TOKEN)).await;
    assert!([414, 431].contains(&answer.status.as_u16()), "{answer:?}");
}

#[tokio::test]
async fn too_many_requests_wait_their_turn() {
    let world = World::new(0).await;
    let gateway = Gateway::with(&world, &[("WEB_RATE_LIMIT", "1")]).await;

    // At once: one after the other, each could have its second on a loaded machine.
    let answers = join_all((0..30).map(|_| gateway.get("/openapi.json"))).await;

    let (taken, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|a| a.status.is_success());
    // Ten at once, and one more for each second that the machine took.
    assert!(taken.len() >= 10, "{}", taken.len());
    assert!(!refused.is_empty(), "30 requests in less than 20 s");
    for answer in refused {
        answer.refuses(429, "too_many_requests");
        let wait: u64 = answer.header("retry-after").parse().expect("seconds");
        assert!((1..=2).contains(&wait), "{wait}");
    }
    let open = Answer::to(gateway.request(Method::GET, "/healthz")).await;
    assert_eq!(open.status.as_u16(), 200, "who watches is not limited");
}

#[tokio::test]
async fn guesses_are_slowed_down_by_address() {
    let world = World::new(0).await;
    let gateway = Gateway::of(&world).await;
    let ask = async |token: &str, from: &str| {
        let request = gateway.request(Method::GET, "/openapi.json");
        Answer::to(request.bearer_auth(token).header("x-forwarded-for", from)).await
    };

    // At once: one after the other, a loaded machine could keep to ten a second.
    let guesses: Vec<String> = (0..300).map(|guess| format!("guess-{guess}")).collect();
    let answers = join_all(guesses.iter().map(|guess| ask(guess, "203.0.113.7"))).await;

    let (refused, looked_at): (Vec<_>, Vec<_>) = answers
        .iter()
        .partition(|answer| answer.status.as_u16() == 429);
    // A hundred at once, and ten more for each second that the machine took.
    assert!(looked_at.len() >= 100, "{}", looked_at.len());
    assert!(!refused.is_empty(), "300 guesses in less than 20 s");
    for answer in looked_at {
        answer.refuses(401, "unauthorized");
    }
    for answer in refused {
        answer.refuses(429, "too_many_requests");
    }
    let other = ask(TOKEN, "203.0.113.8").await;
    assert_eq!(other.status.as_u16(), 200, "others are let in");
}

#[tokio::test]
async fn guesses_at_the_page_are_slowed_down_as_well() {
    let world = World::new(0).await;
    let gateway = Gateway::of(&world).await;
    let form = |guess: &str, from: &str| {
        let request = gateway.request(Method::POST, "/login");
        Answer::to(
            request
                .form(&[("token", guess)])
                .header("x-forwarded-for", from),
        )
    };
    let basic = |guess: &str, from: &str| {
        let request = gateway.request(Method::GET, "/rejected");
        Answer::to(
            request
                .basic_auth("ops", Some(guess))
                .header("x-forwarded-for", from),
        )
    };
    let guesses: Vec<String> = (0..300).map(|guess| format!("guess-{guess}")).collect();

    let (at_form, by_basic) = tokio::join!(
        join_all(guesses.iter().map(|guess| form(guess, "203.0.113.7"))),
        join_all(guesses.iter().map(|guess| basic(guess, "203.0.113.8"))),
    );

    for (answers, wrong) in [(at_form, 403), (by_basic, 401)] {
        let (refused, looked_at): (Vec<_>, Vec<_>) = answers
            .iter()
            .partition(|answer| answer.status.as_u16() == 429);
        assert!(looked_at.iter().all(|a| a.status.as_u16() == wrong));
        // A hundred at once, and ten more for each second that the machine took.
        assert!(looked_at.len() >= 100, "{}", looked_at.len());
        assert!(!refused.is_empty(), "300 guesses in less than 20 s");
        for answer in refused {
            let wait: u64 = answer.header("retry-after").parse().expect("seconds");
            assert_eq!(wait, 1, "ten a second");
        }
    }
}

#[tokio::test]
async fn a_session_asks_no_more_often_than_a_program() {
    let world = World::new(0).await;
    let gateway = Gateway::with(&world, &[("WEB_RATE_LIMIT", "1")]).await;
    let login = gateway.request(Method::POST, "/login");
    let policy = reqwest::redirect::Policy::none();
    let client = reqwest::Client::builder().no_proxy().redirect(policy);
    let client = client.build().expect("a client");
    let login = login.form(&[("token", TOKEN)]).build().expect("a form");
    let login = client.execute(login).await.expect("it answers");
    let cookie = login.headers()["set-cookie"].clone();

    // Nothing of this name is known, and nobody is asked for it.
    let ask = || gateway.request(Method::GET, "/search?q=%00");
    let answers = join_all((0..30).map(|_| Answer::to(ask().header("cookie", &cookie)))).await;

    let (refused, taken): (Vec<_>, Vec<_>) = answers.iter().partition(|a| a.status.as_u16() == 429);
    assert!(taken.iter().all(|a| a.status.as_u16() == 422), "{taken:?}");
    assert!(!refused.is_empty(), "30 requests in less than 20 s");
    assert!(refused.iter().all(|a| !a.header("retry-after").is_empty()));
}
