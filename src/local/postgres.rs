//! A private Postgres.

use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use super::process::{self, Process, Program};
use super::{Error, programs, template};

/// What a crash of the machine may take. A killed server loses nothing either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// Nothing is flushed to the disk: for tests.
    #[default]
    Fast,
    /// As in production: for measurements.
    Durable,
}

/// How a private Postgres is set up.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Whether commits wait for the disk.
    pub durability: Durability,
    /// Where its directory is made; the system's place for temporary files unless
    /// given. `/dev/shm` leaves the disk out of a measurement.
    pub parent: Option<PathBuf>,
    /// Where a fresh cluster is kept for the next server to copy; without it
    /// `initdb` runs, which takes a second or more.
    pub template_cache: Option<PathBuf>,
    /// Parameters of `postgresql.conf`, as name and value.
    pub settings: Vec<(String, String)>,
}

impl Options {
    /// Adds a parameter of `postgresql.conf`.
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    fn arguments(&self, data: &Path) -> Vec<String> {
        let own = [
            ("listen_addresses", "127.0.0.1"),
            // The only way in is TCP: a socket's path may be 107 bytes long at most.
            ("unix_socket_directories", ""),
            // Shared memory that a killed server leaves behind goes with its directory.
            ("dynamic_shared_memory_type", "mmap"),
            ("max_connections", "100"),
        ];
        let fast = [("fsync", "off"), ("full_page_writes", "off")];
        let fast = fast
            .into_iter()
            .filter(|_| self.durability == Durability::Fast);
        let given = self.settings.iter().map(|(n, v)| (n.as_str(), v.as_str()));
        let mut arguments = vec!["-D".to_owned(), data.display().to_string()];
        for (name, value) in own.into_iter().chain(fast).chain(given) {
            arguments.extend(["-c".to_owned(), format!("{name}={value}")]);
        }
        // The watchdog puts the port behind it.
        arguments.push("-p".to_owned());
        arguments
    }
}

/// A private Postgres, gone when this value is.
pub struct Postgres {
    process: Process,
}

impl Postgres {
    /// Starts a server with an empty cluster on a free port.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let program = programs::find("postgres")?;
        let user = programs::postgres_user();
        let directory = process::directory(options.parent.as_deref(), user.as_ref())?;
        let data = directory.path().join("data");
        match &options.template_cache {
            Some(cache) => template::copy(cache, &data, user.as_ref())?,
            None => template::fresh(&data, user.as_ref())?,
        }
        let program = Program {
            path: program,
            arguments: options.arguments(&data),
            user,
            end: Signal::SIGQUIT,
            ready: is_ready,
        };
        let process = Process::start(directory, program).await?;
        Ok(Self { process })
    }

    /// Starts a standby that follows this server. It has the server's databases
    /// and takes no writes before `pg_promote()`.
    pub async fn standby(&self, options: Options) -> Result<Self, Error> {
        let program = programs::find("postgres")?;
        let copy = programs::find("pg_basebackup")?;
        let user = programs::postgres_user();
        let directory = process::directory(options.parent.as_deref(), user.as_ref())?;
        let data = directory.path().join("data");
        let source = format!("host=127.0.0.1 port={} user=postgres", self.port());
        let copied = process::command(&copy, user.as_ref())
            .args(["--checkpoint=fast", "--write-recovery-conf", "--no-sync"])
            .args(["--dbname", &source, "--pgdata"])
            .arg(&data)
            .current_dir(directory.path())
            .output()
            .map_err(Error::io("run", &copy))?;
        if !copied.status.success() {
            return Err(Error::Ended {
                program: copy.display().to_string(),
                log: String::from_utf8_lossy(&copied.stderr).into_owned(),
            });
        }
        let program = Program {
            path: program,
            arguments: options.arguments(&data),
            user,
            end: Signal::SIGQUIT,
            ready: is_ready,
        };
        let process = Process::start(directory, program).await?;
        Ok(Self { process })
    }

    /// The URL of one of its databases, for its superuser.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port())
    }

    /// The port that it listens on, and will listen on after a restart.
    pub fn port(&self) -> u16 {
        self.process.port()
    }

    /// Creates an empty database and answers its URL.
    pub async fn create_database(&self, name: &str) -> Result<String, Error> {
        let failed = |source| Error::CreateDatabase {
            name: name.to_owned(),
            source,
        };
        let quoted = name.replace('"', "\"\"");
        let statement = AssertSqlSafe(format!("create database \"{quoted}\""));
        let mut connection = PgConnection::connect(&self.url("postgres"))
            .await
            .map_err(failed)?;
        connection.execute(statement).await.map_err(failed)?;
        connection.close().await.map_err(failed)?;
        Ok(self.url(name))
    }

    /// The server's process, while it runs.
    pub fn pid(&self) -> Option<i32> {
        self.process.living().map(Pid::as_raw)
    }

    /// Where its data and its log are.
    pub fn directory(&self) -> &Path {
        self.process.directory()
    }

    /// Stops it as an administrator would: connections are cut, data are kept.
    pub async fn stop(&self) -> Result<(), Error> {
        self.process.end(Signal::SIGINT).await
    }

    /// Kills all its processes at once, as a power cut does.
    pub async fn kill(&self) -> Result<(), Error> {
        self.process.kill().await
    }

    /// Starts it again on the same port with its data; stops it first if it runs.
    pub async fn restart(&mut self) -> Result<(), Error> {
        self.stop().await?;
        self.process.start_again().await
    }

    /// Freezes all its processes: connections stay open and nothing answers.
    pub fn freeze(&self) {
        self.process.signal_all(Signal::SIGSTOP);
    }

    /// Lets a frozen server go on.
    pub fn thaw(&self) {
        self.process.signal_all(Signal::SIGCONT);
    }
}

/// Postgres writes its pid into the first line of `postmaster.pid` and its
/// state into the eighth (src/include/utils/pidfile.h).
fn is_ready(directory: &Path, pid: Pid) -> bool {
    let file = fs::read_to_string(directory.join("data/postmaster.pid")).unwrap_or_default();
    let mut lines = file.lines().map(str::trim);
    let state = |lines: &mut dyn Iterator<Item = &str>| lines.nth(6).map(str::to_owned);
    lines.next() == Some(&pid.to_string())
        && matches!(state(&mut lines).as_deref(), Some("ready" | "standby"))
}
