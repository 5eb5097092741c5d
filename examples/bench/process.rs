//! What Linux says of a process: memory and CPU, from `/proc`.

use std::fs;

use serde::Serialize;

/// Clock ticks a second in `/proc/*/stat`: 100 wherever Linux runs (proc(5)
/// gives them in `USER_HZ`).
const TICKS: f64 = 100.0;

/// Memory in use, in MB of 1,000,000 bytes.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Memory {
    /// Proportional share: pages shared with other processes count in part.
    pub(crate) pss: f64,
    /// All pages that are in memory.
    pub(crate) rss: f64,
}

impl Memory {
    /// Of a process, now; nothing when it is gone.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
        let megabytes = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            let kibibytes: f64 = line.split_whitespace().next()?.parse().ok()?;
            Some(kibibytes * 1024.0 / 1e6)
        };
        Some(Self {
            pss: megabytes("Pss:")?,
            rss: megabytes("Rss:")?,
        })
    }

    /// The greater of both, each for itself.
    pub(crate) fn max(self, other: Self) -> Self {
        Self {
            pss: self.pss.max(other.pss),
            rss: self.rss.max(other.rss),
        }
    }
}

/// Seconds of CPU that a process has used, with its children, those that have
/// ended included.
pub(crate) fn cpu_of_tree(pid: u32) -> f64 {
    let own = fields(pid);
    let children: f64 = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))
        .unwrap_or_default()
        .split_whitespace()
        .filter_map(|child| child.parse().ok())
        .map(cpu_of_tree)
        .sum();
    // utime, stime, cutime, cstime.
    own.iter().sum::<f64>() / TICKS + children
}

/// Fields 14 to 17. The name in field 2 may hold spaces, so they are counted
/// from behind it.
fn fields(pid: u32) -> Vec<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let behind = text.rsplit_once(") ").map_or("", |(_, behind)| behind);
    behind
        .split_whitespace()
        .skip(11)
        .take(4)
        .filter_map(|ticks| ticks.parse().ok())
        .collect()
}
