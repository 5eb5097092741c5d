//! Where a server's files cost no disk.

use std::path::{Path, PathBuf};

use nix::sys::statvfs::statvfs;

/// Linux' file system in memory.
const SHARED_MEMORY: &str = "/dev/shm";
/// Room for the servers of several tests; a container often has but 64 MB.
const ROOM: u64 = 1 << 30;

/// A parent for directories that need not outlive the machine's next start, if
/// this machine has one with room enough: a Postgres starts there three times as
/// fast as on a busy disk.
pub fn memory() -> Option<PathBuf> {
    let place = Path::new(SHARED_MEMORY);
    let free = statvfs(place).ok()?;
    #[allow(
        clippy::useless_conversion,
        reason = "the counters are narrower on other systems"
    )]
    let bytes = u64::from(free.blocks_available()) * u64::from(free.fragment_size());
    (bytes >= ROOM).then(|| place.to_owned())
}
