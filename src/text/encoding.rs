//! Decodes text files as UTF-8, or reports why that fails. Windows editors and shells save UTF-16,
//! which is recognized and reported, and put a byte order mark before UTF-8, which is removed.

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EncodingError {
    #[error("is in UTF-16, not in UTF-8")]
    Utf16,
    #[error("is in UTF-32, not in UTF-8")]
    Utf32,
    #[error("is not UTF-8")]
    Unknown {
        /// The number of valid bytes before the first error.
        good: usize,
    },
}

impl EncodingError {
    pub(crate) const fn help(self) -> &'static str {
        match self {
            Self::Utf16 | Self::Utf32 => {
                "save it as UTF-8: Notepad asks for the encoding when it saves, PowerShell takes \
                 `-Encoding utf8` (its `>` writes UTF-16), and `iconv -t UTF-8 -f UTF-16` converts"
            }
            Self::Unknown { .. } => "save it as UTF-8, as plain text",
        }
    }
}

/// Decodes the bytes, without a byte order mark.
pub(crate) fn decode(bytes: &[u8]) -> Result<&str, EncodingError> {
    if let Some(fault) = marked(bytes).or_else(|| unmarked(bytes)) {
        return Err(fault);
    }
    let text = str::from_utf8(bytes)
        .map_err(|error| EncodingError::Unknown { good: error.valid_up_to() })?;
    Ok(text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text))
}

/// The encoding of a byte order mark, except that of UTF-8.
fn marked(bytes: &[u8]) -> Option<EncodingError> {
    match bytes {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => Some(EncodingError::Utf32),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some(EncodingError::Utf16),
        _ => None,
    }
}

/// The encoding of Latin text without a byte order mark, judged by its zero bytes.
fn unmarked(bytes: &[u8]) -> Option<EncodingError> {
    let zeros = |step: usize, from: usize| {
        let (mut count, mut all) = (0, 0);
        for byte in bytes.iter().skip(from).step_by(step) {
            all += 1;
            count += usize::from(*byte == 0);
        }
        (count, all)
    };
    // Nearly every second byte, and nearly none of the others.
    let mostly = |(count, all): (usize, usize)| all > 0 && count * 10 >= all * 9;
    let hardly = |(count, all): (usize, usize)| count * 10 < all;
    if bytes.len() < SHORTEST {
        return None;
    }
    let quarters = [zeros(4, 0), zeros(4, 1), zeros(4, 2), zeros(4, 3)];
    let empty = quarters.iter().filter(|quarter| mostly(**quarter)).count();
    let (even, odd) = (zeros(2, 0), zeros(2, 1));
    if empty == 3 && quarters.iter().any(|quarter| hardly(*quarter)) {
        Some(EncodingError::Utf32)
    } else if (mostly(even) && hardly(odd)) || (mostly(odd) && hardly(even)) {
        Some(EncodingError::Utf16)
    } else {
        None
    }
}

const BYTE_ORDER_MARK: char = '\u{feff}';
/// The minimum number of bytes for that: two letters.
const SHORTEST: usize = 4;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn utf16(text: &str, order: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(order).collect()
    }

    fn utf32(text: &str, order: fn(u32) -> [u8; 4]) -> Vec<u8> {
        text.chars().map(u32::from).flat_map(order).collect()
    }

    #[test]
    fn other_encodings_are_named_with_a_mark_and_without() {
        for text in ["\u{feff}key", "key", "[argil]\napi_key = 'é“'\r\n", "pässwort"] {
            for order in [u16::to_le_bytes, u16::to_be_bytes] {
                assert_eq!(decode(&utf16(text, order)), Err(EncodingError::Utf16), "{text}");
            }
            for order in [u32::to_le_bytes, u32::to_be_bytes] {
                assert_eq!(decode(&utf32(text, order)), Err(EncodingError::Utf32), "{text}");
            }
        }
        assert_eq!(decode(b"ab\xe9"), Err(EncodingError::Unknown { good: 2 }));
    }

    #[test]
    fn one_mark_before_the_text_is_taken_off() {
        assert_eq!(decode(b"\xef\xbb\xbfkey"), Ok("key"));
        assert_eq!(decode(b"\xef\xbb\xbf\xef\xbb\xbfkey"), Ok("\u{feff}key"));
        assert_eq!(decode(b"key\xef\xbb\xbf"), Ok("key\u{feff}"));
        for text in ["", "k", "\0", "k\0", "key\0", "한국어", "\u{100}\u{100}"] {
            assert_eq!(decode(text.as_bytes()), Ok(text), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_text_without_zeros_is_taken_as_it_is(text in "[^\0\u{feff}]*") {
            prop_assert_eq!(decode(text.as_bytes()), Ok(text.as_str()));
        }
    }
}
