//! The program `usage-sync`: reads the command line, does what it says, and
//! turns the outcome into an exit code. Nothing else.

mod cli;

use std::io::{self, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use tokio::runtime::{Builder, Runtime};

use cli::{Command, Exit, Failure};

/// The work is waiting for others; more threads would only follow the number
/// of cores of a host that is shared.
const THREADS: usize = 2;

fn main() -> ExitCode {
    match cli::parse() {
        Ok(command) => execute(command).into(),
        Err(exit) => exit.into(),
    }
}

fn execute(command: Command) -> Exit {
    // One provider for every TLS client; it is in place already if another
    // crate was faster, and then it is this one.
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .ok();
    let result = runtime().and_then(|runtime| {
        let result = catch_unwind(AssertUnwindSafe(|| runtime.block_on(cli::run(command))));
        // What still runs has been given up on, and is safe to be cut.
        runtime.shutdown_background();
        // The panic hook has said all there is to say.
        result.unwrap_or(Ok(Exit::Bug))
    });
    result.unwrap_or_else(|failure| {
        if !failure.is_silent() {
            // Without stderr, the exit code is all there is.
            writeln!(io::stderr(), "{failure}").ok();
        }
        failure.exit()
    })
}

fn runtime() -> Result<Runtime, Failure> {
    Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build()
        .map_err(|error| {
            let failure = Failure::new(Exit::Unavailable, "the process cannot start its threads");
            failure
                .because(&error)
                .remedy("raise the limits of threads and open files")
        })
}
