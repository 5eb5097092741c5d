//! Running pgbench and reading what it noted of each transaction.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;
use tokio::process::Command;
use usage_sync::local;

use super::tables::UNWATCHED;
use super::{Arguments, Pace};
use crate::Error;
use crate::stage::Stage;

/// What the app does, and how often: scripts of pgbench with their weights.
const SCRIPTS: [(&str, u32, &str); 3] = [
    (
        "create",
        4,
        "begin;
insert into ad (id, title) values (nextval('new_ad'), 'new') returning id \\gset
insert into line (ad_id, number, product, quantity)
    values (:id, 1, :id % 1000, 1), (:id, 2, :id % 1000, 2);
commit;
",
    ),
    (
        "correct",
        4,
        "\\set id random(1, :ads)
update line set quantity = quantity % 9 + 1 where ad_id = :id and number = 1;
",
    ),
    (
        "remove",
        2,
        "\\set id random(1, :ads)
begin;
delete from line where ad_id = :id;
delete from ad where id = :id;
commit;
",
    ),
];

/// pgbench with its scripts.
pub(super) struct Pgbench {
    program: PathBuf,
    directory: TempDir,
    url: String,
    clients: u32,
    pub(super) seconds: u32,
    rate: u32,
}

/// What one run of pgbench gave.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Milliseconds of each transaction, from the time when it should have
    /// begun; sorted.
    pub(super) latencies: Vec<f64>,
    /// Transactions that failed.
    pub(super) failures: u32,
}

impl Pgbench {
    /// Writes the scripts.
    pub(super) fn new(stage: &Stage, arguments: &Arguments) -> Result<Self, Error> {
        let directory = tempfile::tempdir().map_err(Error::io("making a directory"))?;
        for (name, _, script) in SCRIPTS {
            fs::write(directory.path().join(name), script)
                .map_err(Error::io("writing a script"))?;
        }
        Ok(Self {
            program: local::find_program("pgbench")?,
            directory,
            url: stage.postgres.url("app"),
            clients: arguments.clients.max(1),
            seconds: arguments.seconds.max(1),
            rate: arguments.rate.max(1),
        })
    }

    /// Runs it on the watched tables or on the copies.
    pub(super) async fn run(&self, pace: Pace, watched: bool, ads: u32) -> Result<Outcome, Error> {
        let log = tempfile::tempdir().map_err(Error::io("making a directory"))?;
        let mut command = Command::new(&self.program);
        command
            .args(["--no-vacuum", "--log", "--jobs", "2"])
            .arg("--log-prefix")
            .arg(log.path().join("log"))
            .args(["--client", &self.clients.to_string()])
            .args(["--time", &self.seconds.to_string()])
            .args(["--define", &format!("ads={ads}")]);
        if pace == Pace::Steady {
            command.args(["--rate", &self.rate.to_string()]);
        }
        for (name, weight, _) in SCRIPTS {
            let file = self.directory.path().join(name);
            command
                .arg("--file")
                .arg(format!("{}@{weight}", file.display()));
        }
        if !watched {
            command.env("PGOPTIONS", format!("-c search_path={UNWATCHED},public"));
        }
        let output = command
            .arg(&self.url)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .map_err(Error::io("running pgbench"))?;
        if !output.status.success() {
            // It ends like this when a transaction fails with anything but a
            // deadlock or a serialization failure.
            return Err(Error::Ended {
                program: "pgbench",
                status: output.status,
                log: String::from_utf8_lossy(&output.stderr).into_owned(),
            });
        }
        read(log.path())
    }
}

/// PostgreSQL: pgbench, "Per-Transaction Logging": the third word of a line is
/// the time in microseconds, or says that the transaction failed.
fn read(directory: &Path) -> Result<Outcome, Error> {
    let reading = "reading the log of pgbench";
    let mut outcome = Outcome::default();
    for file in fs::read_dir(directory).map_err(Error::io(reading))? {
        let file = file.map_err(Error::io(reading))?;
        let text = fs::read_to_string(file.path()).map_err(Error::io(reading))?;
        for line in text.lines() {
            let time = line.split_whitespace().nth(2).unwrap_or_default();
            match time.parse::<f64>() {
                Ok(microseconds) => outcome.latencies.push(microseconds / 1e3),
                Err(_) => outcome.failures += 1,
            }
        }
    }
    outcome.latencies.sort_by(f64::total_cmp);
    Ok(outcome)
}
