//! A Python with what a test asks for, made once for each list of packages.

use std::collections::hash_map::DefaultHasher;
use std::fs::{self, File};
use std::hash::{Hash as _, Hasher as _};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Why there is no such Python on this machine, which is nobody's fault.
struct Unavailable(String);

/// What pip says when the index is at fault, and not the list of packages: it is
/// out of reach, or a mirror that does not have them yet.
const ELSEWHERE: [&str; 3] = ["No matching distribution", "Connection", "timed out"];

/// Notes that `what` could not be tested on this machine; `bin/test` tells it at
/// its end, since nobody reads what a test says that passes.
pub(crate) fn skipped(what: &str, why: &str) {
    eprintln!("{what} was not tested: {why}");
    let list = Path::new(env!("CARGO_TARGET_TMPDIR")).join("skipped");
    let list = File::options().append(true).create(true).open(list);
    let mut list = list.expect("target is ours");
    let why = why.lines().last().unwrap_or_default();
    writeln!(list, "{what}: {why}").expect("target is ours");
}

/// The `python` of a virtual environment that has what a `requirements.txt` lists;
/// none where that cannot be had, which is noted.
pub(crate) fn python(name: &str, requirements: &Path) -> Option<PathBuf> {
    match made(name, requirements) {
        Ok(python) => Some(python),
        Err(Unavailable(why)) => {
            skipped(name, &why);
            None
        }
    }
}

fn made(name: &str, requirements: &Path) -> Result<PathBuf, Unavailable> {
    let mut hasher = DefaultHasher::new();
    fs::read(requirements)
        .expect("it is committed")
        .hash(&mut hasher);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).expect("target is ours");
    let folder = folder.join(format!("{:016x}", hasher.finish()));

    // Tests are processes of their own: one makes it, the others wait.
    let lock = File::create(folder.with_extension("lock")).expect("target is ours");
    lock.lock().expect("files can be locked here");
    let complete = folder.join("complete");
    let python = folder.join("bin/python");
    if !complete.exists() {
        make(&folder, &python, requirements)?;
        File::create(complete).expect("target is ours");
    }
    Ok(python)
}

fn make(folder: &Path, python: &Path, requirements: &Path) -> Result<(), Unavailable> {
    let mut venv = Command::new("python3");
    venv.args(["-m", "venv", "--clear"]).arg(folder);
    if let Err(why) = run(&mut venv) {
        return Err(Unavailable(format!("python3 makes no venv: {why}")));
    }
    let mut pip = Command::new(python);
    pip.args(["-m", "pip", "install", "--quiet", "--requirement"])
        .arg(requirements);
    let Err(why) = run(&mut pip) else {
        return Ok(());
    };
    if ELSEWHERE.iter().any(|words| why.contains(words)) {
        return Err(Unavailable(format!("PyPI does not give it: {why}")));
    }
    panic!("requirements.txt cannot be installed: {why}");
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let (out, error) = (&output.stdout, &output.stderr);
    Err([out, error]
        .map(|text| String::from_utf8_lossy(text))
        .concat())
}
