//! A program of ours as a child process: it ends with its owner, even with one
//! that is killed.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::Error;
use crate::process::Memory;

/// Memory is looked at this often.
const LOOK: Duration = Duration::from_millis(50);
/// As long as the daemon gives itself to stop, and a little more.
const STOP: Duration = Duration::from_secs(30);
/// As long as one waits that is given up.
const HURRY: Duration = Duration::from_secs(2);

/// A running child.
pub(crate) struct Daemon {
    name: &'static str,
    child: Child,
    log: File,
}

impl Daemon {
    /// Starts `program` with nothing in its environment but `environment`.
    pub(crate) fn start(
        name: &'static str,
        program: &Path,
        arguments: &[&str],
        environment: &[(&str, String)],
    ) -> Result<Self, Error> {
        let log = tempfile::tempfile().map_err(Error::io("making a file for the log"))?;
        let output = |log: &File| log.try_clone().map_err(Error::io("opening the log"));
        // setpriv becomes the program: same pid, no process more.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "--"])
            .arg(program)
            .args(arguments)
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(output(&log)?)
            .stderr(output(&log)?)
            .spawn()
            .map_err(Error::io("starting usage-sync by way of setpriv"))?;
        Ok(Self { name, child, log })
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn id(&self) -> Pid {
        Pid::from_raw(self.pid().cast_signed())
    }

    /// An error if it has ended.
    pub(crate) fn must_live(&mut self) -> Result<(), Error> {
        let status = self.child.try_wait().map_err(Error::io("waiting"))?;
        status.map_or(Ok(()), |status| {
            Err(Error::Ended {
                program: self.name,
                status,
                log: self.log_end(),
            })
        })
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) -> Result<(), Error> {
        kill(self.id(), signal).map_err(|error| Error::Io {
            action: "sending a signal",
            source: error.into(),
        })
    }

    /// Asks it to stop and waits until it has.
    pub(crate) async fn stop(mut self) -> Result<(), Error> {
        self.signal(Signal::SIGTERM)?;
        let deadline = Instant::now() + STOP;
        while self.must_live().is_ok() {
            if Instant::now() > deadline {
                return Err(self.late("the end of the daemon", STOP));
            }
            sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// The error that says what was waited for in vain.
    pub(crate) fn late(&self, what: &'static str, patience: Duration) -> Error {
        Error::Late {
            what,
            seconds: patience.as_secs(),
            log: self.log_end(),
        }
    }

    /// Keeps looking at its memory from now on.
    pub(crate) fn watch_memory(&self) -> MemoryWatch {
        let pid = self.pid();
        let (peak, seen) = tokio::sync::watch::channel(Memory::default());
        let task = tokio::spawn(async move {
            while let Some(memory) = Memory::of(pid) {
                peak.send_modify(|peak| *peak = peak.max(memory));
                sleep(LOOK).await;
            }
        });
        MemoryWatch { task, seen }
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        read_all(&self.log).map_or_else(
            |error| format!("unreadable: {error}"),
            |bytes| String::from_utf8_lossy(&bytes).into_owned(),
        )
    }

    fn log_end(&self) -> String {
        let text = self.log();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }
}

/// Leaves the file's position alone: the child writes there.
fn read_all(file: &File) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX)];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

impl Drop for Daemon {
    /// Asks first: the sandbox has a file to remove.
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        kill(self.id(), Signal::SIGTERM).ok();
        let deadline = std::time::Instant::now() + HURRY;
        while matches!(self.child.try_wait(), Ok(None)) && std::time::Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Looks at a process' memory until it is asked what it saw.
pub(crate) struct MemoryWatch {
    task: JoinHandle<()>,
    seen: tokio::sync::watch::Receiver<Memory>,
}

impl MemoryWatch {
    /// The most that was seen.
    pub(crate) fn peak(self) -> Memory {
        *self.seen.borrow()
    }
}

impl Drop for MemoryWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}
