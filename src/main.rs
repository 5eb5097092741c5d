//! The program `usage-sync`: reads the command line, does what it says, and
//! turns the outcome into an exit code. Nothing else.

mod cli;

use std::io::{self, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use tokio::runtime::{Builder, Runtime};
use usage_sync::shutdown::Shutdown;

use cli::{Command, Exit, Failure};

/// The work is waiting for others; more threads would only follow the number
/// of cores of a host that is shared.
const THREADS: usize = 2;

fn main() -> ExitCode {
    // Signals come first: one that nobody listens for ends the process where
    // it stands, with an exit code that looks like a crash.
    let listening = runtime().and_then(|runtime| {
        let shutdown = listen(&runtime)?;
        Ok((runtime, shutdown))
    });
    match (cli::parse(), listening) {
        (Err(exit), _) => exit.into(),
        (Ok(_), Err(failure)) => told(&failure).into(),
        (Ok(command), Ok((runtime, shutdown))) => execute(command, runtime, shutdown).into(),
    }
}

fn execute(command: Command, runtime: Runtime, shutdown: Shutdown) -> Exit {
    // One provider for every TLS client; it is in place already if another
    // crate was faster, and then it is this one.
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .ok();
    let work = || runtime.block_on(cli::run(command, shutdown));
    let result = catch_unwind(AssertUnwindSafe(work));
    // What still runs has been given up on, and is safe to be cut.
    runtime.shutdown_background();
    // The panic hook has said all there is to say.
    let result = result.unwrap_or(Ok(Exit::Bug));
    result.unwrap_or_else(|failure| told(&failure))
}

fn told(failure: &Failure) -> Exit {
    if !failure.is_silent() {
        // Without stderr, the exit code is all there is.
        writeln!(io::stderr(), "{failure}").ok();
    }
    failure.exit()
}

fn listen(runtime: &Runtime) -> Result<Shutdown, Failure> {
    let _entered = runtime.enter();
    Shutdown::listen().map_err(|error| {
        let failure = Failure::new(Exit::Unavailable, "signals cannot be received");
        failure
            .because(&error)
            .remedy("raise the limit of open files")
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
