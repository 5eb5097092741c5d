//! The end: what is in flight is answered, and nothing new is taken.

use std::io::ErrorKind;

use reqwest::Method;
use tokio::net::{TcpSocket, TcpStream};
use usage_sync::sandbox::{Effect, Plan};

use super::{Answer, Gateway};
use crate::support::{PATIENCE, World, wait_until};

#[tokio::test]
async fn a_stop_answers_what_is_in_flight() {
    let world = World::new(1).await;
    let mut gateway = Gateway::of(&world).await;
    let id = world.products[0].0.as_str();
    // Held up by a Salesforce that takes its time: longer than a loaded machine
    // needs for the stop.
    let slow = world.sandbox.fault(Plan {
        path: Some(String::from("/query")),
        ..Plan::always(Effect::Delay { ms: 8000 })
    });
    let request = gateway
        .request(Method::GET, &format!("/contracts/{id}"))
        .bearer_auth(super::TOKEN);
    let asked = tokio::spawn(Answer::to(request));
    wait_until("the question in Salesforce", PATIENCE, async || {
        world.sandbox.fault_hits(slow) == 1
    })
    .await;

    gateway.process.sigterm();
    gateway.process.logged("stopping").await;
    assert!(!asked.is_finished());
    // While it is in flight, nobody else has its port.
    let late = TcpStream::connect(&gateway.address).await;
    assert!(late.is_err(), "nobody listens any more");
    gateway.process.sigterm();

    let answer = asked.await.expect("it is answered");
    assert_eq!(answer.status.as_u16(), 200);
    assert_eq!(answer.json()["id"], id);
    let status = gateway.process.ended().await;
    assert_eq!(status.code(), Some(0), "{}", gateway.process.log());
}

#[tokio::test]
async fn who_takes_no_answer_is_let_go() {
    let world = World::new(0).await;
    let gateway = Gateway::of(&world).await;
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small buffer");
    let address = gateway.address.parse().expect("an address");
    let deaf = socket.connect(address).await.expect("a connection");

    // More answers than fit on the way, none of which is read.
    let question = b"GET /ops.css HTTP/1.1\r\nHost: here\r\n\r\n".repeat(5000);
    let mut sent = 0;
    wait_until("the connection to end", PATIENCE * 3, async || {
        let rest = &question[sent % question.len()..];
        match deaf.try_write(rest) {
            Ok(more) => sent += more,
            Err(error) => return error.kind() != ErrorKind::WouldBlock,
        }
        false
    })
    .await;
}

#[tokio::test]
async fn a_stop_waits_for_nobody_who_is_silent() {
    let world = World::new(0).await;
    let mut gateway = Gateway::with(&world, &[("SHUTDOWN_TIMEOUT", "2s")]).await;
    let mut slow = TcpStream::connect(&gateway.address)
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
