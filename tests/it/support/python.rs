//! A Python with what a test asks for, made once for each list of packages.

use std::collections::hash_map::DefaultHasher;
use std::fs::{self, File};
use std::hash::{Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Why there is no such Python on this machine, which is nobody's fault.
pub(crate) struct Unavailable(pub(crate) String);

/// What pip says when the network is at fault, and not the list of packages: an
/// index that offers no version of what surely exists is out of reach.
const NETWORK: [&str; 3] = ["(from versions: none)", "Connection", "timed out"];

/// The `python` of a virtual environment that has what a `requirements.txt` lists.
pub(crate) fn python(name: &str, requirements: &Path) -> Result<PathBuf, Unavailable> {
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
    if NETWORK.iter().any(|words| why.contains(words)) {
        return Err(Unavailable(format!("PyPI cannot be reached: {why}")));
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
