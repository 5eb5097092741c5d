//! `usage-sync web` as a process of its own, asked over connections that stay.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Asked, Expected};
use crate::Error;
use crate::daemon::Daemon;
use crate::stage::Stage;

/// Guards nothing: the gateway listens for as long as the measurement lasts.
const TOKEN: &str = "a-token-of-the-benchmark";
const PATIENCE: Duration = Duration::from_secs(30);

/// The gateway.
pub(super) struct Gateway {
    _process: Daemon,
    url: String,
    http: reqwest::Client,
}

impl Gateway {
    pub(super) async fn start(stage: &Stage) -> Result<Self, Error> {
        let own = [
            ("WEB_TOKEN", TOKEN),
            ("WEB_RATE_LIMIT", "100000"),
            ("PORT", "0"),
        ];
        let mut process = stage.start_gateway(&own)?;
        let deadline = Instant::now() + PATIENCE;
        let port = loop {
            process.must_live()?;
            if let Some(port) = port(&process.log()) {
                break port;
            }
            if Instant::now() > deadline {
                return Err(process.late("the gateway's start", PATIENCE));
            }
            sleep(Duration::from_millis(5)).await;
        };
        Ok(Self {
            _process: process,
            url: format!("http://127.0.0.1:{port}"),
            http: reqwest::Client::builder().no_proxy().build()?,
        })
    }

    /// A read: a connection each for those who ask at the same time, kept.
    pub(super) fn read(&self) -> impl Fn(Arc<Expected>) -> Asked + Clone + use<> {
        let (url, http) = (self.url.clone(), self.http.clone());
        move |expected| {
            let request = http
                .get(format!("{url}/contracts/{}", expected.contract))
                .bearer_auth(TOKEN);
            Box::pin(async move {
                let answer = request.send().await?.error_for_status()?;
                expected.is_answered_by(&answer.bytes().await?)
            })
        }
    }
}

/// The port that it says it listens on.
fn port(log: &str) -> Option<u16> {
    let line = log.lines().find(|line| line.contains("web listens"))?;
    let port = line.split("port=").nth(1)?.split(' ').next()?;
    port.parse().ok()
}
