//! Salesforce that is down for a while, or that loses an answer.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep, sleep_until};

use super::scene::Scene;
use super::{Arguments, Figure};
use crate::Error;
use crate::daemon::Daemon;
use crate::stage::Stage;

/// The edits of the outage come in so many portions.
const PORTIONS: u32 = 20;
/// An hour's outage may cost so many probes, and the drain so many calls and
/// lines; ten thousand ads with one corrected line each fill fifty calls.
const PROBES: f64 = 120.0;
const CALLS: f64 = 60.0;
const LINES: f64 = 60.0;

/// Ads that are there and reported, to be edited: first and last.
pub(super) async fn backlog(stage: &mut Stage, arguments: &Arguments) -> Result<(i64, i64), Error> {
    let there: (Option<i64>, Option<i64>) = sqlx::query_as("select min(id), max(id) from ad")
        .fetch_one(&stage.app.pool)
        .await?;
    if let (Some(first), Some(last)) = there {
        return Ok((first, last));
    }
    let (first, last) = stage.number(arguments.pending.max(1));
    stage.app.import(first, last).await?;
    Scene::quiet(stage, 1)?.end().await?;
    Ok((first, last))
}

pub(super) async fn salesforce_down(
    stage: &mut Stage,
    arguments: &Arguments,
) -> Result<Vec<Figure>, Error> {
    let (first, last) = backlog(stage, arguments).await?;
    let mut scene = Scene::quiet(stage, 1)?;
    scene
        .until("the first login", async |stage| {
            Ok(stage.org.requests().await? > 0)
        })
        .await?;
    scene.stage.org.take_counters().await?;
    let lines = lines(&scene);

    let down = Instant::now();
    let plan = json!({"effect": {"kind": "html_page", "status": 503}});
    scene.stage.org.fault(&plan).await?;
    edit_slowly(&scene, first, last, arguments.outage).await?;
    sleep_until(down + Duration::from_secs(arguments.outage)).await;
    let requests = scene.stage.org.requests().await?;
    scene.stage.org.take_counters().await?;
    scene.stage.org.mend().await?;

    let up = Instant::now();
    let begun = scene
        .until("the first record", async |stage| {
            Ok(stage.org.counters().await?.records.updated > 0)
        })
        .await?;
    let settled = scene.settled().await?;
    let counters = scene.stage.org.take_counters().await?;
    let lines = self::lines(&scene).saturating_sub(lines);
    let figures = vec![
        Figure::seconds(
            "from its return to the first record",
            begun.duration_since(up),
        ),
        Figure::seconds(
            "from its return until every edit is reported",
            settled.duration_since(up),
        ),
        Figure::count("calls of the drain", small(counters.api_calls)).at_most(CALLS),
        Figure::count("requests while it was down", small(requests as u64)).at_most(PROBES),
        Figure::count("lines in the log, outage and drain", small(lines as u64)).at_most(LINES),
    ];
    scene.end().await?;
    Ok(figures)
}

async fn edit_slowly(scene: &Scene<'_>, first: i64, last: i64, seconds: u64) -> Result<(), Error> {
    let size = (last - first) / i64::from(PORTIONS) + 1;
    // The last portion is committed well before the end.
    let pause = Duration::from_secs(seconds) / (PORTIONS + 5);
    let mut from = first;
    while from <= last {
        scene
            .stage
            .app
            .edit(from, last.min(from + size - 1))
            .await?;
        from += size;
        sleep(pause).await;
    }
    Ok(())
}

fn lines(scene: &Scene<'_>) -> usize {
    let logs = scene.daemons.iter().map(Daemon::log);
    logs.map(|log| log.lines().count()).sum()
}

fn small(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

pub(super) async fn answer_lost(
    stage: &mut Stage,
    arguments: &Arguments,
) -> Result<Vec<Figure>, Error> {
    let mut scene = Scene::under_load(stage, 2, arguments).await?;
    let plan = json!({
        "effect": {"kind": "drop_after"}, "method": "POST", "path": "/composite", "times": 1
    });
    scene.stage.org.fault(&plan).await?;
    let lost = scene
        .until("an answer to be lost", async |stage| {
            Ok(stage.org.struck().await? > 0)
        })
        .await?;
    let recovery = scene.recovery(lost).await?;
    scene.stage.org.mend().await?;
    let mut figures = vec![Figure::seconds(
        "from the loss until all that was committed before is reported",
        recovery,
    )];
    figures.extend(scene.end().await?);
    Ok(figures)
}
