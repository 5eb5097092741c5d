//! Record ids as Salesforce prints them: 15 characters that mean something
//! in their case, and 3 that hold that case for programs which lose it.
//!
//! An id tells its object (three characters of prefix) and its row (a counter
//! in base 62), so no table of ids is needed.

use std::fmt;

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const CHECK: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345";
/// The pod and the reserved digit, the same for every record of this org.
const POD: &[u8; 3] = b"5f0";

/// An id of 18 characters, its checksum right.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Id([u8; 18]);

impl Id {
    /// The id of one row; `prefix` has three characters.
    pub(crate) fn new(prefix: &str, row: u32) -> Self {
        let mut short = [b'0'; 15];
        for (place, byte) in short.iter_mut().zip(prefix.bytes().take(3)) {
            *place = byte;
        }
        short[3..6].copy_from_slice(POD);
        // Salesforce starts its counters at one.
        let mut rest = u64::from(row) + 1;
        for place in short[6..].iter_mut().rev() {
            *place = DIGITS[usize::try_from(rest % 62).unwrap_or_default()];
            rest /= 62;
        }
        Self::with_checksum(short)
    }

    /// Reads 15 or 18 characters; `None` when they are no id or the
    /// checksum is wrong.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if !text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return None;
        }
        let short: [u8; 15] = text.as_bytes().get(..15)?.try_into().ok()?;
        let id = Self::with_checksum(short);
        match text.len() {
            15 => Some(id),
            18 => (id.as_str() == text).then_some(id),
            _ => None,
        }
    }

    /// Whether a text has the outward form of an id, right or wrong.
    pub(crate) fn looks_like(text: &str) -> bool {
        matches!(text.len(), 15 | 18) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
    }

    fn with_checksum(short: [u8; 15]) -> Self {
        let mut id = [0; 18];
        id[..15].copy_from_slice(&short);
        for (chunk, place) in short.chunks(5).zip(15..) {
            let bits = chunk
                .iter()
                .enumerate()
                .filter(|(_, byte)| byte.is_ascii_uppercase())
                .fold(0_usize, |bits, (bit, _)| bits | 1 << bit);
            id[place] = CHECK[bits];
        }
        Self(id)
    }

    /// All 18 characters.
    pub(crate) fn as_str(&self) -> &str {
        // Only ASCII is ever stored.
        str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The three characters that tell the object.
    pub(crate) fn prefix(&self) -> &str {
        &self.as_str()[..3]
    }

    /// The row this id stands for; `None` for an id of another org.
    pub(crate) fn row(&self) -> Option<u32> {
        if &self.0[3..6] != POD {
            return None;
        }
        let count = self.0[6..15].iter().try_fold(0_u64, |count, byte| {
            let digit = DIGITS.iter().position(|digit| digit == byte)?;
            count
                .checked_mul(62)?
                .checked_add(u64::try_from(digit).ok()?)
        })?;
        u32::try_from(count.checked_sub(1)?).ok()
    }
}

impl fmt::Display for Id {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_one_that_real_orgs_print() {
        for (short, checksum) in [
            ("001RM000003oLnn", "YAE"),
            ("003RM0000068xV6", "YAI"),
            ("0056g000005HQPy", "AAO"),
            ("7506g00000DhRA2", "AAN"),
            ("0018c00002FInbo", "AAD"),
            ("a00E0000004D5ls", "IAC"),
            ("001ZM000001n4n5", "YAA"),
            ("001D000000Kv3g5", "IAB"),
            ("001Vr00000m4eGC", "IAY"),
            ("0035500001H9kZu", "AAJ"),
        ] {
            let id = Id::parse(short).unwrap();
            assert_eq!(id.as_str(), format!("{short}{checksum}"));
        }
    }

    #[test]
    fn a_wrong_checksum_length_or_character_is_no_id() {
        for text in [
            "001900K0001pPuOAAU",
            "001RM000003oLn",
            "001RM000003oLnnYAEX",
            "001RM00000 oLnn",
        ] {
            assert!(Id::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn an_id_leads_back_to_its_row() {
        for row in [0, 1, 61, 62, 1_000_000, u32::MAX - 1] {
            let id = Id::new("a01", row);
            assert_eq!((id.prefix(), id.row()), ("a01", Some(row)));
            assert_eq!(Id::parse(&id.as_str()[..15]), Some(id));
        }
    }
}
