//! Why a command could not do its work, in words for the person who ran it.

use std::error::Error;
use std::fmt;
use std::io;

use usage_sync::settings::Faults;
use usage_sync::telemetry::Chain;

use super::Exit;

/// Shown as `usage-sync: what: why`, and below it what to do.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    what: String,
    why: Option<String>,
    remedies: Vec<String>,
}

impl Failure {
    /// `what` is a clause in the present: `postgres does not answer`.
    pub(crate) fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self {
            exit,
            what: what.into(),
            why: None,
            remedies: Vec::new(),
        }
    }

    /// Adds the error behind it, with its causes.
    pub(crate) fn because(mut self, error: &dyn Error) -> Self {
        self.why = Some(Chain(error).to_string());
        self
    }

    /// Adds a line that says what to do.
    pub(crate) fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedies.push(remedy.into());
        self
    }

    /// Lists all faults, and below them what looks like a misspelt name: it
    /// may be the very setting that is missing.
    pub(crate) fn of_settings(faults: &Faults, warnings: &Faults) -> Self {
        let what = match faults.0.len() {
            1 => "a setting is wrong:".to_owned(),
            count => format!("{count} settings are wrong:"),
        };
        let failure = Self::new(Exit::Configuration, what);
        let lines = faults.0.iter().chain(&warnings.0);
        lines.fold(failure, |failure, line| failure.remedy(line.to_string()))
    }

    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// Whether nobody reads the answer any more, so that there is nothing to
    /// say about it either.
    pub(crate) fn is_silent(&self) -> bool {
        self.what.is_empty()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "usage-sync: {}", self.what)?;
        if let Some(why) = &self.why {
            write!(f, ": {why}")?;
        }
        for remedy in &self.remedies {
            write!(f, "\n  {remedy}")?;
        }
        Ok(())
    }
}

/// An answer that could not be written. A reader that has seen enough, as
/// `usage-sync status | head` does, is no failure at all.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::new(Exit::Done, "");
        }
        let failure = Self::new(Exit::Unavailable, "the answer cannot be written");
        failure
            .because(&error)
            .remedy("make room where the output goes")
    }
}

#[cfg(test)]
mod tests {
    use usage_sync::settings::Fault;

    use super::*;

    #[test]
    fn a_failure_says_what_why_and_what_to_do() {
        let error = io::Error::other("connection refused");
        let failure = Failure::new(Exit::Unavailable, "redis does not answer").because(&error);

        let text = failure.remedy("start it, or correct REDIS_URL").to_string();

        assert_eq!(
            text,
            "usage-sync: redis does not answer: connection refused\n  \
             start it, or correct REDIS_URL"
        );
    }

    #[test]
    fn all_faults_are_listed_and_then_the_doubts() {
        let fault = |variable: &str| Fault {
            variable: variable.to_owned(),
            what: "is not set".to_owned(),
            remedy: "set it".to_owned(),
        };

        let failure = Failure::of_settings(
            &Faults(vec![fault("A"), fault("B")]),
            &Faults(vec![fault("C")]),
        );

        assert_eq!(failure.exit(), Exit::Configuration);
        assert_eq!(
            failure.to_string(),
            "usage-sync: 2 settings are wrong:\n  A is not set: set it\n  B is not set: set it\n  \
             C is not set: set it"
        );
    }

    #[test]
    fn a_closed_pipe_is_no_failure() {
        let closed = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        let full = Failure::from(io::Error::from(io::ErrorKind::StorageFull));

        assert!(closed.is_silent() && closed.exit() == Exit::Done);
        assert!(!full.is_silent() && full.exit() == Exit::Unavailable);
    }
}
