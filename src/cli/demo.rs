//! `usage-sync demo`: the whole story, without settings and accounts.

use std::io;

use usage_sync::demo::{self, Broken, Ending, Error};
use usage_sync::shutdown::Shutdown;

use super::{Exit, Failure, args::DemoArgs};

/// Tells the story, and stays if that is wanted.
pub(super) async fn run(
    args: &DemoArgs,
    color: bool,
    shutdown: &Shutdown,
) -> Result<Exit, Failure> {
    match demo::run(args.keep, color, shutdown).await {
        Ok(Ending::Told) => Ok(Exit::Done),
        Ok(Ending::Interrupted) => Ok(Exit::Interrupted),
        // Whoever closed the pipe wants no more, and has not seen the end.
        Err(Broken {
            error: Error::Output(error),
            ..
        }) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Interrupted),
        Err(broken) => Err(failure(&broken)),
    }
}

fn failure(broken: &Broken) -> Failure {
    let (exit, remedy) = match &broken.error {
        Error::Server(_) | Error::Sandbox(_) => (Exit::Unavailable, "run bin/setup and try again"),
        Error::Machine(_) | Error::Output(_) => (Exit::Unavailable, "make room and try again"),
        Error::Http(_)
        | Error::Json(_)
        | Error::Sql(_)
        | Error::Redis(_)
        | Error::Command { .. }
        | Error::DaemonEnded(_)
        | Error::Late { .. }
        | Error::Half(_) => (
            Exit::Bug,
            "try again; if it happens again, report it with this output",
        ),
        Error::Differs(_) => (Exit::Found, "report this with its output"),
    };
    let mut failure = Failure::new(exit, "the demo broke off")
        .because(&broken.error)
        .remedy(remedy);
    if let Some(lines) = &broken.last_lines {
        failure = failure.remedy("the daemon's last lines:");
        failure = lines
            .lines()
            .fold(failure, |failure, line| failure.remedy(format!("  {line}")));
    }
    match &broken.log {
        Some(log) => failure.remedy(format!("all of its log: {}", log.display())),
        None => failure,
    }
}
