//! Data directories for new servers: made by `initdb`, or copied from one that
//! was made earlier, which takes a tenth of the time.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use nix::unistd::User;

use super::{Error, process, programs};

/// A copy has a log segment of 1 MB instead of 16, which would be the greater
/// part of an empty cluster.
const SMALL: &str = "--wal-segsize=1";
/// The server's own size.
const USUAL: &str = "--wal-segsize=16";

/// Makes a data directory as the server's packages do.
pub(super) fn fresh(data: &Path, user: Option<&User>) -> Result<(), Error> {
    initdb(data, user, USUAL)
}

/// Runs `initdb` as `user` (it refuses root, too).
fn initdb(data: &Path, user: Option<&User>, segment_size: &str) -> Result<(), Error> {
    let program = programs::find("initdb")?;
    let output = process::command(&program, user)
        .args(["--no-sync", "--auth=trust", "--username=postgres"])
        .args(["--locale=C", "--encoding=UTF8", segment_size])
        .arg("--pgdata")
        .arg(data)
        .current_dir("/")
        .stdin(Stdio::null())
        .output()
        .map_err(Error::io("run", &program))?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::Initdb {
        output: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

/// Copies the template in `cache` to `data`; makes the template if there is
/// none for this Postgres and this user yet.
///
/// Many processes may ask at the same time: one makes it, under a file lock,
/// and a template is never changed once it has its name.
pub(super) fn copy(cache: &Path, data: &Path, user: Option<&User>) -> Result<(), Error> {
    let template = cache.join(template_name(user)?);
    if !template.exists() {
        fs::create_dir_all(cache).map_err(Error::io("make", cache))?;
        let lock_path = template.with_extension("lock");
        let lock = File::create(&lock_path).map_err(Error::io("make", &lock_path))?;
        lock.lock().map_err(Error::io("lock", &lock_path))?;
        if !template.exists() {
            make(&template, user)?;
        }
    }
    copy_tree(&template, data, user)
}

fn make(template: &Path, user: Option<&User>) -> Result<(), Error> {
    // The server's user may have no way into the cache: it works in a directory of its own.
    let workshop = process::directory(None, user)?;
    let data = workshop.path().join("data");
    initdb(&data, user, SMALL)?;
    let draft = template.with_extension("draft");
    if draft.exists() {
        fs::remove_dir_all(&draft).map_err(Error::io("remove", &draft))?;
    }
    copy_tree(&data, &draft, None)?;
    fs::rename(&draft, template).map_err(Error::io("rename", &draft))
}

/// One template for each Postgres, whatever it is called inside.
fn template_name(user: Option<&User>) -> Result<PathBuf, Error> {
    let program = programs::find("postgres")?;
    let output = process::command(&program, user)
        .arg("--version")
        .current_dir("/")
        .output()
        .map_err(Error::io("run", &program))?;
    let version: String = String::from_utf8_lossy(&output.stdout)
        .split_whitespace()
        .nth(2)
        .unwrap_or("unknown")
        .replace('.', "_");
    let uid = nix::unistd::geteuid();
    Ok(PathBuf::from(format!("postgres-{version}-made-by-{uid}")))
}

fn copy_tree(from: &Path, to: &Path, user: Option<&User>) -> Result<(), Error> {
    fs::create_dir(to).map_err(Error::io("make", to))?;
    for entry in fs::read_dir(from).map_err(Error::io("read", from))? {
        let entry = entry.map_err(Error::io("read", from))?;
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_tree(&entry.path(), &target, user)?;
        } else {
            fs::copy(entry.path(), &target).map_err(Error::io("copy", &entry.path()))?;
            process::give(&target, user)?;
        }
    }
    // Postgres refuses a data directory that others may enter.
    let permissions = fs::metadata(from)
        .map_err(Error::io("read", from))?
        .permissions();
    fs::set_permissions(to, permissions).map_err(Error::io("change", to))?;
    process::give(to, user)
}
