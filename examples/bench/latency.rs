//! From commit to Salesforce: ads are committed one by one at a steady rate,
//! whatever becomes of them, so a slow daemon is not spared.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::app::{App, LINES};
use crate::meter::Meter;
use crate::stage::Stage;
use crate::{Error, Options};

/// How long a table's latency is measured.
pub(crate) const SECONDS: u32 = 10;

/// Ads ahead of the measurement: the first one pays for login and connections.
const WARM_UP: u32 = 20;

/// How long changes took.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Latency {
    pub(crate) ads: u32,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
    pub(crate) api_calls: u64,
}

/// Measures with a daemon of its own, which talks to the sandbox by way of a meter.
pub(crate) async fn measure(
    stage: &mut Stage,
    options: &Options,
    seconds: u32,
) -> Result<Latency, Error> {
    let meter = Meter::in_front_of(&stage.org.ready.base_url).await?;
    let mut daemon = stage.start_daemon(&meter.url)?;
    let rate = options.rate.max(1);

    let (first, last) = stage.number(WARM_UP);
    commit_all(&stage.app, first, last, rate).await?;
    stage
        .created(&mut daemon, u64::from(WARM_UP * LINES))
        .await?;
    stage.settled(&mut daemon).await?;
    stage.end_phase().await?;

    let ads = rate * seconds.max(1);
    let (first, last) = stage.number(ads);
    let committed = commit_all(&stage.app, first, last, rate).await?;
    stage.created(&mut daemon, u64::from(ads * LINES)).await?;
    stage.settled(&mut daemon).await?;
    let counters = stage.end_phase().await?;
    daemon.stop().await?;

    let histogram = compare(&committed, &meter)?;
    let ms = |microseconds: u64| Duration::from_micros(microseconds).as_secs_f64() * 1e3;
    Ok(Latency {
        ads,
        p50_ms: ms(histogram.value_at_quantile(0.5)),
        p99_ms: ms(histogram.value_at_quantile(0.99)),
        max_ms: ms(histogram.max()),
        api_calls: counters.api_calls,
    })
}

/// Commits these ads, `rate` a second; answers when each commit returned.
async fn commit_all(
    app: &App,
    first: i64,
    last: i64,
    rate: u32,
) -> Result<Vec<(i64, Instant)>, Error> {
    let mut tick = interval(Duration::from_secs(1) / rate);
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut commits: JoinSet<Result<(i64, Instant), Error>> = JoinSet::new();
    for id in first..=last {
        tick.tick().await;
        let app = app.clone();
        commits.spawn(async move {
            app.commit(id).await?;
            Ok((id, Instant::now()))
        });
    }
    commits.join_all().await.into_iter().collect()
}

/// Microseconds from each commit until the ad's last line was there.
fn compare(committed: &[(i64, Instant)], meter: &Meter) -> Result<Histogram<u64>, Error> {
    let arrivals = meter.arrivals();
    let mut histogram = Histogram::new_with_bounds(1, 600_000_000, 3)
        .map_err(|error| Error::Inexact(error.to_string()))?;
    for (id, commit) in committed {
        let mut last = Duration::ZERO;
        for line in 1..=LINES {
            let arrival = arrivals.get(&format!("{id}:{line}")).ok_or_else(|| {
                Error::Inexact(format!("line {line} of ad {id} was never seen on its way"))
            })?;
            // The daemon may be quicker than the commit's return.
            last = last.max(arrival.saturating_duration_since(*commit));
        }
        histogram.saturating_record(u64::try_from(last.as_micros()).unwrap_or(u64::MAX));
    }
    Ok(histogram)
}
