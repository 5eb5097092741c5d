//! Whether this is the place that reports went out from. Pure.

use std::fmt;

use super::pins::Row;

/// Why this is another place, or another time, than the one written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Elsewhere {
    /// The database is behind what was reported from it.
    Older {
        /// Its newest fencing token.
        newest: i64,
        /// The highest that is known to have been used.
        used: i64,
    },
    /// Another database.
    Database {
        /// The one written down.
        pinned: String,
        /// This one.
        found: String,
    },
    /// Another org.
    Org {
        /// The one written down.
        pinned: String,
        /// The one that the login leads to.
        found: String,
    },
}

/// Compares what is with what was written down. `org` is the one that the
/// login leads to, as far as there was one; `used` the highest fencing token
/// that is known to have been used. Ids under which nothing was reported bind
/// nobody.
pub fn judge(row: &Row, org: Option<&str>, used: i64) -> Option<Elsewhere> {
    if row.newest < used {
        return Some(Elsewhere::Older {
            newest: row.newest,
            used,
        });
    }
    if row.newest == 0 {
        return None;
    }
    let differs = |pinned: &Option<String>, found: &str| {
        let pinned = pinned.as_ref().filter(|pinned| *pinned != found)?;
        Some((pinned.clone(), found.to_owned()))
    };
    if let Some((pinned, found)) = differs(&row.cluster_id, &row.cluster) {
        return Some(Elsewhere::Database { pinned, found });
    }
    let (pinned, found) = differs(&row.org_id, org?)?;
    Some(Elsewhere::Org { pinned, found })
}

impl Elsewhere {
    /// What a person does about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Older { .. } => {
                "if the database was restored or is a fork, stop whatever still reports from the newer one, \
                 then run `usage-sync rebase --dry-run` and `usage-sync rebase`; \
                 if DATABASE_URL is wrong, correct it"
            }
            Self::Database { .. } => {
                "if this is a copy, as for staging, give it the SALESFORCE_ variables of another org; \
                 if DATABASE_URL is wrong, correct it; if this is the database from now on (moved, or upgraded with \
                 pg_upgrade), run `usage-sync rebase --dry-run` and `usage-sync rebase`"
            }
            Self::Org { .. } => {
                "if the SALESFORCE_ variables are those of another org, correct them; \
                 if reports are to go to this org from now on, run `usage-sync rebase --dry-run` and `usage-sync rebase`"
            }
        }
    }
}

impl fmt::Display for Elsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Older { newest, used } => write!(
                f,
                "the database is older than what was reported: its newest fencing token is {newest}, and {used} was used already"
            ),
            Self::Database { pinned, found } => write!(
                f,
                "the database is {found}, and reports came from {pinned} so far"
            ),
            Self::Org { pinned, found } => write!(
                f,
                "the salesforce org is {found}, and reports went to {pinned} so far"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(newest: i64) -> Row {
        Row {
            org_id: Some(String::from("org")),
            cluster_id: Some(String::from("cluster")),
            pinned_at: None,
            paused_since: None,
            paused_because: None,
            cluster: String::from("cluster"),
            newest,
        }
    }

    #[test]
    fn the_same_place_is_fine_and_so_is_one_not_written_down() {
        assert_eq!(judge(&row(7), Some("org"), 7), None);
        assert_eq!(judge(&row(7), None, 7), None);
        let unpinned = Row {
            org_id: None,
            cluster_id: None,
            ..row(7)
        };
        assert_eq!(judge(&unpinned, Some("other"), 7), None);
    }

    #[test]
    fn a_token_that_was_used_must_not_be_ahead() {
        let older = Elsewhere::Older { newest: 7, used: 8 };
        assert_eq!(judge(&row(7), Some("org"), 8), Some(older));
        let empty = Elsewhere::Older { newest: 0, used: 8 };
        assert_eq!(judge(&row(0), Some("org"), 8), Some(empty));
    }

    #[test]
    fn another_org_or_database_is_another_place_once_something_was_reported() {
        let copy = |newest| Row {
            cluster: String::from("copy"),
            ..row(newest)
        };
        assert!(matches!(
            judge(&copy(1), None, 0),
            Some(Elsewhere::Database { .. })
        ));
        assert!(matches!(
            judge(&row(1), Some("other"), 0),
            Some(Elsewhere::Org { .. })
        ));
        assert_eq!(judge(&copy(0), Some("other"), 0), None);
    }
}
