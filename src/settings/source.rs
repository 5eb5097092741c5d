//! Where settings come from: defaults, a file over them, the environment over
//! both, merged into one table of texts that are not checked yet.
//!
//! The keys of `config/default.toml` are the only list of what can be set; the
//! variables' names follow from them.

use std::collections::BTreeMap;
use std::ffi::OsString;

use config::{Config, File, FileFormat, Source as _, Value, ValueKind};

use super::{Fault, Faults};

const DEFAULTS: &str = include_str!("../../config/default.toml");

/// Names the file that is laid over the defaults.
const FILE_VARIABLE: &str = "USAGE_SYNC_CONFIG";

/// Where an empty variable says something: the org has no such field.
const EMPTY_IS_A_VALUE: [&str; 2] = [
    "salesforce.revision_field",
    "contract.product_external_id_field",
];

/// Sections whose prefix other programs use as well, Heroku and Django among
/// them: only what looks like a typo of ours is worth a word there.
const SHARED_PREFIXES: [&str; 4] = ["DATABASE_", "REDIS_", "LOG_", "WEB_"];

/// The settings as they were found.
///
/// Holds secrets as plain text, so it neither prints nor leaves this module
/// unchecked. What a command needs is checked when it asks for it: `migrate`
/// runs in Heroku's release phase, before anybody has set up Salesforce.
pub struct Source {
    pub(super) values: BTreeMap<String, String>,
    pub(super) faults: Vec<Fault>,
    pub(super) no_color: bool,
    warnings: Vec<Fault>,
}

impl Source {
    /// Reads the environment of this process; nothing else in the crate does.
    pub fn of_process() -> Self {
        Self::read(std::env::vars_os())
    }

    /// Reads an environment given by hand, and the file that it names.
    pub fn read<K, V>(environment: impl IntoIterator<Item = (K, V)>) -> Self
    where
        K: Into<OsString>,
        V: Into<OsString>,
    {
        let mut source = Self {
            values: table(DEFAULTS).unwrap_or_default(),
            faults: Vec::new(),
            no_color: false,
            warnings: Vec::new(),
        };
        let keys: BTreeMap<String, String> = source
            .values
            .keys()
            .map(|key| (variable_of(key), key.clone()))
            .collect();

        let mut layer = BTreeMap::new();
        let mut path = None;
        for (name, value) in environment {
            // A name that is not text is none of ours.
            let Ok(name) = name.into().into_string() else {
                continue;
            };
            let value = value.into();
            match (name.as_str(), keys.get(&name)) {
                ("NO_COLOR", _) => source.no_color = !value.is_empty(),
                (FILE_VARIABLE, _) => path = Some(value).filter(|path| !path.is_empty()),
                (_, Some(key)) => source.lay(&mut layer, key, &name, value),
                (_, None) => source.warnings.extend(doubt(&name, &keys)),
            }
        }
        if let Some(path) = path {
            source.add_file(&path);
        }
        source.values.extend(layer);
        source
    }

    fn lay(
        &mut self,
        layer: &mut BTreeMap<String, String>,
        key: &str,
        name: &str,
        value: OsString,
    ) {
        let Ok(value) = value.into_string() else {
            self.fault(name, "is not valid UTF-8", "set it again as plain text");
            return;
        };
        if EMPTY_IS_A_VALUE.contains(&key) || !value.trim().is_empty() {
            layer.insert(key.to_owned(), value);
        }
    }

    fn add_file(&mut self, path: &OsString) {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => {
                let what = format!("names a file that cannot be read ({})", error.kind());
                self.fault(
                    FILE_VARIABLE,
                    &what,
                    "correct the path, or unset the variable",
                );
                return;
            }
        };
        let file = match table(&text) {
            Ok(file) => file,
            Err(reason) => {
                let what = format!("names a file that is not usable TOML ({reason})");
                self.fault(FILE_VARIABLE, &what, "correct the file");
                return;
            }
        };
        for (key, value) in file {
            if let Some(default) = self.values.get_mut(&key) {
                *default = value;
                continue;
            }
            let remedy = match nearest(&key, self.values.keys()) {
                Some(known) => format!("did you mean {known}?"),
                None => "config/default.toml has every key".to_owned(),
            };
            let variable = format!("{FILE_VARIABLE}: {key}");
            self.fault(&variable, "is not a setting", &remedy);
        }
    }

    fn fault(&mut self, variable: &str, what: &str, remedy: &str) {
        self.faults.push(Fault {
            variable: variable.to_owned(),
            what: what.to_owned(),
            remedy: remedy.to_owned(),
        });
    }

    /// What looks wrong and stops nothing: variables that nobody reads,
    /// protection that is switched off. The command logs them.
    pub fn warnings(&self) -> Faults {
        let mut warnings = self.warnings.clone();
        warnings.extend(self.switched_off());
        Faults(warnings)
    }

    fn switched_off(&self) -> Option<Fault> {
        let value = |key| self.values.get(key).map_or("", String::as_str);
        let unverified =
            value("redis.tls_verify") == "none" && value("redis.url").starts_with("rediss:");
        unverified.then(|| Fault {
            variable: "REDIS_TLS_VERIFY".to_owned(),
            what: "is none, so anybody in between can pass for the Redis server".to_owned(),
            remedy: "use full where the server has a certificate that can be verified".to_owned(),
        })
    }
}

/// The environment variable of a key: `queue.max` is `QUEUE_MAX`.
pub(super) fn variable_of(key: &str) -> String {
    key.replace('.', "_").to_uppercase()
}

/// The leaves of a TOML text, `section.key` to text.
///
/// The error is the first line of the parser's, which says where; the lines
/// after it quote the file, and with it perhaps a secret.
fn table(text: &str) -> Result<BTreeMap<String, String>, String> {
    let parsed = Config::builder()
        .add_source(File::from_str(text, FileFormat::Toml))
        .build()
        .and_then(|config| config.collect())
        .map_err(|error| {
            error
                .to_string()
                .lines()
                .next()
                .unwrap_or_default()
                .to_owned()
        })?;
    let mut leaves = BTreeMap::new();
    for (key, value) in parsed {
        flatten(key, value, &mut leaves)?;
    }
    Ok(leaves)
}

fn flatten(
    path: String,
    value: Value,
    leaves: &mut BTreeMap<String, String>,
) -> Result<(), String> {
    if let ValueKind::Table(table) = value.kind {
        for (key, value) in table {
            flatten(format!("{path}.{key}"), value, leaves)?;
        }
        return Ok(());
    }
    let Ok(text) = value.into_string() else {
        return Err(format!("{path} is a list; every setting is one value"));
    };
    leaves.insert(path, text);
    Ok(())
}

/// A word about a variable that nobody reads, if it looks like one of ours.
fn doubt(name: &str, keys: &BTreeMap<String, String>) -> Option<Fault> {
    let near = nearest(name, keys.keys());
    let prefix = name.split_inclusive('_').next().unwrap_or_default();
    let ours = name.starts_with("USAGE_SYNC_")
        || (prefix.ends_with('_') && keys.keys().any(|known| known.starts_with(prefix)));
    if near.is_none() && (!ours || SHARED_PREFIXES.contains(&prefix)) {
        return None;
    }
    let remedy = near.map_or_else(
        || "unset it, unless another program reads it".to_owned(),
        |known| format!("did you mean {known}?"),
    );
    Some(Fault {
        variable: name.to_owned(),
        what: "is not a setting of usage-sync".to_owned(),
        remedy,
    })
}

/// The known name that was probably meant: at most two letters away, and
/// short names are too close to everything to guess.
fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a String>) -> Option<&'a String> {
    known
        .filter(|known| known.len() >= 8)
        .map(|known| (strsim::osa_distance(name, known), known))
        .filter(|(distance, _)| *distance <= 2)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_parse() {
        let defaults = table(DEFAULTS).unwrap();

        assert_eq!(defaults["queue.max"], "50000");
        assert_eq!(defaults["port"], "8080");
        assert_eq!(variable_of("port"), "PORT");
    }

    #[test]
    fn variables_that_nobody_reads_are_named_only_if_they_look_like_ours() {
        let cases = [
            (
                "SALESFORCE_LOGIN_ULR",
                Some("did you mean SALESFORCE_LOGIN_URL?"),
            ),
            (
                "SALEFORCE_CLIENT_ID",
                Some("did you mean SALESFORCE_CLIENT_ID?"),
            ),
            ("DATABASE_URI", Some("did you mean DATABASE_URL?")),
            (
                "RETRY_FOREVER",
                Some("unset it, unless another program reads it"),
            ),
            (
                "USAGE_SYNC_TOKEN",
                Some("unset it, unless another program reads it"),
            ),
            ("DATABASE_CONNECTION_POOL_URL", None),
            ("REDIS_TLS_URL", None),
            ("WEB_CONCURRENCY", None),
            ("HEROKU_POSTGRESQL_AMBER_URL", None),
            ("PATH", None),
            ("POST", None),
        ];
        for (name, remedy) in cases {
            let warnings = Source::read([(name, "1")]).warnings().0;

            let found = warnings.first().map(|fault| fault.remedy.as_str());
            assert_eq!(found, remedy, "{name}");
        }
    }

    #[test]
    fn the_environment_wins_over_the_file_and_the_file_over_the_defaults() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, "port = 1\n[queue]\nmax = 7\nname = 'a'\n").unwrap();
        let environment = [
            ("USAGE_SYNC_CONFIG", file.path().as_os_str()),
            ("QUEUE_NAME", "b".as_ref()),
            ("QUEUE_LEASE", "".as_ref()),
        ];

        let source = Source::read(environment);

        let expected = [
            ("port", "1"),
            ("queue.max", "7"),
            ("queue.name", "b"),
            ("queue.lease", "15s"),
        ];
        for (key, value) in expected {
            assert_eq!(source.values[key], value, "{key}");
        }
        assert_eq!(source.faults, []);
    }

    #[test]
    fn a_file_with_an_unknown_key_or_no_toml_is_a_fault_that_quotes_nothing() {
        let cases = [
            (
                "[queue]\nmaks = 7",
                "USAGE_SYNC_CONFIG: queue.maks is not a setting: did you mean queue.max?",
            ),
            (
                "queue = 7",
                "USAGE_SYNC_CONFIG: queue is not a setting: config/default.toml has every key",
            ),
            (
                "[redis]\nurl = [1]",
                "USAGE_SYNC_CONFIG names a file that is not usable TOML (redis.url is a list; every setting is one value): correct the file",
            ),
            (
                "[redis]\nurl = 'sesame",
                "USAGE_SYNC_CONFIG names a file that is not usable TOML (TOML parse error at line 2, column 14): correct the file",
            ),
        ];
        for (text, fault) in cases {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(&file, text).unwrap();

            let source = Source::read([("USAGE_SYNC_CONFIG", file.path())]);

            let found: Vec<String> = source.faults.iter().map(ToString::to_string).collect();
            assert_eq!(found, [fault]);
        }
    }
}
