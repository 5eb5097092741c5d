//! The queue, for questions only: connected once Redis answers, so that the
//! gateway starts and tells the rest without it.

use std::time::{Duration, Instant};

use tokio::{
    sync::OnceCell,
    time::{error::Elapsed, timeout},
};

use crate::{
    queue::{Error, Queue, Sample},
    seldom::Seldom,
    settings,
    status::{self, Engine},
    telemetry::Chain,
};

/// Longer than a Redis that works takes, and short for a person who waits.
const PATIENCE: Duration = Duration::from_secs(3);

/// Redis, if it answers.
pub(super) struct Redis {
    server: settings::Redis,
    name: settings::Queue,
    queue: OnceCell<Queue>,
    silence: Seldom,
}

impl Redis {
    pub(super) fn new(server: settings::Redis, name: settings::Queue) -> Self {
        Self {
            server,
            name,
            queue: OnceCell::new(),
            silence: Seldom::default(),
        }
    }

    /// What it knows; nothing if it does not answer in time.
    pub(super) async fn engine(&self) -> Option<Engine> {
        let asked = async { status::ask(self.queue().await?).await };
        self.heard(timeout(PATIENCE, asked).await)
    }

    /// The figures of the last day; none if it does not answer in time.
    pub(super) async fn samples(&self) -> Vec<Sample> {
        let asked = async { self.queue().await?.samples().await };
        self.heard(timeout(PATIENCE, asked).await)
            .unwrap_or_default()
    }

    async fn queue(&self) -> Result<&Queue, Error> {
        let connect = || Queue::connect(&self.server, &self.name);
        self.queue.get_or_try_init(connect).await
    }

    fn heard<T>(&self, answer: Result<Result<T, Error>, Elapsed>) -> Option<T> {
        let error = match answer {
            Ok(Ok(answer)) => return Some(answer),
            Ok(Err(error)) => Chain(&error).to_string(),
            Err(elapsed) => elapsed.to_string(),
        };
        if let Some(count) = self.silence.add(1, Instant::now()) {
            tracing::warn!(
                dependency = "redis",
                count,
                error,
                "requests were answered without redis"
            );
        }
        None
    }
}
