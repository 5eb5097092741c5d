//! Plays histories, counts what they survived, and keeps what is needed to
//! understand a failure.

use std::{
    collections::BTreeMap,
    fmt,
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tokio::task::LocalSet;

use super::{Failed, fault::Kind, history::History, quiet, stage::Stage, watch::Watch};

/// Lines of a log that a daemon may print on the average, each time it is
/// started: some for each fault, and one whenever Salesforce refuses something,
/// which an eagerly repeated refusal does once a second.
const LINES_EACH: usize = 300;

/// What histories survived.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) histories: u64,
    steps: u64,
    /// How often each kind was set up.
    faults: BTreeMap<Kind, u64>,
    calls: u64,
    /// How many calls of Salesforce each kind struck.
    hits: BTreeMap<Kind, u64>,
    records: u64,
}

impl Tally {
    pub(super) fn add(&mut self, other: Self) {
        self.histories += other.histories;
        self.steps += other.steps;
        self.calls += other.calls;
        self.records += other.records;
        for (kind, times) in other.faults {
            *self.faults.entry(kind).or_default() += times;
        }
        for (kind, calls) in other.hits {
            *self.hits.entry(kind).or_default() += calls;
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults: u64 = self.faults.values().sum();
        let hits: u64 = self.hits.values().sum();
        write!(
            f,
            "{} histories, {} steps, {faults} faults, {} calls of Salesforce, {} of \
             them struck, {} records written",
            self.histories, self.steps, self.calls, hits, self.records
        )?;
        for (kind, times) in &self.faults {
            write!(f, "\n  {:<24}{times:>6}", kind.name())?;
            if let Some(calls) = self.hits.get(kind) {
                write!(f, "  struck {calls} calls")?;
            }
        }
        Ok(())
    }
}

/// A history that did not end well, and where everything about it is.
#[derive(Debug)]
pub(super) struct Defeat {
    pub(super) seed: u64,
    pub(super) why: String,
    pub(super) kept: PathBuf,
}

impl fmt::Display for Defeat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, why, kept } = self;
        write!(
            f,
            "seed {seed}: {why}\nsteps, logs and tables: {}\nreproduce with: bin/soak --seed {seed}",
            kept.display()
        )
    }
}

/// Plays the history of a seed.
pub(super) async fn play(seed: u64, without: &[Kind]) -> Result<Tally, Defeat> {
    let history = History::of(seed, without);
    let trace = Trace::new(&history);
    // In a task of its own: a panic anywhere in it is a failure of this seed.
    let task = LocalSet::new();
    let played = task.spawn_local(act(history, trace.clone()));
    let why = match task.run_until(played).await {
        Ok(Ok(tally)) => return Ok(tally),
        Ok(Err(Failed(why))) => why,
        Err(panic) => panic.to_string(),
    };
    let kept = trace.keep(seed, &why);
    Err(Defeat { seed, why, kept })
}

async fn act(history: History, trace: Trace) -> Result<Tally, Failed> {
    let mut stage = Stage::set(&history).await;
    let watch = Watch::over(Arc::clone(&stage.contracts), stage.redis.url(), &history);
    let result = perform(&history, &mut stage, &watch, &trace).await;
    if let Err(Failed(why)) = result {
        trace.note(&format!("failed: {why}"));
        trace.logs(stage.fleet.logs());
        trace.tables(&stage.database.url);
        return Err(Failed(why));
    }
    let stats = stage.sandbox.stats();
    let written = stats.records;
    Ok(Tally {
        histories: 1,
        steps: history.acts.iter().map(|act| act.len() as u64).sum(),
        faults: stage.struck,
        calls: stats.api_calls,
        hits: stage.hits,
        records: written.created + written.updated + written.deleted,
    })
}

async fn perform(
    history: &History,
    stage: &mut Stage,
    watch: &Watch,
    trace: &Trace,
) -> Result<(), Failed> {
    for act in &history.acts {
        for step in act {
            trace.note(&step.to_string());
            stage.take(step).await?;
            watch.check()?;
            stage.fleet.check().await?;
        }
        trace.note("everything is over: it has to become quiet");
        quiet::settle(stage, watch).await?;
    }
    let locked = stage.contracts.locked();
    trace.note(&format!("sales: unlock contracts {locked:?}"));
    for contract in locked {
        stage.contracts.unlock(contract);
    }
    quiet::settle(stage, watch).await?;
    let lines = stage.fleet.lines_each();
    if lines > LINES_EACH {
        return Err(Failed(format!("each daemon printed {lines} lines")));
    }
    Ok(())
}

/// What happened so far, and what is left of it afterwards.
#[derive(Clone)]
struct Trace {
    begun: Instant,
    kept: Arc<Mutex<Kept>>,
}

#[derive(Default)]
struct Kept {
    steps: Vec<String>,
    logs: BTreeMap<String, String>,
    tables: String,
}

impl Trace {
    fn new(history: &History) -> Self {
        let steps = vec![history.to_string()];
        Self {
            begun: Instant::now(),
            kept: Arc::new(Mutex::new(Kept {
                steps,
                ..Kept::default()
            })),
        }
    }

    fn with<T>(&self, work: impl FnOnce(&mut Kept) -> T) -> T {
        work(&mut self.kept.lock().expect("nobody panics with it"))
    }

    fn note(&self, what: &str) {
        let seconds = self.begun.elapsed().as_secs_f64();
        self.with(|kept| kept.steps.push(format!("{seconds:>8.3}  {what}")));
    }

    fn logs(&self, logs: BTreeMap<String, String>) {
        self.with(|kept| kept.logs = logs);
    }

    /// The daemon's tables as they were at the end.
    fn tables(&self, url: &str) {
        let tables = ["ad", "record", "intent", "change", "journal", "landing"];
        let mut psql = Command::new("psql");
        psql.arg(url).arg("-X").stdin(Stdio::null());
        for table in tables {
            psql.arg(format!(
                "--command=select * from usage_sync.{table} order by 1"
            ));
        }
        psql.arg("--command=select * from usage_sync.usage order by 1, 2");
        let output = psql.output();
        // Without psql there are no tables, and a failure all the same.
        let text = output.map_or_else(
            |error| format!("no psql: {error}"),
            |output| {
                let text = [output.stdout, output.stderr].concat();
                String::from_utf8_lossy(&text).into_owned()
            },
        );
        self.with(|kept| kept.tables = text);
    }

    /// Writes it all to a directory of the seed.
    fn keep(&self, seed: u64, why: &str) -> PathBuf {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join("soak")
            .join(format!("seed-{seed}"));
        let written = self.with(|kept| -> std::io::Result<()> {
            if directory.exists() {
                fs::remove_dir_all(&directory)?;
            }
            fs::create_dir_all(&directory)?;
            let mut steps = File::create(directory.join("steps.txt"))?;
            for step in &kept.steps {
                writeln!(steps, "{step}")?;
            }
            fs::write(directory.join("failure.txt"), why)?;
            fs::write(directory.join("tables.txt"), &kept.tables)?;
            for (name, log) in &kept.logs {
                fs::write(directory.join(format!("{name}.log")), log)?;
            }
            Ok(())
        });
        if let Err(error) = written {
            eprintln!("{} could not be written: {error}", directory.display());
        }
        directory
    }
}

/// What is asked for: how long, which seeds, without what.
pub(super) struct Request {
    pub(super) time: Duration,
    pub(super) seed: u64,
    /// Only this seed, again and again.
    pub(super) fixed: bool,
    pub(super) without: Vec<Kind>,
}

/// Plays on until the time is over or a history fails; at least one.
pub(super) async fn soak(request: &Request) -> Result<Tally, Defeat> {
    let begun = Instant::now();
    let mut tally = Tally::default();
    let mut seed = request.seed;
    loop {
        let started = Instant::now();
        let history = play(seed, &request.without).await?;
        tally.add(history);
        println!(
            "{:>7.1} s  seed {seed} held ({:.1} s); {} so far",
            begun.elapsed().as_secs_f64(),
            started.elapsed().as_secs_f64(),
            tally.to_string().lines().next().unwrap_or_default(),
        );
        if begun.elapsed() >= request.time {
            return Ok(tally);
        }
        seed += u64::from(!request.fixed);
    }
}
