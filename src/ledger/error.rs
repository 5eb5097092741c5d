//! What can go wrong with the database, and whose fault it is.

/// The database did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server cannot be reached, is starting, full, read-only or busy:
    /// nobody's fault, and over some day.
    #[error("postgres is not available")]
    Unavailable(#[source] sqlx::Error),
    /// The view cannot be read at all: missing, without a column, without
    /// the right to. The same for every ad.
    #[error("the view usage_sync.usage cannot be read")]
    View(#[source] sqlx::Error),
    /// Reading the view failed for what is in it: some ad's row makes it fail.
    #[error("reading usage_sync.usage failed")]
    Row(#[source] sqlx::Error),
    /// The schema is not what this program expects.
    #[error("the schema usage_sync is not what this version expects; run `usage-sync migrate`")]
    Schema(#[source] sqlx::Error),
}

impl Error {
    /// The class of a failure while the view was read.
    pub(crate) fn of_view(error: sqlx::Error) -> Self {
        match sqlstate(&error).as_deref() {
            // Undefined or forbidden things, and types that do not compare.
            Some(code) if code.starts_with("42") => Self::View(error),
            // Anything that a row can do: a bad cast, a division by zero, an
            // exception of the app's own function, a subquery of two rows; to
            // go round in a circle until the statement's time is over; to be
            // damaged on the disk.
            Some(code) if !is_unavailable(code) || can_be_a_row(code) => Self::Row(error),
            _ => Self::Unavailable(error),
        }
    }

    /// Whether a lock was not to be had: most often a migration of the app has
    /// a table that the view reads, and is done some time.
    pub fn is_locked(&self) -> bool {
        // PostgreSQL: Appendix A, Error Codes: lock_not_available.
        self.code().as_deref() == Some("55P03")
    }

    /// Whether a statement took longer than it may.
    pub fn is_too_slow(&self) -> bool {
        // PostgreSQL: Appendix A, Error Codes: query_canceled.
        self.code().as_deref() == Some("57014")
    }

    /// The database's own code, five characters.
    pub fn code(&self) -> Option<String> {
        match self {
            Self::Unavailable(error)
            | Self::View(error)
            | Self::Row(error)
            | Self::Schema(error) => sqlstate(error),
        }
    }

    /// The database's own words.
    pub fn message(&self) -> String {
        let (Self::Unavailable(error) | Self::View(error) | Self::Row(error) | Self::Schema(error)) =
            self;
        match error.as_database_error() {
            Some(error) => error.message().to_owned(),
            None => error.to_string(),
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match sqlstate(&error).as_deref() {
            Some(code) if !is_unavailable(code) => Self::Schema(error),
            _ => Self::Unavailable(error),
        }
    }
}

fn sqlstate(error: &sqlx::Error) -> Option<String> {
    error
        .as_database_error()
        .and_then(|error| error.code().map(std::borrow::Cow::into_owned))
}

/// Codes that the server may have for one row as well as for all: a statement
/// that took too long, and what is damaged or too large for its memory.
fn can_be_a_row(code: &str) -> bool {
    code == "57014" || code.starts_with("XX")
}

/// Codes that pass by themselves (PostgreSQL: Appendix A, Error Codes).
fn is_unavailable(code: &str) -> bool {
    // 08 connection, 25 read-only or aborted transaction, 40 deadlock or
    // serialization, 53 out of connections, memory or disk, 55 lock not to be
    // had, 57 shut down, starting or cancelled, 58 system, XX internal.
    ["08", "25", "40", "53", "55", "57", "58", "XX"]
        .iter()
        .any(|class| code.starts_with(class))
}
