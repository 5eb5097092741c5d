//! Daemons that are killed, stopped and frozen.

use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::time::{Instant, sleep_until};

use super::scene::Scene;
use super::{Arguments, Figure};
use crate::Error;
use crate::stage::Stage;

/// The default lease: by then another daemon has reported what was in hand.
const LEASE: f64 = 15.0;
/// Longer than the lease.
const FROZEN: Duration = Duration::from_secs(20);
/// A kill between two deliveries shows nothing, so the run is made again; at 50
/// ads a second some delivery is nearly always under way.
const TRIES: u32 = 5;

/// What a daemon says that found the ads of a dead one.
const TOOK_OVER: &str = "took over ads whose worker gave no sign of life";

const BEFORE: &str = "from the kill until all that was committed before is reported";

pub(super) async fn kill_one_of_two(
    stage: &mut Stage,
    arguments: &Arguments,
) -> Result<Vec<Figure>, Error> {
    kill(stage, arguments, false).await
}

pub(super) async fn kill_the_only(
    stage: &mut Stage,
    arguments: &Arguments,
) -> Result<Vec<Figure>, Error> {
    kill(stage, arguments, true).await
}

async fn kill(stage: &mut Stage, arguments: &Arguments, only: bool) -> Result<Vec<Figure>, Error> {
    for _ in 0..TRIES {
        let daemons = if only { 1 } else { 2 };
        let mut scene = Scene::under_load(stage, daemons, arguments).await?;
        let killed = scene.daemons.remove(0);
        killed.signal(Signal::SIGKILL)?;
        let start = Instant::now();
        if only {
            scene.start_daemon()?;
        }
        let recovery = scene.recovery(start).await?;
        let struck = scene.said(TOOK_OVER);
        let mut figures = vec![Figure::seconds(BEFORE, recovery).at_most(LEASE)];
        figures.extend(scene.end().await?);
        if struck {
            return Ok(figures);
        }
    }
    Err(Error::Inexact(format!(
        "{TRIES} times the killed daemon had nothing in hand"
    )))
}

pub(super) async fn stop_one_of_two(
    stage: &mut Stage,
    arguments: &Arguments,
) -> Result<Vec<Figure>, Error> {
    let mut scene = Scene::under_load(stage, 2, arguments).await?;
    let stopped = scene.daemons.remove(0);
    let start = Instant::now();
    let (ended, recovery) = tokio::join!(
        async { stopped.stop().await.map(|()| start.elapsed()) },
        scene.recovery(start)
    );
    let mut figures = vec![
        Figure::seconds("from the signal to the end of the process", ended?).at_most(25.0),
        Figure::seconds(
            "from the signal until all that was committed before is reported",
            recovery?,
        ),
    ];
    figures.extend(scene.end().await?);
    Ok(figures)
}

pub(super) async fn freeze_one_of_two(
    stage: &mut Stage,
    arguments: &Arguments,
) -> Result<Vec<Figure>, Error> {
    let mut scene = Scene::under_load(stage, 2, arguments).await?;
    scene.daemons[0].signal(Signal::SIGSTOP)?;
    let start = Instant::now();
    let recovery = scene.recovery(start).await?;
    sleep_until(start + FROZEN).await;
    scene.daemons[0].signal(Signal::SIGCONT)?;
    let thawed = Instant::now();
    let after = scene.recovery(thawed).await?;
    let mut figures = vec![
        Figure::seconds(
            "from the freeze until all that was committed before is reported",
            recovery,
        )
        .at_most(LEASE),
        Figure::seconds(
            "from the thaw until all that was committed before is reported",
            after,
        ),
    ];
    figures.extend(scene.end().await?);
    Ok(figures)
}
