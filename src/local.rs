//! Private Postgres and Redis servers for the tests, the demo and the
//! benchmarks.
//!
//! Each server has a free port on the loopback interface and a directory of
//! its own; nothing of the machine's own servers is touched. It can be killed,
//! frozen and started again at will.
//!
//! A server never outlives its owner: a small shell process next to it
//! (`local/watchdog.sh`) waits for the end of a pipe, which the kernel closes
//! even when the owner is killed with SIGKILL, and then stops the server and
//! removes its directory.
//!
//! Not for production: logins need no password.

mod memory;
mod ports;
mod postgres;
mod process;
mod programs;
mod redis;
mod template;

use std::io;
use std::path::{Path, PathBuf};

pub use memory::memory;
pub use postgres::{Durability, Options as PostgresOptions, Postgres};
pub use programs::find as find_program;
pub use redis::{Options as RedisOptions, Redis};

/// Why a private server is not there.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The program is neither in `PATH` nor where Debian puts it.
    #[error("{program} is not installed on this machine: run bin/setup, which installs it")]
    Missing {
        /// The program that was looked for.
        program: &'static str,
    },
    /// The server ended by itself while it was starting.
    #[error("{program} ended while it was starting; the end of its log:\n{log}")]
    Ended {
        /// The server's program.
        program: String,
        /// The last lines that it printed.
        log: String,
    },
    /// The server lives but does not come to serve, or does not end.
    #[error("{program} was not {state} within {seconds} s; the end of its log:\n{log}")]
    Late {
        /// The server's program.
        program: String,
        /// What was waited for.
        state: &'static str,
        /// How long it was waited for.
        seconds: u64,
        /// The last lines that it printed.
        log: String,
    },
    /// `initdb` did not make a data directory.
    #[error("initdb made no data directory: {output}")]
    Initdb {
        /// What it printed.
        output: String,
    },
    /// `openssl` did not make a certificate.
    #[error("openssl made no certificate: {output}")]
    Certificate {
        /// What it printed.
        output: String,
    },
    /// `CREATE DATABASE` was refused.
    #[error("database {name} could not be created on the private server")]
    CreateDatabase {
        /// Its name.
        name: String,
        /// The server's answer.
        #[source]
        source: sqlx::Error,
    },
    /// A file or process operation of this machine.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// For `map_err`: says what was tried on which path.
    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }
}
