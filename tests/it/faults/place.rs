//! The right place: an older or another database, another org, a pause, and
//! what a person does about it. Backfills and retries in bulk, too.

mod bulk;
mod org;
mod restored;
mod unwatched;

use serde_json::Value;

use crate::support::{Daemon, World};

const REFUSES: &str = "this is not where reports went out from";

impl World {
    /// A command under settings of its own: exit code and what it printed.
    async fn command_with(
        &self,
        arguments: &[&str],
        settings: &[(&'static str, &str)],
    ) -> (i32, String) {
        let mut environment = self.environment();
        environment.retain(|(name, _)| settings.iter().all(|(own, _)| own != name));
        let own = settings
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()));
        environment.extend(own);
        let mut command = Daemon::start(arguments, environment);
        let status = command.ended().await;
        (status.code().expect("it ends by itself"), command.log())
    }

    /// The answer of `status --json`.
    async fn status_json(&self) -> Value {
        let (exit, out) = self.command(&["status", "--json"]).await;
        assert_eq!(exit, 0, "{out}");
        let line = out.lines().find(|line| line.starts_with('{'));
        serde_json::from_str(line.expect("one line of JSON")).expect("JSON")
    }

    /// Message and remedy of the item `name` of `check --json`, and the exit code.
    async fn checked(&self, name: &str) -> (i32, String, String, String) {
        let (exit, out) = self.command(&["check", "--json"]).await;
        let line = out.lines().find(|line| line.starts_with('{'));
        let answer: Value = serde_json::from_str(line.expect("one line of JSON")).expect("JSON");
        let items = answer["items"].as_array().expect("items");
        let item = items.iter().find(|item| item["name"] == name);
        let item = item.unwrap_or_else(|| panic!("no item {name}: {out}"));
        let text = |key: &str| item[key].as_str().expect("a text").to_owned();
        (exit, text("state"), text("message"), text("remedy"))
    }
}
