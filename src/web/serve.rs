//! The listener: takes connections, hands them to the routes, and ends them in
//! good order.
//!
//! Survives a flood of connections, which wait their turn, clients that send
//! their headers drop by drop or read no answer, and a system that has no
//! descriptor left.

use std::{sync::Arc, time::Duration};

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

use super::caller::Peer;
use crate::shutdown::Shutdown;

/// Connections at once; each may take some 30 KB.
const CONNECTIONS: usize = 1000;

/// A connection on which no whole head of a request came for so long is closed.
/// Heroku's router keeps an idle one for 90 s and would otherwise meet one that
/// is just closing (Help, "How do I fix new H18 or H13 errors that have started
/// since switching to Router 2.0?").
const SILENT: Duration = Duration::from_secs(100);

/// A client that takes nothing of its answer for so long is let go: otherwise
/// whoever reads nothing holds a place for ever (tcp(7), `TCP_USER_TIMEOUT`; Linux).
#[cfg(target_os = "linux")]
const DEAF: Duration = Duration::from_secs(30);

/// Bytes of a request's head.
const HEAD: usize = 32 * 1024;

/// The system has no descriptor left; others will be closed.
const BREATH: Duration = Duration::from_millis(500);

/// Serves until a stop is asked for; then each connection ends with its request,
/// or when `patience` is over.
pub(super) async fn serve(
    listener: TcpListener,
    app: Router,
    shutdown: &Shutdown,
    patience: Duration,
) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = async {
            // It is never closed.
            let permit = Arc::clone(&room).acquire_owned().await.ok();
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            () = shutdown.wait() => break,
            accepted = accepted => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let app = app.clone().layer(Extension(Peer(peer)));
                let connection = graceful.watch(connection(stream, app));
                tokio::spawn(async move {
                    // Whatever ended it, there is nobody left to tell.
                    let _ended = connection.await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "a connection could not be taken");
                tokio::time::sleep(BREATH).await;
            }
        }
    }
    drop(listener);
    tracing::info!("stopping: what is in flight is answered");
    tokio::select! {
        () = graceful.shutdown() => tracing::info!("stopped"),
        () = tokio::time::sleep(patience) => tracing::warn!("stopped before everything was answered"),
        () = shutdown.wait_for_end() => tracing::warn!("stopped at once"),
    }
}

fn connection(
    stream: TcpStream,
    app: Router,
) -> http1::Connection<TokioIo<TcpStream>, TowerToHyperService<Router>> {
    // Small answers go out at once; a socket that refuses is only slower.
    stream.set_nodelay(true).ok();
    #[cfg(target_os = "linux")]
    socket2::SockRef::from(&stream)
        .set_tcp_user_timeout(Some(DEAF))
        .ok();
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(SILENT)
        .max_header_size(HEAD)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app))
}
