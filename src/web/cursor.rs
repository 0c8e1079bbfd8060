//! Cursor: the position of a client in the stream of transitions, as `seq` and the id of the
//! history.
//!
//! A sequence number alone is ambiguous: a database that was restored from a backup continues at an
//! older number and uses the same numbers again for other transitions.

use std::fmt;

/// A sequence number and the id of its history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    /// The number of the last transition that was read; zero is before the first one.
    pub(super) seq: i64,
    /// The id of the history; `None` when the client sent none.
    pub(super) history_id: Option<u64>,
}

impl Cursor {
    /// Parses `SEQ` or `SEQ-HISTORY_ID`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (seq, history_id) = match text.split_once('-') {
            Some((seq, id)) => (seq, Some(id)),
            None => (text, None),
        };
        let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let is_id = |id: &str| id.len() == ID_LENGTH && id.bytes().all(is_hex);
        let is_number = !seq.is_empty() && seq.bytes().all(|byte| byte.is_ascii_digit());
        let is_good = is_number && history_id.is_none_or(is_id);
        let seq = seq.parse().ok().filter(|_| is_good)?;
        Some(Self { seq, history_id: history_id.and_then(|id| u64::from_str_radix(id, 16).ok()) })
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.history_id {
            Some(id) => write!(f, "{}-{id:016x}", self.seq),
            None => write!(f, "{}", self.seq),
        }
    }
}

/// Hexadecimal digits of a history id.
const ID_LENGTH: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_formatted_cursors_can_be_parsed() {
        for good in ["12-abababababababab", "12-0000000000000001", "0", "12"] {
            assert_eq!(Cursor::parse(good).unwrap().to_string(), good);
        }
        for bad in [
            "",
            "-",
            "-1",
            "+1",
            " 1",
            "1 ",
            "1-",
            "x",
            "1-abababababababa",
            "1-ABABABABABABABAB",
            "1-abababababababab-",
            "99999999999999999999",
            "1\r\n2",
        ] {
            assert_eq!(Cursor::parse(bad), None, "{bad:?}");
        }
    }
}
