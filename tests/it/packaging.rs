//! What is shipped around the binary agrees with it: Procfile, Dockerfile,
//! app.json, config/default.toml and the commands.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use config::{Config, File, FileFormat};
use serde_json::Value;

use crate::support::Daemon;

/// Set by the platform, so app.json need not ask for them.
const GIVEN: [&str; 3] = ["DATABASE_URL", "REDIS_URL", "PORT"];
/// Says where settings are, so it is none itself.
const SETTINGS_FILE: &str = "USAGE_SYNC_CONFIG";

fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// `key` in `[section]` is `SECTION_KEY`; a key ahead of all sections stands alone.
fn variables_of_default_toml() -> BTreeSet<String> {
    let settings: Value = Config::builder()
        .add_source(File::from_str(
            &read("config/default.toml"),
            FileFormat::Toml,
        ))
        .build()
        .and_then(Config::try_deserialize)
        .expect("config/default.toml is TOML");
    let mut variables = BTreeSet::new();
    for (section, value) in settings.as_object().expect("a TOML file is a table") {
        match value {
            Value::Object(keys) => {
                variables.extend(keys.keys().map(|key| format!("{section}_{key}")));
            }
            _ => {
                variables.insert(section.clone());
            }
        }
    }
    variables.iter().map(|name| name.to_uppercase()).collect()
}

fn app_json() -> Value {
    serde_json::from_str(&read("app.json")).expect("app.json is JSON")
}

fn processes_of_procfile() -> Vec<(String, Vec<String>)> {
    read("Procfile")
        .lines()
        .map(|line| {
            let (name, command) = line.split_once(": ").expect("`name: command`");
            let words = command.split_whitespace().map(str::to_owned).collect();
            (name.to_owned(), words)
        })
        .collect()
}

#[test]
fn app_json_describes_every_setting_and_no_other() {
    let mut settings = variables_of_default_toml();
    let app = app_json();
    let described = app["env"].as_object().expect("app.json has `env`");

    let unknown: Vec<&String> = described
        .keys()
        .filter(|name| !settings.contains(*name) && *name != SETTINGS_FILE)
        .collect();
    for given in GIVEN {
        assert!(settings.remove(given), "{given} is a setting");
    }
    let missing: Vec<&String> = settings
        .iter()
        .filter(|name| !described.contains_key(*name))
        .collect();

    assert!(
        unknown.is_empty(),
        "app.json names what is no setting: {unknown:?}"
    );
    assert!(missing.is_empty(), "app.json lacks settings: {missing:?}");
    for (name, variable) in described {
        let description = variable["description"].as_str().unwrap_or_default();
        assert!(!description.is_empty(), "{name} has no description");
    }
}

#[test]
fn app_json_runs_a_process_of_the_procfile() {
    let names: Vec<String> = processes_of_procfile()
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    let app = app_json();
    let formation = app["formation"].as_object().expect("a formation");

    assert!(!formation.is_empty());
    for name in formation.keys() {
        assert!(names.contains(name), "the Procfile has no process {name}");
    }
}

#[tokio::test]
async fn every_command_of_the_procfile_exists() {
    let processes = processes_of_procfile();
    assert_eq!(
        processes.iter().map(|(name, _)| name).collect::<Vec<_>>(),
        ["worker", "web", "release"]
    );

    for (name, words) in processes {
        let [program, arguments @ ..] = words.as_slice() else {
            panic!("{name} runs nothing")
        };
        assert_eq!(program, env!("CARGO_PKG_NAME"));
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut help = Daemon::start(&[&arguments[..], &["--help"]].concat(), []);

        let status = help.ended().await;

        assert!(status.success(), "{name}: {}", help.log());
        let usage = format!("usage-sync {}", arguments.join(" "));
        assert!(help.log().contains(&usage), "{name}: {}", help.log());
    }
}

#[test]
fn the_image_is_small_unprivileged_and_hears_sigterm() {
    let dockerfile = read("Dockerfile");
    let (build, runtime) = dockerfile
        .split_once("\nFROM ${RUNTIME_IMAGE}\n")
        .expect("a second stage");

    for command in build.lines().filter(|line| line.contains("cargo ")) {
        assert!(command.contains("--locked"), "{command}");
        assert!(command.contains("--no-default-features"), "{command}");
    }
    assert!(build.contains("cargo install"), "something is built");
    let user = runtime
        .lines()
        .find_map(|line| line.strip_prefix("USER "))
        .expect("a USER");
    assert!(!user.starts_with('0') && user != "root", "{user}");
    assert!(
        runtime.contains("\nCMD [\"usage-sync\", \"run\"]\n"),
        "exec form: no shell between SIGTERM and the daemon"
    );
    assert!(runtime.contains("\nSTOPSIGNAL SIGTERM\n"));
    assert!(!runtime.contains("ENTRYPOINT"), "Heroku runs any command");
}

/// A secret in the build context could end up in a layer of the image.
#[test]
fn the_build_context_holds_only_what_is_built() {
    let ignored = read(".dockerignore");
    let mut rules = ignored
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));

    assert_eq!(rules.next(), Some("*"), "everything is left out");
    let allowed: BTreeSet<&str> = rules.filter_map(|rule| rule.strip_prefix('!')).collect();
    let copied: BTreeSet<&str> = ["Cargo.toml", "Cargo.lock", "src", "config", "migrations"].into();
    assert_eq!(allowed, copied, "but for what the Dockerfile copies");
    for path in copied {
        assert!(read("Dockerfile").contains(path), "{path} is copied");
    }
}

/// Every Rust file below a folder, as one text.
fn sources(folder: &str) -> String {
    let mut text = String::new();
    let mut open = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).expect("a folder of sources");
            open.extend(entries.map(|entry| entry.expect("an entry").path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text += &fs::read_to_string(&path).expect("a source is text");
        }
    }
    text
}

#[test]
fn the_page_of_faults_names_every_test_of_a_fault_and_none_that_is_not_there() {
    let page = read("docs/reliability.md");
    let listed = page
        .lines()
        .filter_map(|line| line.strip_prefix("- `")?.split('`').next())
        .filter(|name| !name.contains(' '));
    let listed: BTreeSet<&str> = listed.filter_map(|path| path.rsplit("::").next()).collect();
    let written = sources("tests/it") + &sources("src");
    let is_there = |name: &&&str| written.contains(&format!("fn {name}("));
    let faults = sources("tests/it/faults");
    let of_faults: BTreeSet<&str> = faults
        .split("fn f")
        .skip(1)
        .filter(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
        .filter_map(|rest| rest.split('(').next())
        .collect();

    let gone: Vec<&&str> = listed.iter().filter(|name| !is_there(name)).collect();
    let unlisted: Vec<&&str> = of_faults
        .iter()
        .filter(|rest| !listed.contains(format!("f{rest}").as_str()))
        .collect();

    assert!(gone.is_empty(), "no such tests: {gone:?}");
    assert!(
        unlisted.is_empty(),
        "not in docs/reliability.md: {unlisted:?}"
    );
    assert!(listed.len() > 100, "{} tests are listed", listed.len());
}
