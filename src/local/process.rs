//! One server process in its directory, bound to the life of its owner.

use std::fs;
use std::io::Write;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use super::{Error, ports};

const WATCHDOG: &str = include_str!("watchdog.sh");
/// A busy machine may take its time; a server that is not up by then never is.
const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(5);
/// How often a start may meet a port or a shared memory that is still in use.
const ATTEMPTS: u32 = 100;

/// What to run and how to tell that it serves.
pub(super) struct Program {
    pub(super) path: PathBuf,
    /// The port is put behind them.
    pub(super) arguments: Vec<String>,
    /// Another user than oneself.
    pub(super) user: Option<User>,
    /// Ends the server quickly once its data are of no more use.
    pub(super) end: Signal,
    /// Whether the server in this directory, with this pid, serves.
    pub(super) ready: fn(&Path, Pid) -> bool,
}

/// A server that runs, or ran and may run again.
pub(super) struct Process {
    name: String,
    ready: fn(&Path, Pid) -> bool,
    port: u16,
    watchdog: Child,
    directory: TempDir,
}

/// A directory that a server may call its own.
pub(super) fn directory(parent: Option<&Path>, user: Option<&User>) -> Result<TempDir, Error> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("usage-sync-");
    let made = match parent {
        Some(parent) => builder.tempdir_in(parent),
        None => builder.tempdir(),
    };
    let fallback = std::env::temp_dir();
    let parent = parent.unwrap_or(&fallback);
    let directory = made.map_err(Error::io("make a directory in", parent))?;
    give(directory.path(), user)?;
    Ok(directory)
}

/// Makes `user` the owner of a file.
pub(super) fn give(path: &Path, user: Option<&User>) -> Result<(), Error> {
    let Some(user) = user else { return Ok(()) };
    chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw()))
        .map_err(Error::io("give away", path))
}

/// A command run by the server's user, with nothing of our environment.
pub(super) fn command(program: &Path, user: Option<&User>) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .env("LC_ALL", "C");
    if let Some(user) = user {
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
    command
}

impl Process {
    /// Starts the server on a free port and waits until it serves.
    pub(super) async fn start(directory: TempDir, program: Program) -> Result<Self, Error> {
        // A group of its own: Ctrl-C on the owner's terminal is the owner's affair.
        let watchdog = command(Path::new("/bin/sh"), program.user.as_ref())
            .args(["-c", WATCHDOG, "sh"])
            .arg(directory.path())
            .arg(program.end.as_str().trim_start_matches("SIG"))
            .arg(&program.path)
            .args(&program.arguments)
            .current_dir(directory.path())
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(Error::io("run", Path::new("/bin/sh")))?;
        let mut process = Self {
            name: program.path.display().to_string(),
            ready: program.ready,
            port: 0,
            watchdog,
            directory,
        };
        process.launch(ports::free).await?;
        Ok(process)
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Starts the ended server again, on the same port.
    pub(super) async fn start_again(&mut self) -> Result<(), Error> {
        let port = self.port;
        self.launch(|| port).await
    }

    /// Sends a signal to the server alone and waits for its end, frozen or not.
    pub(super) async fn end(&self, signal: Signal) -> Result<(), Error> {
        self.signal_all(Signal::SIGCONT);
        if let Some(pid) = self.living() {
            send(pid, signal);
        }
        self.ended().await
    }

    /// Kills the server and its children, at once.
    pub(super) async fn kill(&self) -> Result<(), Error> {
        self.signal_all(Signal::SIGKILL);
        self.ended().await
    }

    /// Sends a signal to the server and its children.
    pub(super) fn signal_all(&self, signal: Signal) {
        let Some(pid) = self.living() else { return };
        // Stopped first, so that it has no child that is not in the list.
        send(pid, Signal::SIGSTOP);
        for child in children(pid) {
            send(child, signal);
        }
        send(pid, signal);
    }

    async fn launch(&mut self, port: impl Fn() -> u16) -> Result<(), Error> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            self.port = port();
            self.order_start()?;
            match self.serving().await {
                // The port went to somebody else, or a killed server's children still hold its memory.
                Err(Error::Ended { log, .. }) if log.contains("in use") && attempt < ATTEMPTS => {
                    sleep(10 * POLL).await;
                }
                outcome => return outcome,
            }
        }
    }

    fn order_start(&mut self) -> Result<(), Error> {
        for file in ["pid", "ended"] {
            let file = self.file(file);
            match fs::remove_file(&file) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::io("remove", &file)(error));
                }
                _ => {}
            }
        }
        let written = match &mut self.watchdog.stdin {
            Some(orders) => writeln!(orders, "{}", self.port),
            None => Err(std::io::ErrorKind::BrokenPipe.into()),
        };
        written.map_err(Error::io("start", Path::new(&self.name)))
    }

    async fn serving(&self) -> Result<(), Error> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if self.file("ended").exists() {
                return Err(Error::Ended {
                    program: self.name.clone(),
                    log: self.log_end(),
                });
            }
            if let Some(pid) = self.living()
                && (self.ready)(self.directory(), pid)
            {
                return Ok(());
            }
            sleep(POLL).await;
        }
        Err(self.late("ready"))
    }

    async fn ended(&self) -> Result<(), Error> {
        let deadline = Instant::now() + PATIENCE;
        while self.living().is_some() {
            if Instant::now() > deadline {
                return Err(self.late("ended"));
            }
            sleep(POLL).await;
        }
        Ok(())
    }

    fn late(&self, state: &'static str) -> Error {
        Error::Late {
            program: self.name.clone(),
            state,
            seconds: PATIENCE.as_secs(),
            log: self.log_end(),
        }
    }

    /// The server's pid, unless it has ended.
    pub(super) fn living(&self) -> Option<Pid> {
        if self.file("ended").exists() {
            return None;
        }
        let pid = fs::read_to_string(self.file("pid")).ok()?;
        pid.trim().parse().ok().map(Pid::from_raw)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn log_end(&self) -> String {
        let log = fs::read(self.file("log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }
}

impl Drop for Process {
    /// Closes the watchdog's input, which stops the server and removes its
    /// directory, and waits until that has happened.
    fn drop(&mut self) {
        drop(self.watchdog.stdin.take());
        // Nothing can be done about a failure here, and nothing depends on it.
        self.watchdog.wait().ok();
    }
}

/// A process that has ended meanwhile needs no signal.
fn send(pid: Pid, signal: Signal) {
    kill(pid, signal).ok();
}

/// Linux lists them; elsewhere Postgres' children notice by themselves that
/// their parent is gone.
fn children(pid: Pid) -> Vec<Pid> {
    fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))
        .unwrap_or_default()
        .split_whitespace()
        .filter_map(|child| child.parse().ok().map(Pid::from_raw))
        .collect()
}
