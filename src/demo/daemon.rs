//! The daemon as a process of its own, so that killing it is real.
//!
//! It gets its settings by environment only and nothing of the environment
//! that the demo was started in: a person may have the production's there. It
//! never outlives the demo: a small shell process (`guard.sh`) kills it when
//! the demo is killed, and removes the directory of both.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::Error;

const GUARD: &str = include_str!("guard.sh");
const LOG: &str = "daemon.log";
/// Lines of the log that are worth reading after a failure.
const LAST_LINES: usize = 15;

/// The program, its settings, and its process while it runs.
pub(crate) struct Daemon {
    program: PathBuf,
    environment: Vec<(&'static str, String)>,
    child: Option<Child>,
    guard: Child,
    directory: TempDir,
}

impl Daemon {
    /// Makes its directory; nothing runs yet.
    pub(crate) fn new(environment: Vec<(&'static str, String)>) -> Result<Self, Error> {
        let program = std::env::current_exe().map_err(Error::Machine)?;
        let directory = tempfile::Builder::new()
            .prefix("usage-sync-demo-")
            .tempdir()
            .map_err(Error::Machine)?;
        let guard = Command::new("/bin/sh")
            .args(["-c", GUARD, "sh"])
            .arg(directory.path())
            .process_group(0)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(Error::Machine)?;
        Ok(Self {
            program,
            environment,
            child: None,
            guard,
            directory,
        })
    }

    /// Where its log is, and whatever else the demo writes down.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    pub(crate) fn environment(&self) -> &[(&'static str, String)] {
        &self.environment
    }

    pub(crate) fn log_file(&self) -> PathBuf {
        self.directory().join(LOG)
    }

    /// Runs another command of the program to its end; answers what it said.
    pub(crate) async fn command(&self, name: &'static str) -> Result<String, Error> {
        let output = tokio::process::Command::from(self.prepared(name))
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .map_err(Error::Machine)?;
        let said = |text: &[u8]| String::from_utf8_lossy(text).trim().to_owned();
        if output.status.success() {
            return Ok(said(&output.stdout));
        }
        Err(Error::Command {
            name,
            said: said(&output.stderr),
        })
    }

    /// Starts it; answers its pid.
    pub(crate) fn start(&mut self) -> Result<u32, Error> {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log_file())
            .map_err(Error::Machine)?;
        let log_too = log.try_clone().map_err(Error::Machine)?;
        let child = self
            .prepared("run")
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(log_too)
            .spawn()
            .map_err(Error::Machine)?;
        let pid = child.id();
        self.child = Some(child);
        self.tell_guard(&pid.to_string()).map_err(Error::Machine)?;
        Ok(pid)
    }

    /// Its pid, while it runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Fails if it has ended though nobody told it to.
    pub(crate) fn check(&mut self) -> Result<(), Error> {
        match self.ended()? {
            Some(status) => Err(Error::DaemonEnded(status)),
            None => Ok(()),
        }
    }

    /// `kill -9`; it has no chance to put anything in order.
    pub(crate) fn kill(&mut self) -> Result<(), Error> {
        if let Some(mut child) = self.child.take() {
            child.kill().map_err(Error::Machine)?;
            child.wait().map_err(Error::Machine)?;
        }
        self.tell_guard("").map_err(Error::Machine)
    }

    /// Asks it to stop, as Heroku does.
    pub(crate) fn terminate(&self) {
        let pid = self.child.as_ref().map(Child::id);
        if let Some(pid) = pid.and_then(|pid| i32::try_from(pid).ok()) {
            // One that has ended meanwhile needs no signal.
            kill(Pid::from_raw(pid), Signal::SIGTERM).ok();
        }
    }

    /// How it ended, if it ran and did.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>, Error> {
        let Some(child) = &mut self.child else {
            return Ok(None);
        };
        let status = child.try_wait().map_err(Error::Machine)?;
        if status.is_some() {
            self.child = None;
            self.tell_guard("").map_err(Error::Machine)?;
        }
        Ok(status)
    }

    /// The end of its log.
    pub(crate) fn last_lines(&self) -> String {
        let log = fs::read(self.log_file()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
    }

    /// Saves its log from going with the directory; answers where it is now.
    pub(crate) fn keep_log(&self) -> io::Result<PathBuf> {
        let mut log = File::open(self.log_file())?;
        let copy = tempfile::Builder::new()
            .prefix("usage-sync-demo-")
            .suffix(".log")
            .tempfile()?;
        io::copy(&mut log, &mut copy.as_file())?;
        let (_file, path) = copy.keep().map_err(|error| error.error)?;
        Ok(path)
    }

    /// A group of its own: Ctrl-C on the terminal is the demo's affair.
    fn prepared(&self, command: &str) -> Command {
        let mut prepared = Command::new(&self.program);
        prepared
            .arg(command)
            .env_clear()
            .envs(self.environment.iter().cloned())
            .current_dir(self.directory())
            .process_group(0);
        prepared
    }

    fn tell_guard(&mut self, line: &str) -> io::Result<()> {
        match &mut self.guard.stdin {
            Some(guard) => writeln!(guard, "{line}"),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // What cannot be ended here is ended by the guard.
        self.kill().ok();
        drop(self.guard.stdin.take());
        self.guard.wait().ok();
    }
}
