//! The end: what is in flight is answered, and nothing new is taken.

use reqwest::Method;

use super::{Answer, Gateway};
use crate::support::{PATIENCE, World, wait_until};

#[tokio::test]
async fn a_stop_answers_what_is_in_flight() {
    let (world, daemon) = World::reporting().await;
    drop(daemon);
    let mut gateway = Gateway::of(&world).await;
    gateway.get("/status").await.json();
    // Held up by a Redis that says nothing.
    world.redis.freeze();
    let request = gateway
        .request(Method::GET, "/status")
        .bearer_auth(super::TOKEN);
    let asked = tokio::spawn(Answer::to(request));
    // On a connection of its own, so it is taken after the other one.
    wait_until("an answer to somebody else", PATIENCE, async || {
        let other = reqwest::Client::new().get(format!("http://{}/healthz", gateway.address));
        other.send().await.is_ok()
    })
    .await;
    assert!(!asked.is_finished());

    gateway.process.sigterm();
    gateway.process.logged("stopping").await;
    gateway.process.sigterm();

    let answer = asked.await.expect("it is answered");
    assert_eq!(answer.status.as_u16(), 200);
    assert_eq!(answer.json()["pending"], 0);
    let status = gateway.process.ended().await;
    assert_eq!(status.code(), Some(0), "{}", gateway.process.log());
    let late = gateway.request(Method::GET, "/healthz").send().await;
    assert!(late.is_err(), "nobody listens any more");
    world.redis.thaw();
}

#[tokio::test]
async fn a_stop_waits_for_nobody_who_is_silent() {
    let world = World::new(0).await;
    let mut gateway = Gateway::with(&world, &[("SHUTDOWN_TIMEOUT", "2s")]).await;
    let mut slow = tokio::net::TcpStream::connect(&gateway.address)
        .await
        .expect("a connection");
    tokio::io::AsyncWriteExt::write_all(&mut slow, b"GET /healthz HTTP/1.1\r\nHost: ")
        .await
        .expect("half a request");
    // One after the other are accepted.
    let answer = Answer::to(gateway.request(Method::GET, "/healthz")).await;
    assert_eq!(answer.status.as_u16(), 200);

    gateway.process.sigterm();

    assert_eq!(gateway.process.ended().await.code(), Some(0));
}
