//! Finds the servers' programs, and the user that may run Postgres.

use std::env;
use std::path::{Path, PathBuf};

use nix::unistd::{User, geteuid};

use super::Error;

/// Debian keeps Postgres' server programs out of `PATH`, one folder a version.
const DEBIAN_POSTGRES: &str = "/usr/lib/postgresql";

/// A program of Postgres or Redis by its name: in `PATH`, else the newest of
/// Debian's.
pub fn find(program: &'static str) -> Result<PathBuf, Error> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
        .or_else(|| newest_of_debian(program))
        .ok_or(Error::Missing { program })
}

fn newest_of_debian(program: &str) -> Option<PathBuf> {
    let version = |folder: &Path| folder.file_name()?.to_str()?.parse::<u32>().ok();
    Path::new(DEBIAN_POSTGRES)
        .read_dir()
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|folder| folder.join("bin").join(program).is_file())
        .max_by_key(|folder| version(folder))
        .map(|folder| folder.join("bin").join(program))
}

/// The user that Postgres is started as; `None` means as oneself.
///
/// Postgres refuses to run as root, so root starts it as `postgres`, which the
/// package creates, or as `nobody`.
pub(super) fn postgres_user() -> Option<User> {
    if !geteuid().is_root() {
        return None;
    }
    ["postgres", "nobody"]
        .into_iter()
        .find_map(|name| User::from_name(name).ok().flatten())
}
