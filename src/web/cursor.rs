//! A cursor: where a client of the stream stands in the history, and in which history.
//!
//! A sequence number alone says too little: a history that was restored from a backup counts on
//! from an older number, and has the same numbers again for other changes. So a cursor carries the
//! id of its history.

use std::fmt;

/// A sequence number, and the history that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The number of the last transition that was read; zero lies before every transition.
    pub seq: i64,
    /// The id of its history; `None` when the client gave none.
    pub history_id: Option<u64>,
}

impl Cursor {
    /// Reads one: a sequence number, or a sequence number, `-` and the id of its history.
    pub fn parse(text: &str) -> Option<Self> {
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

/// Digits of the id of a history.
const ID_LENGTH: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written_and_nothing_else_is() {
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
