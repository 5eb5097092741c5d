//! A backlog far larger than Redis: what waits beyond `QUEUE_MAX` ids waits in
//! Postgres, so the smallest Redis carries any backlog.
//!
//! All ads are committed while no daemon runs. Redis has 25 MB, Heroku's
//! smallest, and refuses what does not fit. A run counts only if it never had
//! to, and if everything arrived exactly.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use serde::Serialize;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use usage_sync::local::RedisOptions;

use crate::app::LINES;
use crate::process::Memory;
use crate::stage::Stage;
use crate::{Error, Mode, Options};

const LIMIT: &str = "25mb";
const LOOK: Duration = Duration::from_millis(50);
const KEYS: [&str; 4] = ["queue", "claimed", "retry", "suspects"];

/// What it took.
#[derive(Debug, Serialize)]
pub(crate) struct Carried {
    ads: u32,
    records: u32,
    records_a_second: f64,
    api_calls: u64,
    redis: Fullest,
    daemon: Memory,
}

/// The most that was seen of Redis.
#[derive(Debug, Default, Clone, Copy, Serialize)]
struct Fullest {
    ids: usize,
    /// With the connections' buffers and Redis' own needs.
    used_memory: u64,
    /// Writes that it refused for want of memory.
    refused: u64,
}

impl Carried {
    /// For people or for programs.
    pub(crate) fn text(&self, json: bool) -> String {
        if json {
            return serde_json::to_string_pretty(self).unwrap_or_default();
        }
        format!(
            "{} ads, {} records: {:.0} records/s, {} API calls\n\
             redis at its fullest: {} ids, {:.1} MB of {LIMIT}, {} writes refused\n\
             daemon: peak PSS / RSS {:.1} / {:.1} MB",
            self.ads,
            self.records,
            self.records_a_second,
            self.api_calls,
            self.redis.ids,
            megabytes(self.redis.used_memory),
            self.redis.refused,
            self.daemon.pss,
            self.daemon.rss,
        )
    }
}

fn megabytes(bytes: u64) -> f64 {
    // A private Redis holds less than 2^52 bytes.
    #[expect(clippy::cast_precision_loss, reason = "it is far below 2^52")]
    let bytes = bytes as f64;
    bytes / f64::from(1 << 20)
}

/// Carries a backlog of so many ads through a small Redis.
pub(crate) async fn run(options: &Options, ads: u32) -> Result<Carried, Error> {
    let redis = RedisOptions::default()
        .set("maxmemory", LIMIT)
        .set("maxmemory-policy", "noeviction");
    let mut stage = Stage::set_with(options, Mode::Limit, redis).await?;
    let (first, last) = stage.number(ads);
    stage.app.import(first, last).await?;
    let records = ads * LINES;

    let watch = Watch::start(&stage.redis_url()).await?;
    let start = Instant::now();
    let salesforce = stage.org.ready.base_url.clone();
    let mut daemon = stage.start_daemon(&salesforce)?;
    let memory = daemon.watch_memory();
    let end = stage.created(&mut daemon, u64::from(records)).await?;
    stage.settled(&mut daemon).await?;
    let counters = stage.end_phase().await?;
    let carried = Carried {
        ads,
        records,
        records_a_second: f64::from(records) / end.duration_since(start).as_secs_f64(),
        api_calls: counters.api_calls,
        redis: watch.fullest(),
        daemon: memory.peak(),
    };
    daemon.stop().await?;
    stage.check().await?;
    if carried.redis.refused > 0 {
        return Err(Error::Inexact(format!(
            "redis refused {} writes for want of memory",
            carried.redis.refused
        )));
    }
    Ok(carried)
}

/// Keeps looking at Redis.
struct Watch {
    seen: watch::Receiver<Fullest>,
    task: JoinHandle<()>,
}

impl Watch {
    async fn start(url: &str) -> Result<Self, Error> {
        let mut connection = redis::Client::open(url)?
            .get_multiplexed_async_connection()
            .await?;
        let (fullest, seen) = watch::channel(Fullest::default());
        let task = tokio::spawn(async move {
            // A server that is gone ends it; the run then fails by itself.
            while let Ok(now) = look(&mut connection).await {
                fullest.send_modify(|most| {
                    most.ids = most.ids.max(now.ids);
                    most.used_memory = most.used_memory.max(now.used_memory);
                    most.refused = now.refused;
                });
                sleep(LOOK).await;
            }
        });
        Ok(Self { seen, task })
    }

    fn fullest(&self) -> Fullest {
        *self.seen.borrow()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn look(connection: &mut MultiplexedConnection) -> redis::RedisResult<Fullest> {
    let mut sizes = redis::pipe();
    // All at once: an id that moves from one to the other is counted once.
    sizes.atomic();
    for key in KEYS {
        let command = if key == "queue" { "LLEN" } else { "ZCARD" };
        sizes.cmd(command).arg(format!("{{usage-sync}}:{key}"));
    }
    let sizes: Vec<usize> = sizes.query_async(connection).await?;
    let info: String = redis::cmd("INFO")
        .arg("all")
        .query_async(connection)
        .await?;
    let number = |name: &str| {
        let line = info.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|number| number.trim().parse().ok())
            .unwrap_or_default()
    };
    Ok(Fullest {
        ids: sizes.iter().sum(),
        used_memory: number("used_memory:"),
        refused: number("errorstat_OOM:count="),
    })
}
