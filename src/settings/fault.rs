//! What is wrong with the settings, in words for the person who set them.
//!
//! A fault names the variable, never its value: a password may stand in any
//! variable, also in one that is not meant for it.

use std::fmt;

use thiserror::Error;

/// One thing that is wrong with one setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The environment variable, or the place in the file.
    pub variable: String,
    /// What is wrong with it, as a predicate: `is not a duration`.
    pub what: String,
    /// What to do, as an instruction.
    pub remedy: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.variable, self.what, self.remedy)
    }
}

/// All that is wrong with the settings, one line each.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct Faults(pub Vec<Fault>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            let line_end = if index == 0 { "" } else { "\n" };
            write!(f, "{line_end}{fault}")?;
        }
        Ok(())
    }
}
