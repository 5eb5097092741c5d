//! `usage-sync sandbox`: a Salesforce of one's own.

use usage_sync::{sandbox, shutdown::Shutdown};

use super::{Exit, Failure, args::SandboxArgs};

/// Runs until a stop is asked for.
pub(super) async fn run(args: &SandboxArgs, shutdown: &Shutdown) -> Result<Exit, Failure> {
    sandbox::run_command(args.port, args.ready_file.as_deref(), shutdown.wait())
        .await
        .map(|()| Exit::Done)
        .map_err(|error| {
            let remedy = match &error {
                sandbox::Error::Listen { .. } => "give another --port, or none for a free one",
                sandbox::Error::Write { .. } => "give a --ready-file that can be written",
                sandbox::Error::Print(_) => "leave standard output open",
                sandbox::Error::Keys(_)
                | sandbox::Error::Schema(_)
                | sandbox::Error::Refused { .. }
                | sandbox::Error::Settings(_) => "report this with the output above",
            };
            Failure::new(Exit::Unavailable, "the sandbox does not run")
                .because(&error)
                .remedy(remedy)
        })
}
