//! What the process tells whoever started it, in one number.

use std::process::ExitCode;

/// The outcome of a command; sysexits.h where it has a word for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Everything asked for was done, or a stop was asked for and is complete.
    Done = 0,
    /// The command worked, and what it looked at is not as it should be.
    Found = 1,
    /// The command line makes no sense.
    Usage = 64,
    /// A service that the command cannot do without does not answer.
    Unavailable = 69,
    /// This program is wrong.
    Bug = 70,
    /// The settings are wrong, or what they name is not as it must be.
    Configuration = 78,
    /// Ended by Ctrl-C without finishing: 128 and SIGINT's number, as in a shell.
    Interrupted = 130,
}

impl Exit {
    /// The exit codes as the help explains them.
    pub(crate) fn explained() -> String {
        [
            (Self::Done, "done"),
            (
                Self::Found,
                "a check found something, or an ad or contract is unknown",
            ),
            (Self::Usage, "bad usage"),
            (Self::Unavailable, "a needed service is unavailable"),
            (Self::Bug, "a bug"),
            (
                Self::Configuration,
                "bad configuration; all faults are listed at once",
            ),
            (Self::Interrupted, "ended by Ctrl-C"),
        ]
        .into_iter()
        .fold("Exit codes:".to_owned(), |text, (exit, meaning)| {
            text + &format!("\n  {:<4} {meaning}", exit as u8)
        })
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
