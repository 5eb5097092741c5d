//! The demo, run as a person runs it: it tells its story, and leaves nothing
//! running and nothing on disk, however it ends.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::support::{Daemon, PATIENCE, wait_until};

/// A demo whose temporary files all go into a place of their own.
struct Demo {
    process: Daemon,
    place: TempDir,
}

impl Demo {
    fn start(arguments: &[&str], path: Option<&str>) -> Self {
        let place = tempfile::tempdir().unwrap();
        // As /tmp is: root's Postgres runs as another user, with a directory of
        // its own.
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o1777)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_usage-sync"));
        command
            .arg("demo")
            .args(arguments)
            .env_clear()
            .envs(path.map(|path| ("PATH", path)))
            // A developer's own; nothing of it may be touched.
            .env("DATABASE_URL", "postgres://nobody@127.0.0.1:1/nothing")
            .env("SALESFORCE_USERNAME", "somebody@production.example")
            .env("TMPDIR", place.path());
        let process = Daemon::spawn(command);
        Self { process, place }
    }

    fn with_path(arguments: &[&str]) -> Self {
        let path = std::env::var("PATH").unwrap();
        Self::start(arguments, Some(&path))
    }

    /// Waits for a part of the story; to make its servers takes a busy machine long.
    async fn tells(&self, text: &str) {
        wait_until(&format!("{text:?}"), PATIENCE * 4, async || {
            self.process.log().contains(text)
        })
        .await;
    }

    /// Waits for the end; answers the exit code and all output.
    async fn ended(&mut self) -> (Option<i32>, String) {
        let status = self.process.ended_within(PATIENCE * 4).await;
        (status.code(), self.process.log())
    }

    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.place.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name());
        names.map(|name| name.into_string().unwrap()).collect()
    }

    /// Servers and daemon have their working directory in the demo's place.
    fn processes(&self) -> Vec<i32> {
        let ours = |pid: &i32| {
            fs::read_link(format!("/proc/{pid}/cwd"))
                .is_ok_and(|folder| folder.starts_with(self.place.path()))
        };
        let entries = fs::read_dir("/proc").unwrap().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(ours).collect()
    }

    /// The daemon, by its command line.
    fn daemon(&self) -> Option<i32> {
        let runs = |pid: &i32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.ends_with(b"\0run\0")
        };
        self.processes().into_iter().find(runs)
    }

    async fn leaves_nothing(&self) {
        wait_until("the end of all its processes", PATIENCE, async || {
            self.processes().is_empty() && self.files().is_empty()
        })
        .await;
    }
}

const VERDICT: &str = "0 missing, 0 extra, 0 different";

#[tokio::test]
async fn the_story_is_told_and_nothing_is_left() {
    let mut demo = Demo::with_path(&[]);

    demo.tells("1. An ad is made").await;
    assert!(
        demo.daemon().is_some(),
        "the daemon is a process of its own"
    );
    let (code, output) = demo.ended().await;

    assert_eq!(code, Some(0), "{output}");
    assert!(output.contains(VERDICT), "{output}");
    assert!(output.contains("Contract 00000101 is fulfilled: its usage is locked"));
    assert!(!output.contains('\x1b'), "this is no terminal");
    demo.leaves_nothing().await;
}

#[tokio::test]
async fn ctrl_c_in_the_middle_leaves_nothing() {
    let mut demo = Demo::with_path(&[]);
    demo.tells("2. Salesforce is down").await;

    demo.process.sigint();
    let (code, output) = demo.ended().await;

    assert_eq!(code, Some(130), "{output}");
    assert!(!output.contains(VERDICT));
    demo.leaves_nothing().await;
}

#[tokio::test]
async fn a_demo_that_is_killed_leaves_nothing() {
    let mut demo = Demo::with_path(&[]);
    demo.tells("1. An ad is made").await;

    demo.process.kill_9();
    demo.ended().await;

    demo.leaves_nothing().await;
}

#[tokio::test]
async fn a_step_that_fails_says_why_and_leaves_only_the_log() {
    let mut demo = Demo::with_path(&[]);
    demo.tells("2. Salesforce is down").await;

    let daemon = demo.daemon().expect("the daemon runs");
    kill(Pid::from_raw(daemon), Signal::SIGKILL).unwrap();
    let (code, output) = demo.ended().await;

    assert_eq!(code, Some(70), "{output}");
    assert!(
        output.contains("the daemon ended with signal: 9"),
        "{output}"
    );
    assert!(output.contains("usage-sync starts"), "{output}");
    wait_until("the end of all its processes", PATIENCE, async || {
        demo.processes().is_empty()
    })
    .await;
    let [log] = &demo.files()[..] else {
        panic!("{:?}", demo.files())
    };
    assert!(output.contains(log.as_str()), "{output}");
    assert!(Path::new(log).extension().is_some_and(|end| end == "log"));
}

#[tokio::test]
async fn a_missing_server_is_named_with_its_remedy() {
    let mut demo = Demo::start(&[], None);

    let (code, output) = demo.ended().await;

    assert_eq!(code, Some(69), "{output}");
    assert!(
        output.contains("is not installed on this machine: run bin/setup"),
        "{output}"
    );
    demo.leaves_nothing().await;
}

#[tokio::test]
async fn what_is_kept_can_be_used_until_ctrl_c() {
    let mut demo = Demo::with_path(&["--keep"]);
    demo.tells("Ctrl-C ends everything").await;

    let log = demo.process.log();
    let file = log.lines().find_map(|line| line.trim().strip_prefix(". "));
    let script = format!(". {} && usage-sync status", file.unwrap());
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]);
    let mut status = Daemon::spawn(shell);
    assert!(status.ended().await.success(), "{}", status.log());
    assert!(
        status.log().contains("rejected        0 ads"),
        "{}",
        status.log()
    );
    demo.process.sigint();
    let (code, output) = demo.ended().await;

    assert_eq!(code, Some(0), "{output}");
    demo.leaves_nothing().await;
}
