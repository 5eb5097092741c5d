//! An HTTP/1.1 server that says exactly the bytes it is told to, one connection
//! for each request. It grants tokens by itself and leaves the rest to the test.

use std::collections::HashMap;
use std::io::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Where the server grants tokens.
pub(super) const TOKEN: &str = "/services/oauth2/token";

/// A request as it came over the wire.
#[derive(Debug, Clone)]
pub(super) struct Received {
    pub(super) method: String,
    /// Path and query as sent.
    pub(super) target: String,
    /// Names in lower case.
    pub(super) headers: HashMap<String, String>,
    pub(super) body: String,
}

/// What to do with a request.
#[derive(Debug, Clone)]
pub(super) enum Reply {
    /// Writes these bytes and closes the connection.
    Bytes(Vec<u8>),
    /// Writes these bytes one by one, each this much later.
    Drip(Vec<u8>, Duration),
    /// Closes the connection without a word.
    HangUp,
    /// Keeps the connection open and says nothing.
    Silence,
}

pub(super) struct Server {
    port: u16,
    received: Arc<Mutex<Vec<Received>>>,
    task: JoinHandle<()>,
}

type Handler = dyn Fn(&Received) -> Reply + Send + Sync;

impl Server {
    /// Answers everything but the token endpoint by `handler`.
    pub(super) async fn start(
        handler: impl Fn(&Received) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::bare(move |url, request| {
            if request.target == TOKEN {
                json(200, &grant(url))
            } else {
                handler(request)
            }
        })
        .await
    }

    /// Answers everything by `handler`, which also gets the server's address.
    pub(super) async fn bare(
        handler: impl Fn(&str, &Received) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let received = Arc::<Mutex<Vec<Received>>>::default();
        let log = Arc::clone(&received);
        let url = format!("http://127.0.0.1:{port}");
        let handler: Arc<Handler> = Arc::new(move |request| handler(&url, request));
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, Arc::clone(&handler), Arc::clone(&log)));
            }
        });
        Self {
            port,
            received,
            task,
        }
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What came so far, logins included.
    pub(super) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// What came so far, without logins.
    pub(super) fn calls(&self) -> Vec<Received> {
        let mut calls = self.received();
        calls.retain(|request| request.target != TOKEN);
        calls
    }

    /// How many tokens were asked for.
    pub(super) fn logins(&self) -> usize {
        self.received()
            .iter()
            .filter(|request| request.target == TOKEN)
            .count()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, handler: Arc<Handler>, log: Arc<Mutex<Vec<Received>>>) {
    let Some(request) = read(&mut stream).await else {
        return;
    };
    let reply = handler(&request);
    log.lock().unwrap().push(request);
    match reply {
        Reply::Bytes(bytes) => {
            // A client that has seen enough may be gone already.
            stream.write_all(&bytes).await.ok();
            stream.shutdown().await.ok();
        }
        Reply::Drip(bytes, pause) => {
            for byte in bytes {
                if stream.write_all(&[byte]).await.is_err() {
                    break;
                }
                tokio::time::sleep(pause).await;
            }
        }
        Reply::HangUp => {}
        Reply::Silence => std::future::pending().await,
    }
}

async fn read(stream: &mut TcpStream) -> Option<Received> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).ok()?;
    let mut lines = head.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let headers: HashMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length: usize = headers
        .get("content-length")
        .map_or(Some(0), |text| text.parse().ok())?;
    let mut body = bytes.split_off(end + 4);
    while body.len() < length {
        if stream.read_buf(&mut body).await.ok()? == 0 {
            return None;
        }
    }
    Some(Received {
        method: first.next()?.to_owned(),
        target: first.next()?.to_owned(),
        headers,
        body: String::from_utf8(body).ok()?,
    })
}

/// The token endpoint's answer (recorded shape, ids of the documentation).
pub(super) fn grant(instance_url: &str) -> String {
    format!(
        r#"{{"access_token":"00Dxx0000001gPL!AQEAQKnPHoqLEySVDQuVIfqb","scope":"api","instance_url":"{instance_url}","id":"https://login.salesforce.com/id/00Dxx0000001gPLEAY/005xx000001SwiUAAS","token_type":"Bearer"}}"#
    )
}

/// JSON as Salesforce labels it.
pub(super) fn json(status: u16, body: &str) -> Reply {
    answer(
        status,
        &[("Content-Type", "application/json;charset=UTF-8")],
        body.as_bytes(),
    )
}

/// An answer with its length.
pub(super) fn answer(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Reply {
    promised(status, headers, body, body.len())
}

/// An answer whose length is not that of its body.
pub(super) fn promised(status: u16, headers: &[(&str, &str)], body: &[u8], length: usize) -> Reply {
    let mut bytes = Vec::new();
    write!(
        bytes,
        "HTTP/1.1 {status} Reason\r\nConnection: close\r\nContent-Length: {length}\r\n"
    )
    .unwrap();
    for (name, value) in headers {
        write!(bytes, "{name}: {value}\r\n").unwrap();
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    Reply::Bytes(bytes)
}

pub(super) fn gzipped(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}
