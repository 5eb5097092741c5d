//! The real program with settings as people get them wrong, and what it says.

use std::io::Read as _;
use std::process::{Command, Output, Stdio};

/// Stands in for every secret; it must never come back.
const SECRET: &str = "open-sesame-4711";

fn usage_sync(arguments: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_usage-sync"));
    command
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied());
    command
}

fn output(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    usage_sync(arguments, environment).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The variables that the lines of faults begin with.
fn named(output: &Output) -> Vec<String> {
    let first_word = |line: &str| line.trim().split([' ', ':']).next().unwrap().to_owned();
    stderr(output).lines().skip(1).map(first_word).collect()
}

#[test]
fn an_empty_environment_is_told_everything_that_is_missing() {
    let output = output(&["run"], &[]);

    assert_eq!(output.status.code(), Some(78));
    assert_eq!(
        named(&output),
        [
            "DATABASE_URL",
            "REDIS_URL",
            "SALESFORCE_CLIENT_ID",
            "SALESFORCE_PRIVATE_KEY"
        ]
    );
    assert!(stderr(&output).starts_with("usage-sync: 4 settings are wrong:\n"));
    assert!(output.stdout.is_empty());
}

#[test]
fn all_faults_are_named_and_no_value_is_shown() {
    let with_secret = |text: &str| text.replace('*', SECRET);
    let values = [
        (
            "DATABASE_URL",
            with_secret("postgres://app:*#*@db.example/ads"),
        ),
        ("REDIS_URL", with_secret("redis//:*@redis.example")),
        (
            "SALESFORCE_LOGIN_URL",
            with_secret("http://user:*@login.salesforce.com"),
        ),
        ("SALESFORCE_CLIENT_ID", "3MVG9".to_owned()),
        ("SALESFORCE_USERNAME", "sync@example.com".to_owned()),
        (
            "SALESFORCE_PRIVATE_KEY",
            with_secret("-----BEGIN PRIVATE KEY-----*"),
        ),
        ("SALESFORCE_CLIENT_SECRET", with_secret("*")),
        ("SALESFORCE_REFRESH_TOKEN", with_secret("*")),
        ("SALESFORCE_TIMEOUT", with_secret("*")),
        ("SALESFORCE_OBJECT", with_secret("*")),
        ("QUEUE_MAX", with_secret("*")),
        ("LOG_LEVEL", with_secret("*")),
        ("WEB_TOKEN", "short".to_owned()),
    ];
    let environment: Vec<_> = values
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();

    let output = output(&["check"], &environment);

    assert_eq!(output.status.code(), Some(78));
    let named = named(&output);
    for (name, _) in &values {
        let expected = !["SALESFORCE_CLIENT_ID", "SALESFORCE_USERNAME"].contains(name);
        assert_eq!(
            named.iter().any(|found| found == name),
            expected,
            "{name} in {named:?}"
        );
    }
    let everything = [output.stdout, output.stderr].concat();
    let everything = String::from_utf8(everything).unwrap();
    assert!(!everything.contains("sesame"), "{everything}");
    assert!(!everything.contains("short\n"), "{everything}");
}

#[test]
fn a_file_with_a_fault_is_named_with_what_was_meant() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let text = format!("[salesforce]\nclient_secert = '{SECRET}'\n");
    std::fs::write(&file, text).unwrap();
    let path = file.path().to_str().unwrap();

    let output = output(
        &["migrate"],
        &[
            ("USAGE_SYNC_CONFIG", path),
            ("DATABASE_URL", "postgres://localhost/ads"),
        ],
    );

    assert_eq!(output.status.code(), Some(78));
    assert_eq!(
        stderr(&output),
        "usage-sync: a setting is wrong:\n  USAGE_SYNC_CONFIG: salesforce.client_secert is not a \
         setting: did you mean salesforce.client_secret?\n"
    );
}

#[test]
fn a_misspelt_variable_is_shown_next_to_what_is_missing() {
    let output = output(&["migrate"], &[("DATABASE_ULR", SECRET)]);

    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(78));
    assert!(said.contains("\n  DATABASE_URL is not set: "), "{said}");
    assert!(
        said.contains(
            "\n  DATABASE_ULR is not a setting of usage-sync: did you mean DATABASE_URL?"
        ),
        "{said}"
    );
    assert!(!said.contains(SECRET), "{said}");
}

#[test]
fn migrate_asks_for_the_database_only() {
    let output = output(&["migrate"], &[("SALESFORCE_PRIVATE_KEY", "broken")]);

    assert_eq!(output.status.code(), Some(78));
    assert_eq!(named(&output), ["DATABASE_URL"]);
}

#[test]
fn bad_usage_is_64_and_help_is_0() {
    let cases: [(&[&str], i32); 7] = [
        (&[], 64),
        (&["walk"], 64),
        (&["retry"], 64),
        (&["backfill", "--since", "soon"], 64),
        (&["--help"], 0),
        (&["status", "--help"], 0),
        (&["--version"], 0),
    ];
    for (arguments, code) in cases {
        let output = output(arguments, &[]);

        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        assert_eq!(output.stdout.is_empty(), code != 0, "{arguments:?}");
        assert_eq!(output.stderr.is_empty(), code == 0, "{arguments:?}");
    }
}

#[test]
fn output_that_nobody_reads_is_no_panic() {
    for arguments in [&["--help"][..], &["run"][..]] {
        let mut child = usage_sync(arguments, &[]);
        let mut child = child
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let mut said = String::new();
        if arguments == ["run"] {
            drop(child.stderr.take());
        } else {
            child
                .stderr
                .take()
                .unwrap()
                .read_to_string(&mut said)
                .unwrap();
        }

        let code = child.wait().unwrap().code();

        assert_eq!(
            code,
            Some(if arguments == ["run"] { 78 } else { 0 }),
            "{said}"
        );
        assert_eq!(said, "");
    }
}

#[test]
fn app_json_describes_every_variable_and_no_other() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |name: &str| std::fs::read_to_string(root.join(name)).unwrap();
    let app: serde_json::Value = serde_json::from_str(&read("app.json")).unwrap();

    let mut described: Vec<&str> = app["env"]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    described.sort_unstable();

    let mut section = String::new();
    let mut known = vec!["USAGE_SYNC_CONFIG".to_owned()];
    for line in read("config/default.toml").lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = format!("{}_", name.trim_end_matches(']'));
        } else if let Some((key, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
            known.push(format!("{section}{key}").to_uppercase());
        }
    }
    known.sort_unstable();
    assert_eq!(described, known);
    for (name, entry) in app["env"].as_object().unwrap() {
        assert!(entry["description"].as_str().unwrap().len() > 10, "{name}");
        assert_eq!(entry["required"], name == "SALESFORCE_CLIENT_ID", "{name}");
    }
}
