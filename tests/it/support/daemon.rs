//! The real binary as a child process: started, signalled, killed, listened to.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{PATIENCE, wait_until};

/// A running `usage-sync`, killed when this value goes.
pub(crate) struct Daemon {
    child: Child,
    log: Arc<Mutex<String>>,
    readers: Vec<thread::JoinHandle<()>>,
}

impl Daemon {
    /// Runs `usage-sync` with these arguments and nothing in its environment
    /// but these variables.
    pub(crate) fn start<'a>(
        arguments: &[&str],
        environment: impl IntoIterator<Item = (&'a str, String)>,
    ) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_usage-sync"));
        command.args(arguments).env_clear().envs(environment);
        Self::spawn(command)
    }

    /// Runs any command in the same way.
    pub(crate) fn spawn(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary is there and may be run");
        let log = Arc::new(Mutex::new(String::new()));
        let stdout = child.stdout.take().expect("it is piped");
        let stderr = child.stderr.take().expect("it is piped");
        let readers = vec![collect(stdout, &log), collect(stderr, &log)];
        Self {
            child,
            log,
            readers,
        }
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The most bytes of memory that it ever had.
    pub(crate) fn peak_memory(&self) -> u64 {
        memory(self.pid(), "VmHWM:")
    }

    /// What it has printed, on both streams.
    pub(crate) fn log(&self) -> String {
        self.log.lock().expect("no reader panics").clone()
    }

    /// Waits until it has printed `text`.
    pub(crate) async fn logged(&self, text: &str) {
        wait_until(&format!("{text:?} in the log"), PATIENCE, async || {
            self.log().contains(text)
        })
        .await;
    }

    /// Kills it without a warning.
    pub(crate) fn kill_9(&self) {
        self.signal(Signal::SIGKILL);
    }

    /// Asks it to stop, as Heroku does.
    pub(crate) fn sigterm(&self) {
        self.signal(Signal::SIGTERM);
    }

    /// Asks it to stop, as Ctrl-C does.
    pub(crate) fn sigint(&self) {
        self.signal(Signal::SIGINT);
    }

    /// Freezes it, as a machine that runs out of breath does.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Whether it is frozen, by somebody else or by itself.
    pub(crate) fn is_frozen(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid()));
        // The name before it, in brackets, may hold anything.
        let state = stat.ok().and_then(|stat| {
            let (_, rest) = stat.rsplit_once(')')?;
            rest.trim_start().chars().next()
        });
        state == Some('T')
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// Whether it has not ended yet.
    pub(crate) fn is_running(&mut self) -> bool {
        self.try_wait().is_none()
    }

    /// Waits for its end and until all that it printed is in the log.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        self.ended_within(PATIENCE).await
    }

    /// The same for a process that takes its time.
    pub(crate) async fn ended_within(&mut self, patience: Duration) -> ExitStatus {
        let mut status = None;
        wait_until("the end of the process", patience, async || {
            status = self.try_wait();
            status.is_some()
        })
        .await;
        for reader in self.readers.drain(..) {
            reader.join().expect("no reader panics");
        }
        status.expect("it was waited for")
    }

    fn try_wait(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("it is our child")
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("pids are small");
        kill(Pid::from_raw(pid), signal).expect("a child that is not waited for takes signals");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        self.child.kill().ok();
        self.child.wait().ok();
        if thread::panicking() {
            eprintln!("--- log of the process ---\n{}", self.log());
        }
    }
}

/// Bytes of memory of a process: `VmRSS:` now, `VmHWM:` at most.
pub(crate) fn memory(pid: u32, which: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix(which));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kilobytes.expect("Linux says how much") * 1024
}

fn collect(stream: impl Read + Send + 'static, log: &Arc<Mutex<String>>) -> thread::JoinHandle<()> {
    let log = Arc::clone(log);
    thread::spawn(move || {
        for line in BufReader::new(stream).lines() {
            let line = line.unwrap_or_else(|error| format!("unreadable line: {error}"));
            let mut log = log.lock().expect("no reader panics");
            log.push_str(&line);
            log.push('\n');
        }
    })
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use crate::support::Daemon;

    fn shell(script: &str) -> Daemon {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Daemon::spawn(command)
    }

    #[tokio::test]
    async fn both_streams_are_in_the_log_and_the_exit_code_is_kept() {
        let mut process = shell("echo out; echo err >&2; exit 7");

        let status = process.ended().await;

        assert_eq!(status.code(), Some(7));
        assert!(process.log().contains("out\n"));
        assert!(process.log().contains("err\n"));
    }

    #[tokio::test]
    async fn an_asked_process_may_end_as_it_likes_and_a_killed_one_may_not() {
        let script = "trap 'exit 3' TERM; trap 'exit 4' INT; echo up; while :; do sleep 0.01; done";
        let (mut terminated, mut interrupted, mut killed) =
            (shell(script), shell(script), shell(script));
        for process in [&terminated, &interrupted, &killed] {
            process.logged("up").await;
        }

        terminated.sigterm();
        interrupted.sigint();
        killed.kill_9();

        assert_eq!(terminated.ended().await.code(), Some(3));
        assert_eq!(interrupted.ended().await.code(), Some(4));
        assert_eq!(killed.ended().await.code(), None);
    }

    #[tokio::test]
    async fn a_frozen_process_hears_a_signal_when_it_thaws() {
        let mut process = shell("trap 'exit 3' TERM; echo up; while :; do sleep 0.01; done");
        process.logged("up").await;

        process.freeze();
        process.sigterm();
        assert!(process.is_running());
        process.thaw();

        assert_eq!(process.ended().await.code(), Some(3));
    }

    #[tokio::test]
    async fn the_binary_has_only_the_environment_that_it_is_given() {
        let mut process = Daemon::start(&["--version"], [("LOG_LEVEL", "info".to_owned())]);

        assert!(process.ended().await.success(), "{}", process.log());
    }
}
