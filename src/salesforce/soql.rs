//! Text in SOQL, safe against injection.

use super::client::encoded;

/// A text as a SOQL literal, in its quotes.
///
/// Escapes are those of the SOQL and SOSL Reference, "Quoted String Escape
/// Sequences": a backslash before anything else is an error there.
///
/// ```
/// use usage_sync::salesforce::soql;
///
/// assert_eq!(soql::literal(r"O'Neil \ Sons"), r"'O\'Neil \\ Sons'");
/// ```
pub fn literal(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('\'');
    for character in text.chars() {
        match character {
            '\\' => quoted.push_str("\\\\"),
            '\'' => quoted.push_str("\\'"),
            '"' => quoted.push_str("\\\""),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            other => quoted.push(other),
        }
    }
    quoted.push('\'');
    quoted
}

/// How long a part of a query is in the address that it goes out with, where no
/// more than `LIST_LIMIT` may stand.
pub fn length(part: &str) -> usize {
    encoded(part).len()
}

/// Whether a text may stand in SOQL as the name of an object or a field, or as
/// a path over relationships. Names cannot be quoted, so they are checked.
pub fn is_name(text: &str) -> bool {
    text.split('.').all(|part| {
        part.starts_with(|first: char| first.is_ascii_alphabetic())
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads a literal as Salesforce does; `None` if it ends early or late.
    fn read(literal: &str) -> Option<String> {
        let mut characters = literal.strip_prefix('\'')?.strip_suffix('\'')?.chars();
        let mut text = String::new();
        while let Some(character) = characters.next() {
            text.push(match character {
                '\'' => return None,
                '\\' => match characters.next()? {
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    'b' => '\u{8}',
                    'f' => '\u{c}',
                    same @ ('"' | '\'' | '\\') => same,
                    _ => return None,
                },
                other => other,
            });
        }
        Some(text)
    }

    proptest! {
        #[test]
        fn every_text_comes_back_as_it_was(text in any::<String>()) {
            prop_assert_eq!(read(&literal(&text)), Some(text));
        }
    }

    #[test]
    fn only_names_are_names() {
        for name in ["Usage__c", "Contract__r.Account.Name", "ns__Usage__c", "Id"] {
            assert!(is_name(name), "{name}");
        }
        for text in [
            "",
            "1a",
            "a b",
            "a'",
            "a.",
            ".a",
            "Id FROM Account--",
            "a,b",
        ] {
            assert!(!is_name(text), "{text}");
        }
    }
}
