//! What can be asked for.

use super::{Contract, Error};
use crate::salesforce::id::to_18;

/// Salesforce's longest text field of one line (Object Reference, "Field
/// Types").
const LONGEST: usize = 255;

/// Something to find contracts by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Question {
    /// One contract: by id, by number, or by what could be either.
    Contract {
        /// 18 characters.
        id: Option<String>,
        number: Option<String>,
    },
    /// All contracts of an account: its id, 18 characters.
    Account(String),
}

impl Question {
    /// Reads the id or the number of a contract.
    pub(super) fn contract(key: &str) -> Result<Self, Error> {
        let key = key.trim();
        let invalid = |why| Error::Invalid {
            asked: shown(key),
            why,
            instead: "give the id, as 8005g00000AbCdEAAV, or the number, as 00000101",
        };
        if key.is_empty() {
            return Err(invalid("it is empty"));
        }
        if key.chars().count() > LONGEST {
            return Err(invalid("it is longer than 255 characters"));
        }
        if key.contains(char::is_control) {
            return Err(invalid("it has characters that cannot be printed"));
        }
        let id = to_18(key);
        // Nothing tells an id of 15 characters from a number of as many, as
        // CTR202600000001; the last 3 of 18 do.
        let is_number = id.is_none() || key.len() == 15;
        Ok(Self::Contract {
            id,
            number: is_number.then(|| key.to_owned()),
        })
    }

    /// Reads the id of an account.
    pub(super) fn account(id: &str) -> Result<Self, Error> {
        let id = id.trim();
        let why = "the id of an account has 15 or 18 letters and digits, the last 3 of 18 as Salesforce writes them";
        let instead = "give the id, as 0015g00000AbCdEAAV";
        to_18(id).map(Self::Account).ok_or_else(|| Error::Invalid {
            asked: shown(id),
            why,
            instead,
        })
    }

    /// Whether a contract answers it. Salesforce compares numbers without regard
    /// to case.
    pub(super) fn is_answered_by(&self, contract: &Contract) -> bool {
        match self {
            Self::Contract { id, number } => {
                let same =
                    |number: &String| number.to_lowercase() == contract.number.to_lowercase();
                id.as_ref() == Some(&contract.id) || number.as_ref().is_some_and(same)
            }
            Self::Account(id) => contract.account_id.as_ref() == Some(id),
        }
    }
}

/// As much as a message has room for.
fn shown(key: &str) -> String {
    key.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_numbers_are_told_apart() {
        let contract = |id: Option<&str>, number: Option<&str>| Question::Contract {
            id: id.map(str::to_owned),
            number: number.map(str::to_owned),
        };
        let id = "001D000000Kv3g5IAB";
        for (key, expected) in [
            (id, contract(Some(id), None)),
            (&id[..15], contract(Some(id), Some(&id[..15]))),
            (
                "CTR202600000001",
                contract(Some("CTR202600000001HAA"), Some("CTR202600000001")),
            ),
            (" 00000101 ", contract(None, Some("00000101"))),
            (
                "123456789012345",
                contract(Some("123456789012345AAA"), Some("123456789012345")),
            ),
            // Three letters at the end that do not fit: no id.
            (
                "001D000000Kv3g5IAC",
                contract(None, Some("001D000000Kv3g5IAC")),
            ),
            ("O'Neil", contract(None, Some("O'Neil"))),
        ] {
            assert_eq!(Question::contract(key).unwrap(), expected, "{key}");
        }
        let account = Question::account(&id[..15]).unwrap();
        assert_eq!(account, Question::Account(id.to_owned()));
    }

    #[test]
    fn what_names_nothing_is_refused_with_a_reason() {
        for key in ["", "  ", "a\nb", "\u{0}", &"9".repeat(256)] {
            let error = Question::contract(key).unwrap_err();
            assert!(matches!(error, Error::Invalid { .. }), "{key:?}");
            assert!(error.to_string().len() < 260, "{error}");
        }
        for id in [
            "",
            "00000101",
            "001D000000Kv3g5IAC",
            "001D000000Kv3g5' OR Id != '",
        ] {
            let remedy = Question::account(id).unwrap_err().remedy();
            assert_eq!(remedy, Some("give the id, as 0015g00000AbCdEAAV"));
        }
    }
}
