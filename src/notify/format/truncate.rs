//! Escapes a text for a service and truncates it in the unit that the service counts in.
//!
//! A cut never splits a grapheme cluster or an escape sequence.

use unicode_segmentation::UnicodeSegmentation as _;

/// The unit of a length limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LengthUnit {
    /// Bytes of UTF-8.
    Bytes,
    /// Units of UTF-16, as JavaScript counts.
    Utf16,
    /// Characters of Unicode.
    Chars,
}

impl LengthUnit {
    pub(super) fn count(self, text: &str) -> usize {
        match self {
            Self::Bytes => text.len(),
            Self::Utf16 => text.encode_utf16().count(),
            Self::Chars => text.chars().count(),
        }
    }
}

/// The text, escaped character by character, with at most `max` units; a truncated text ends with
/// an ellipsis.
pub(super) fn truncate_escaped(
    text: &str,
    max: usize,
    unit: LengthUnit,
    escape: fn(char, &mut String),
) -> String {
    let room = max.saturating_sub(unit.count(ELLIPSIS));
    let mut fitted = String::new();
    let mut count = 0;
    // The longest prefix that leaves room for an ellipsis.
    let mut short = 0;
    for grapheme in text.graphemes(true) {
        let start = fitted.len();
        grapheme.chars().for_each(|char| escape(char, &mut fitted));
        count += unit.count(&fitted[start..]);
        if count > max {
            fitted.truncate(short);
            fitted.push_str(ELLIPSIS);
            return fitted;
        }
        if count <= room {
            short = fitted.len();
        }
    }
    fitted
}

/// Whether the text, escaped, has at most `max` units.
pub(super) fn fits_escaped(
    text: &str,
    max: usize,
    unit: LengthUnit,
    escape: fn(char, &mut String),
) -> bool {
    let mut escaped = String::new();
    text.chars().for_each(|char| escape(char, &mut escaped));
    unit.count(&escaped) <= max
}

/// Escapes nothing.
pub(super) fn no_escape(char: char, to: &mut String) {
    to.push(char);
}

const ELLIPSIS: &str = "…";

#[cfg(test)]
mod tests {
    use super::*;

    fn doubled(char: char, to: &mut String) {
        to.push(char);
        to.push(char);
    }

    #[test]
    fn a_text_is_truncated_in_the_given_unit() {
        let check = |text: &str, max: usize, unit: LengthUnit, expected: &str| {
            let fitted = truncate_escaped(text, max, unit, no_escape);
            assert_eq!(fitted, expected, "for {text:?} in {max} {unit:?}");
            assert!(unit.count(&fitted) <= max);
        };
        for unit in [LengthUnit::Bytes, LengthUnit::Utf16, LengthUnit::Chars] {
            check("twelve chars", 12, unit, "twelve chars");
            check("", 12, unit, "");
        }
        check("thirteen char", 12, LengthUnit::Chars, "thirteen ch…");
        check("thirteen char", 12, LengthUnit::Bytes, "thirteen …");
        check("ééééé", 9, LengthUnit::Bytes, "ééé…");
        check("🚀🚀🚀", 5, LengthUnit::Utf16, "🚀🚀…");
        check("🚀🚀🚀", 5, LengthUnit::Chars, "🚀🚀🚀");
        // A family emoji is one grapheme cluster of several code points.
        check("👩\u{200d}👩\u{200d}👧 x", 6, LengthUnit::Chars, "👩\u{200d}👩\u{200d}👧…");
        check("a👩\u{200d}👩\u{200d}👧", 4, LengthUnit::Chars, "a…");
        check("\u{5d0}\u{5b0}\u{5d1}", 2, LengthUnit::Chars, "…");
    }

    #[test]
    fn a_cut_never_splits_an_escape() {
        assert_eq!(truncate_escaped("abc", 6, LengthUnit::Chars, doubled), "aabbcc");
        assert_eq!(truncate_escaped("abcd", 6, LengthUnit::Chars, doubled), "aabb…");
    }
}
