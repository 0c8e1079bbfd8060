//! A bookmark: where a listener of the stream stands in the history, and in which history.
//!
//! A place alone says too little: a history that was restored from a backup counts on from an
//! older place, and has the same numbers again for other changes. So a bookmark carries the
//! beginning of the seal of its place, which chains all that lies before it.

use std::fmt;

/// A place, and what tells it from the same place of another history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bookmark {
    /// The place; zero lies before every transition.
    pub place: i64,
    /// The beginning of its seal; none where nothing lies before, or the listener gave none.
    mark: Option<String>,
}

impl Bookmark {
    /// The bookmark of a place with that seal; an empty seal is none.
    pub fn new(place: i64, seal: &[u8]) -> Self {
        let shown = seal.iter().take(MARK_BYTES);
        let mark: String = shown.map(|byte| format!("{byte:02x}")).collect();
        Self { place, mark: (!mark.is_empty()).then_some(mark) }
    }

    /// Reads one: a place, or a place, `-` and the beginning of its seal.
    pub fn parse(text: &str) -> Option<Self> {
        let (place, mark) = match text.split_once('-') {
            Some((place, mark)) => (place, Some(mark)),
            None => (text, None),
        };
        let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let is_good = |mark: &str| mark.len() == 2 * MARK_BYTES && mark.bytes().all(is_hex);
        let digits = !place.is_empty() && place.bytes().all(|byte| byte.is_ascii_digit());
        let good = digits && mark.is_none_or(is_good);
        let place = place.parse().ok().filter(|_| good)?;
        Some(Self { place, mark: mark.map(str::to_owned) })
    }

    /// Whether it says in which history it lies.
    pub const fn is_marked(&self) -> bool {
        self.mark.is_some()
    }
}

impl fmt::Display for Bookmark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.mark {
            Some(mark) => write!(f, "{}-{mark}", self.place),
            None => write!(f, "{}", self.place),
        }
    }
}

/// Bytes of a seal that are shown: enough that no two histories have the same by chance.
const MARK_BYTES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bookmark_is_read_as_it_was_written_and_nothing_else_is() {
        let bookmark = Bookmark::new(12, &[0xab; 32]);
        assert_eq!(bookmark.to_string(), "12-abababababababab");
        assert_eq!(Bookmark::parse(&bookmark.to_string()), Some(bookmark));
        assert_eq!(Bookmark::new(0, &[]).to_string(), "0");
        assert_eq!(Bookmark::parse("12").map(|it| it.is_marked()), Some(false));
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
            assert_eq!(Bookmark::parse(bad), None, "{bad:?}");
        }
    }
}
