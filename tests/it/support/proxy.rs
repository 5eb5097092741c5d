//! A TCP proxy that misbehaves as networks do, switchable while it runs.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;
use url::Url;

/// What happens to connections, the open ones and new ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Everything passes.
    Pass,
    /// They are reset.
    Cut,
    /// They stay open and nothing passes, as behind a router that lost its
    /// tables. What was sent meanwhile passes afterwards.
    Stall,
    /// Everything passes, each piece this much later.
    Delay(Duration),
    /// Requests pass, their answers vanish.
    SwallowReplies,
}

/// A proxy in front of one server, gone when this value is.
pub(crate) struct Proxy {
    url: Url,
    state: watch::Sender<State>,
    accepted: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

#[derive(Debug, Clone)]
struct State {
    mode: Mode,
    /// Grows with each reset of the open connections.
    resets: u32,
    /// Grows whenever the open connections go dead.
    deaths: u32,
    /// Host and port of the server.
    target: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Requests,
    Replies,
}

impl Proxy {
    /// Starts a proxy in front of the server that `url` names.
    pub(crate) async fn in_front_of(url: &str) -> Self {
        let mut url = Url::parse(url).expect("a server's url");
        let target = address(url.as_str());
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("the loopback interface has a free port");
        let port = listener.local_addr().expect("it is bound").port();
        url.set_port(Some(port)).expect("the url has a host");
        let (state, watched) = watch::channel(State {
            mode: Mode::Pass,
            resets: 0,
            deaths: 0,
            target,
        });
        let accepted = Arc::new(AtomicUsize::new(0));
        let task = tokio::spawn(accept(listener, watched, Arc::clone(&accepted)));
        Self {
            url,
            state,
            accepted,
            task,
        }
    }

    /// The server's URL by way of the proxy.
    pub(crate) fn url(&self) -> String {
        self.url.to_string()
    }

    /// Changes what happens from now on.
    pub(crate) fn set(&self, mode: Mode) {
        self.state.send_modify(|state| state.mode = mode);
    }

    /// Resets the open connections; new ones are treated as before.
    pub(crate) fn reset_connections(&self) {
        self.state.send_modify(|state| state.resets += 1);
    }

    /// Nothing ever passes again over the open connections, and nobody is told,
    /// as after a router's restart; new ones are treated as before.
    pub(crate) fn forget_connections(&self) {
        self.state.send_modify(|state| state.deaths += 1);
    }

    /// Connections so far, whatever became of them.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Leads new connections to another server.
    pub(crate) fn lead_to(&self, url: &str) {
        self.state.send_modify(|state| state.target = address(url));
    }
}

/// Host and port of a server's url.
fn address(url: &str) -> String {
    let url = Url::parse(url).expect("a server's url");
    let host = url.host_str().expect("a server's url has a host");
    let port = url
        .port_or_known_default()
        .expect("a server's url has a port");
    format!("{host}:{port}")
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, state: watch::Receiver<State>, accepted: Arc<AtomicUsize>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        accepted.fetch_add(1, Ordering::Relaxed);
        // Finished ones are forgotten, so that the set does not grow.
        while connections.try_join_next().is_some() {}
        connections.spawn(serve(client, state.clone()));
    }
}

async fn serve(mut client: TcpStream, mut state: watch::Receiver<State>) {
    let (known_resets, known_deaths, target) = {
        let state = state.borrow_and_update();
        (state.resets, state.deaths, state.target.clone())
    };
    let mut dying = state.clone();
    let Ok(mut server) = TcpStream::connect(target).await else {
        return reset(&client);
    };
    let finished = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let requests = pump(
            from_client,
            to_server,
            Direction::Requests,
            known_resets,
            state.clone(),
        );
        let replies = pump(
            from_server,
            to_client,
            Direction::Replies,
            known_resets,
            state.clone(),
        );
        let dies = async {
            let death = dying.wait_for(|state| state.deaths != known_deaths);
            death.await.is_ok()
        };
        tokio::select! {
            ended = async { tokio::try_join!(requests, replies) } => Some(ended.is_ok()),
            _ = state.wait_for(|state| state.mode == Mode::Cut || state.resets != known_resets) => Some(false),
            true = dies => None,
        }
    };
    match finished {
        Some(true) => {}
        Some(false) => {
            reset(&client);
            reset(&server);
        }
        // Open for as long as the proxy is, and nobody listens.
        None => std::future::pending().await,
    }
}

/// Makes the coming close a reset instead of a polite end.
fn reset(stream: &TcpStream) {
    stream
        .set_zero_linger()
        .expect("an open socket takes the option");
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    direction: Direction,
    known_resets: u32,
    mut state: watch::Receiver<State>,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let length = from.read(&mut buffer).await?;
        let Ok((mode, resets)) = state
            .wait_for(|state| state.mode != Mode::Stall || state.resets != known_resets)
            .await
            .map(|state| (state.mode, state.resets))
        else {
            return Ok(());
        };
        // Whatever was held back is lost with its connection.
        if resets != known_resets || mode == Mode::Cut {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if let Mode::Delay(delay) = mode {
            sleep(delay).await;
        }
        if mode == Mode::SwallowReplies && direction == Direction::Replies {
            if length == 0 {
                return Ok(());
            }
            continue;
        }
        if length == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..length]).await?;
    }
}
