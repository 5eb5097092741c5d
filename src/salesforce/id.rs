//! Record ids: 15 characters that mind case, or 18 that do not need to.
//!
//! Salesforce takes both and prints mostly 18, so ids are compared as 18
//! (Object Reference, "ID Field Type"; the three characters say which of each
//! five are capital letters).

/// The id with its three check characters; `None` for what is no id, which
/// includes 18 characters whose check fails.
pub fn to_18(id: &str) -> Option<String> {
    if !matches!(id.len(), 15 | 18) || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    let (head, check) = id.split_at(15);
    let full: String = head
        .chars()
        .chain(head.as_bytes().chunks(5).map(capitals))
        .collect();
    (check.is_empty() || full.ends_with(check)).then_some(full)
}

/// Which of five characters are capital letters, the first as the lowest bit.
fn capitals(five: &[u8]) -> char {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345";
    let bits = five.iter().rev().fold(0, |bits, byte| {
        bits << 1 | usize::from(byte.is_ascii_uppercase())
    });
    char::from(ALPHABET[bits])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ids of recorded answers and documentation pages.
    const KNOWN: [&str; 10] = [
        "001RM000003oLnnYAE",
        "003RM0000068xV6YAI",
        "0056g000005HQPyAAO",
        "7506g00000DhRA2AAN",
        "0018c00002FInboAAD",
        "a00E0000004D5lsIAC",
        "001ZM000001n4n5YAA",
        "001D000000Kv3g5IAB",
        "001Vr00000m4eGCIAY",
        "0035500001H9kZuAAJ",
    ];

    #[test]
    fn the_check_characters_are_those_of_real_ids() {
        for id in KNOWN {
            assert_eq!(to_18(&id[..15]).as_deref(), Some(id));
            assert_eq!(to_18(id).as_deref(), Some(id));
        }
    }

    #[test]
    fn what_is_no_id_is_refused() {
        // The second and third: a wrong check, from a recorded MALFORMED_ID and
        // from the documentation of deleting a collection.
        for text in [
            "",
            "001900K0001pPuOAAU",
            "001RM000003oLrB000",
            "001RM000003oLn'",
            "001RM000003oLnnY",
        ] {
            assert_eq!(to_18(text), None, "{text}");
        }
    }
}
