//! What is measured in one mode, one after the other on the same servers:
//! drain, idle, import while running, latency, and whether it all ended exact.

use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, sleep};

use crate::app::LINES;
use crate::daemon::Daemon;
use crate::latency;
use crate::process::{Memory, cpu_of_tree};
use crate::report::Run;
use crate::stage::Stage;
use crate::{Error, Mode, Options};

/// How long an idle daemon is watched.
const IDLE: Duration = Duration::from_secs(5);

/// Records that one request may hold.
const BATCH: u32 = 200;

/// What it took to report a backlog.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Drain {
    pub(crate) records: u32,
    pub(crate) records_a_second: f64,
    pub(crate) api_calls: u64,
    /// Requests that met a contract that another was just writing.
    pub(crate) lock_meetings: u64,
    pub(crate) max_in_flight: u64,
    /// Seconds of CPU per 1,000 records: the daemon's.
    pub(crate) cpu_daemon: f64,
    /// Those of Postgres and Redis, the app's own statements included where
    /// they run meanwhile.
    pub(crate) cpu_servers: f64,
    pub(crate) peak: Memory,
    /// What the requests in flight allow at most, where answers take time.
    pub(crate) bound: Option<f64>,
}

/// A daemon that has nothing to do.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Idle {
    pub(crate) memory: Memory,
    /// Seconds of CPU an hour.
    pub(crate) cpu_daemon: f64,
}

/// Measures one mode.
pub(crate) async fn run(options: &Options, mode: Mode) -> Result<Run, Error> {
    let ads = match mode {
        Mode::Limit => options.backlog,
        Mode::Slow => options.slow_backlog,
    };
    let mut stage = Stage::set(options, mode).await?;
    let bound = bound(mode, options.concurrency);

    let (first, last) = stage.number(ads);
    stage.app.import(first, last).await?;
    stage.end_phase().await?;
    let start = Instant::now();
    let salesforce = stage.org.ready.base_url.clone();
    let mut daemon = stage.start_daemon(&salesforce)?;
    let backlog = drain(&mut stage, &mut daemon, ads, start, bound).await?;

    let idle = idle(&daemon).await;

    let (first, last) = stage.number(ads);
    let cpu = (cpu_of_tree(daemon.pid()), stage.cpu_of_servers());
    stage.app.import(first, last).await?;
    let start = Instant::now();
    let mut import = drain(&mut stage, &mut daemon, ads, start, bound).await?;
    import.cpu_daemon -= cpu.0 / thousands(import.records);
    daemon.stop().await?;

    let seconds = options.seconds.unwrap_or(latency::SECONDS);
    let latency = latency::measure(&mut stage, options, seconds).await?;
    stage.check().await?;
    Ok(Run {
        mode,
        backlog,
        idle,
        import,
        latency,
    })
}

/// Waits until so many ads are reported. CPU of the daemon is counted from its
/// own start on, that of the servers from now on.
async fn drain(
    stage: &mut Stage,
    daemon: &mut Daemon,
    ads: u32,
    start: Instant,
    bound: Option<f64>,
) -> Result<Drain, Error> {
    let records = ads * LINES;
    let servers = stage.cpu_of_servers();
    let memory = daemon.watch_memory();
    let end = stage.created(daemon, u64::from(records)).await?;
    stage.settled(daemon).await?;
    let counters = stage.end_phase().await?;
    Ok(Drain {
        records,
        records_a_second: f64::from(records) / end.duration_since(start).as_secs_f64(),
        api_calls: counters.api_calls,
        lock_meetings: counters.lock_meetings,
        max_in_flight: counters.max_in_flight,
        cpu_daemon: cpu_of_tree(daemon.pid()) / thousands(records),
        cpu_servers: (stage.cpu_of_servers() - servers) / thousands(records),
        peak: memory.peak(),
        bound,
    })
}

async fn idle(daemon: &Daemon) -> Idle {
    let before = cpu_of_tree(daemon.pid());
    sleep(IDLE).await;
    Idle {
        memory: Memory::of(daemon.pid()).unwrap_or_default(),
        cpu_daemon: (cpu_of_tree(daemon.pid()) - before) / IDLE.as_secs_f64() * 3600.0,
    }
}

/// Full requests, all of them in flight all the time.
fn bound(mode: Mode, concurrency: u32) -> Option<f64> {
    let (call, record) = mode.pretended();
    let milliseconds = call + record * BATCH;
    (milliseconds > 0).then(|| f64::from(concurrency * BATCH) * 1e3 / f64::from(milliseconds))
}

fn thousands(records: u32) -> f64 {
    f64::from(records.max(1)) / 1e3
}
