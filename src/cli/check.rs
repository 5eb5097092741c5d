//! `usage-sync check`: everything that has to be in place, and what to do
//! where it is not.

mod contracts;
mod place;
mod postgres;
mod redis;
mod salesforce;

use std::{
    fmt,
    io::{IsTerminal as _, Write as _},
};

use serde::Serialize;
use usage_sync::settings::Settings;

use super::{Exit, Failure, args::CheckArgs};

/// How one thing stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    Warning,
    Failed,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
        })
    }
}

/// One line of the answer.
#[derive(Debug, Serialize)]
struct Item {
    name: &'static str,
    state: State,
    message: String,
    /// What to do; empty where nothing is.
    remedy: String,
}

impl Item {
    fn ok(name: &'static str, message: impl Into<String>) -> Self {
        Self::new(name, State::Ok, message, "")
    }

    fn warning(name: &'static str, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(name, State::Warning, message, remedy)
    }

    fn failed(name: &'static str, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(name, State::Failed, message, remedy)
    }

    fn new(
        name: &'static str,
        state: State,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            name,
            state,
            message: message.into(),
            remedy: remedy.into(),
        }
    }
}

/// Looks at everything and says how it stands. Changes nothing.
pub(super) async fn run(settings: &Settings, args: &CheckArgs) -> Result<Exit, Failure> {
    let (database, queue, org, place) = tokio::join!(
        postgres::check(settings),
        redis::check(settings),
        salesforce::check(settings),
        place::check(settings),
    );
    // Whoever gets here has settings without a fault.
    let mut items = vec![Item::ok("settings", "complete and consistent")];
    items.extend(database);
    items.extend(queue);
    items.extend(org);
    items.extend(place);
    print(&items, args.json, settings.log.color)?;
    let failed = items.iter().any(|item| item.state == State::Failed);
    Ok(if failed { Exit::Found } else { Exit::Done })
}

fn print(items: &[Item], json: bool, color: bool) -> Result<(), Failure> {
    let mut out = std::io::stdout();
    if json {
        let text = serde_json::json!({ "items": items });
        writeln!(out, "{text}")?;
        return Ok(());
    }
    let color = color && out.is_terminal();
    let width = items.iter().map(|item| item.name.len()).max().unwrap_or(0);
    for item in items {
        let (on, off) = match (color, item.state) {
            (false, _) => ("", ""),
            (true, State::Ok) => ("\u{1b}[32m", "\u{1b}[0m"),
            (true, State::Warning) => ("\u{1b}[33m", "\u{1b}[0m"),
            (true, State::Failed) => ("\u{1b}[31m", "\u{1b}[0m"),
        };
        let (state, name, message) = (item.state, item.name, &item.message);
        writeln!(out, "{on}{state:<8}{off} {name:<width$}  {message}")?;
        if !item.remedy.is_empty() {
            writeln!(out, "{:8} {:width$}  → {}", "", "", item.remedy)?;
        }
    }
    Ok(())
}
