//! The app under way: ads committed at a steady rate, through every crash of
//! its own database, until it is told to stop.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::Error;
use crate::app::App;

/// The app's own pause before it tries a commit again.
const AGAIN: Duration = Duration::from_millis(50);

/// A running load.
pub(super) struct Load {
    committed: Arc<Mutex<Vec<i64>>>,
    go_on: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Load {
    /// Commits ads from `first` on, `rate` a second.
    pub(super) fn start(app: App, first: i64, rate: u32) -> Self {
        let committed = Arc::<Mutex<Vec<i64>>>::default();
        let (go_on, going_on) = watch::channel(true);
        let task = tokio::spawn(commit_all(
            app,
            first,
            rate,
            Arc::clone(&committed),
            going_on,
        ));
        Self {
            committed,
            go_on,
            task,
        }
    }

    /// The ads whose commit has returned.
    pub(super) fn committed(&self) -> Vec<i64> {
        self.committed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Finishes what was begun.
    pub(super) async fn stop(self) -> Result<(), Error> {
        self.go_on.send_replace(false);
        self.task
            .await
            .map_err(|error| Error::Inexact(format!("the load ended early: {error}")))
    }
}

async fn commit_all(
    app: App,
    first: i64,
    rate: u32,
    committed: Arc<Mutex<Vec<i64>>>,
    going_on: watch::Receiver<bool>,
) {
    let mut tick = interval(Duration::from_secs(1) / rate.max(1));
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut commits = JoinSet::new();
    for id in first.. {
        tick.tick().await;
        if !*going_on.borrow() {
            break;
        }
        while commits.try_join_next().is_some() {}
        let (app, committed) = (app.clone(), Arc::clone(&committed));
        commits.spawn(async move {
            commit(&app, id).await;
            committed
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(id);
        });
    }
    commits.join_all().await;
}

/// Until the ad is there, as an app does whose database is away.
async fn commit(app: &App, id: i64) {
    loop {
        match app.commit(id).await {
            Ok(()) => return,
            // The answer to an earlier try was lost, the commit was not.
            Err(Error::Postgres(error)) if is_there(&error) => return,
            Err(_) => sleep(AGAIN).await,
        }
    }
}

fn is_there(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(sqlx::error::DatabaseError::is_unique_violation)
}
