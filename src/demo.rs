//! The whole story on one machine: an app's real tables, a real daemon, real
//! servers, and the Salesforce sandbox over HTTP.
//!
//! Needs neither settings nor accounts, and leaves nothing behind: everything
//! that it starts is on free ports and in directories of its own, and goes
//! however the demo ends. The daemon is a process of its own and knows no more
//! than it would in production; the story only watches what Salesforce and the
//! app show.
//!
//! It is no test: it fails if the story does not go as told, but tells only
//! one.

mod app;
mod burst;
mod compare;
mod daemon;
mod keep;
mod org;
mod screen;
mod stage;
mod story;

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Instant;

use crate::shutdown::Shutdown;
use crate::{local, sandbox};
use screen::Screen;
use stage::Stage;

/// Why the story was not told to its end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A private server is not there.
    #[error("a private server does not run")]
    Server(#[source] local::Error),
    /// The sandbox is not there.
    #[error("the sandbox does not run")]
    Sandbox(#[source] sandbox::Error),
    /// The sandbox did not answer the demo itself.
    #[error("the sandbox did not do what the demo wants of it")]
    Http(#[source] reqwest::Error),
    /// An answer that cannot be read.
    #[error("an answer is not the JSON that it should be")]
    Json(#[source] serde_json::Error),
    /// A statement of the app was refused.
    #[error("postgres refused a statement of the app")]
    Sql(#[source] sqlx::Error),
    /// Redis did not answer the demo itself.
    #[error("redis did not answer")]
    Redis(#[source] redis::RedisError),
    /// A file or process operation of this machine.
    #[error("this machine does not let the demo start a process or write a file")]
    Machine(#[source] io::Error),
    /// Another command of the program failed.
    #[error("`usage-sync {name}` failed: {said}")]
    Command {
        /// Which one.
        name: &'static str,
        /// What it printed.
        said: String,
    },
    /// The daemon ended though nobody told it to, or not in order.
    #[error("the daemon ended with {0}")]
    DaemonEnded(ExitStatus),
    /// Something did not happen.
    #[error("waited {seconds} s in vain for {what}; {seen}")]
    Late {
        /// What was waited for.
        what: &'static str,
        /// How long.
        seconds: u64,
        /// How it stood at last.
        seen: String,
    },
    /// A correction was seen in the middle.
    #[error("salesforce showed half of a correction: {0} units consumed")]
    Half(String),
    /// Salesforce does not hold what the app asks for.
    #[error("salesforce does not hold what the app asks for: {0}")]
    Differs(String),
    /// Nobody can see the story.
    #[error("the story cannot be written")]
    Output(#[from] io::Error),
}

/// A story that broke off.
#[derive(Debug)]
pub struct Broken {
    /// Why.
    pub error: Error,
    /// The last lines of the daemon's log, if it ever ran.
    pub last_lines: Option<String>,
    /// Where all of its log was saved.
    pub log: Option<PathBuf>,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The story was told and everything was as it should be.
    Told,
    /// A stop was asked for before the story's end.
    Interrupted,
}

/// Tells the story; with `keep` everything then stays until a stop is asked
/// for. However this ends, nothing is left running.
pub async fn run(keep: bool, color: bool, shutdown: &Shutdown) -> Result<Ending, Broken> {
    let set = async {
        let mut screen = Screen::new(color);
        screen.title("usage-sync keeps a service app and Salesforce in step")?;
        screen.say("Private servers are started; nothing else on this machine is touched.")?;
        Stage::set(screen).await
    };
    let start = Instant::now();
    let mut stage = tokio::select! {
        stage = set => stage.map_err(|error| Broken { error, last_lines: None, log: None })?,
        () = shutdown.wait() => return Ok(Ending::Interrupted),
    };
    let mut told = false;
    let played = tokio::select! {
        played = play(&mut stage, start, keep, &mut told) => played,
        () = shutdown.wait() => Ok(()),
    };
    match played {
        Ok(()) if told => Ok(Ending::Told),
        Ok(()) => Ok(Ending::Interrupted),
        Err(error) => Err(Broken {
            error,
            last_lines: Some(stage.daemon.last_lines()).filter(|lines| !lines.is_empty()),
            log: stage.daemon.keep_log().ok(),
        }),
    }
}

async fn play(stage: &mut Stage, start: Instant, keep: bool, told: &mut bool) -> Result<(), Error> {
    story::tell(stage).await?;
    let took = start.elapsed().as_secs();
    stage.screen.say(&format!("The story took {took} s."))?;
    *told = true;
    if keep {
        keep::stay(stage).await?;
    } else {
        let hint = "With the option --keep everything is left running to look around.";
        stage.screen.say(hint)?;
    }
    Ok(())
}
