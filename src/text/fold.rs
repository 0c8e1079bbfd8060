//! The comparison of names and tags as people read them: neither the case of letters nor the way
//! in which an accented letter is encoded matters.

use unicode_normalization::UnicodeNormalization as _;

/// `text` in the form that is compared: normalized (NFC), and without case. Each letter becomes a
/// capital in between, which has one form for `σ` and `ς`, and two letters for `ß`.
pub(crate) fn folded(text: &str) -> String {
    let capitals = text.nfd().flat_map(char::to_lowercase).flat_map(char::to_uppercase);
    capitals.flat_map(char::to_lowercase).nfc().collect()
}

/// `text` with each accented letter as one character where there is one (NFC).
pub(crate) fn composed(text: &str) -> String {
    text.nfc().collect()
}

/// Whether it belongs to the letter before it, such as an accent or a vowel sign.
pub(crate) fn is_mark(char: char) -> bool {
    unicode_normalization::char::is_combining_mark(char)
}

/// Whether two names are the same to people, who care neither for case nor for blanks around them.
pub(crate) fn is_same_name(one: &str, other: &str) -> bool {
    folded(one.trim()) == folded(other.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_people_read_as_the_same_are_the_same() {
        let check = |one: &str, other: &str, expected: bool| {
            assert_eq!(is_same_name(one, other), expected, "`{one}` and `{other}`");
            assert_eq!(is_same_name(other, one), expected, "`{other}` and `{one}`");
        };
        check("Jane", " jANE\t", true);
        check("Jos\u{e9}", "JOSE\u{301}", true);
        check("Jose", "Jos\u{e9}", false);
        check("γιώργος", "ΓΙΏΡΓΟΣ", true);
        check("Straße", "STRASSE", true);
        check("Straße", "STRAẞE", true);
        check("İpek", "i\u{307}PEK", true);
        check("\u{1e69}", "s\u{307}\u{323}", true);
        check("हिन्दी", "हिन्दी ", true);
        check("한국", "\u{1112}\u{1161}\u{11ab}\u{1100}\u{116e}\u{11a8}", true);
        check("ﬁn", "FIN", true);
    }

    #[test]
    fn folding_again_changes_nothing() {
        for char in (0..=0x10_ffff).filter_map(char::from_u32) {
            let once = folded(char.encode_utf8(&mut [0; 4]));
            assert_eq!(folded(&once), once, "for {char:?}");
        }
    }
}
