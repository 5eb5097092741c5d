//! The daemons of a history: real processes, each with wires of its own to
//! Redis and Postgres.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::process::ExitStatusExt,
    time::{Duration, Instant},
};

use super::{Failed, log};
use crate::support::{Daemon, Proxy};

/// How long a daemon may take to stop; what it is told is less.
const STOP: Duration = Duration::from_secs(15);
/// Memory of a daemon at most, built for tests as it is.
const RESIDENT_KB: u64 = 200_000;
const SIGTERM: i32 = 15;

/// One place for a daemon.
pub(super) struct Post {
    pub(super) redis: Proxy,
    pub(super) postgres: Proxy,
    environment: Vec<(&'static str, String)>,
    daemon: Option<Daemon>,
    frozen: bool,
}

/// All daemons.
pub(super) struct Fleet {
    pub(super) posts: Vec<Post>,
    /// Told to stop, and when.
    leaving: Vec<(String, Daemon, Instant)>,
    /// What the ended ones have printed.
    logs: BTreeMap<String, String>,
    started: usize,
}

impl Fleet {
    /// As many daemons as there are environments, each behind proxies.
    pub(super) async fn new(environments: Vec<Vec<(&'static str, String)>>) -> Self {
        let mut posts = Vec::new();
        for mut environment in environments {
            let redis = behind(&mut environment, "REDIS_URL").await;
            let postgres = behind(&mut environment, "DATABASE_URL").await;
            posts.push(Post {
                redis,
                postgres,
                environment,
                daemon: None,
                frozen: false,
            });
        }
        let mut fleet = Self {
            posts,
            leaving: Vec::new(),
            logs: BTreeMap::new(),
            started: 0,
        };
        for post in 0..fleet.posts.len() {
            fleet.start(post);
        }
        fleet
    }

    pub(super) fn start(&mut self, post: usize) {
        let post = &mut self.posts[post];
        if post.daemon.is_none() {
            self.started += 1;
            post.daemon = Some(Daemon::start(&["run"], post.environment.clone()));
        }
    }

    pub(super) async fn kill(&mut self, post: usize) {
        if let Some(mut daemon) = self.posts[post].daemon.take() {
            daemon.kill_9();
            daemon.ended().await;
            self.keep(post, &daemon, "killed");
        }
    }

    /// Tells one to stop, so many times.
    pub(super) fn stop(&mut self, post: usize, times: u64) {
        if let Some(daemon) = self.posts[post].daemon.take() {
            for _ in 0..times {
                daemon.sigterm();
            }
            let name = Self::name(post, &daemon, "stopped");
            self.leaving.push((name, daemon, Instant::now()));
        }
    }

    pub(super) fn freeze(&mut self, post: usize) {
        let post = &mut self.posts[post];
        if let Some(daemon) = &post.daemon {
            daemon.freeze();
            post.frozen = true;
        }
    }

    pub(super) fn thaw(&mut self, post: usize) {
        let post = &mut self.posts[post];
        if let Some(daemon) = &post.daemon {
            daemon.thaw();
            post.frozen = false;
        }
    }

    /// Whether none that was told to stop is still there.
    pub(super) fn have_left(&self) -> bool {
        self.leaving.is_empty()
    }

    /// No daemon ends by itself, takes too long to stop, or grows.
    pub(super) async fn check(&mut self) -> Result<(), Failed> {
        for (number, post) in self.posts.iter_mut().enumerate() {
            let Some(daemon) = &mut post.daemon else {
                continue;
            };
            if !daemon.is_running() {
                let status = daemon.ended().await;
                return Err(Failed(format!("daemon {number} ended by itself: {status}")));
            }
            let resident = resident_kb(daemon.pid());
            if resident > RESIDENT_KB {
                return Err(Failed(format!("daemon {number} takes {resident} KB")));
            }
        }
        let mut place = 0;
        while place < self.leaving.len() {
            let (name, daemon, since) = &mut self.leaving[place];
            if daemon.is_running() {
                if since.elapsed() > STOP {
                    return Err(Failed(format!("{name} does not stop")));
                }
                place += 1;
                continue;
            }
            let (name, mut daemon, _) = self.leaving.swap_remove(place);
            let status = daemon.ended().await;
            let log = daemon.log();
            // Before it listens for signals there is nothing to finish.
            let unborn = status.signal() == Some(SIGTERM) && log.is_empty();
            self.logs.insert(name.clone(), log);
            if !status.success() && !unborn {
                return Err(Failed(format!("{name} ended with {status}")));
            }
        }
        Ok(())
    }

    /// What the running daemons have said that began and is not over.
    pub(super) fn open_troubles(&self) -> Vec<String> {
        let mut open = Vec::new();
        for (number, post) in self.posts.iter().enumerate() {
            let log = post.daemon.as_ref().map(Daemon::log).unwrap_or_default();
            for trouble in log::open_troubles(&log) {
                open.push(format!("daemon {number} never said the end of {trouble:?}"));
            }
        }
        open
    }

    /// How many lines a started daemon has printed on the average.
    pub(super) fn lines_each(&self) -> usize {
        let lines: usize = self.logs().values().map(|log| log.lines().count()).sum();
        lines / self.started.max(1)
    }

    /// Everything that was printed so far, by daemon.
    pub(super) fn logs(&self) -> BTreeMap<String, String> {
        let mut logs = self.logs.clone();
        for (number, post) in self.posts.iter().enumerate() {
            if let Some(daemon) = &post.daemon {
                logs.insert(Self::name(number, daemon, "running"), daemon.log());
            }
        }
        for (name, daemon, _) in &self.leaving {
            logs.insert(name.clone(), daemon.log());
        }
        logs
    }

    fn keep(&mut self, post: usize, daemon: &Daemon, end: &str) {
        let name = Self::name(post, daemon, end);
        self.logs.insert(name, daemon.log());
    }

    fn name(post: usize, daemon: &Daemon, end: &str) -> String {
        format!("daemon-{post}-{}-{end}", daemon.pid())
    }
}

/// Puts a proxy in front of what a variable names.
async fn behind(environment: &mut [(&'static str, String)], name: &str) -> Proxy {
    let (_, url) = environment
        .iter_mut()
        .find(|(known, _)| *known == name)
        .expect("it is set");
    let proxy = Proxy::in_front_of(url).await;
    *url = proxy.url();
    proxy
}

/// As Linux counts it; elsewhere nothing is known.
fn resident_kb(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
        .unwrap_or(0)
}
