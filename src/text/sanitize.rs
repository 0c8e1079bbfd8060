//! Sanitizes untrusted text for one line of a log, a subject or a table. What cannot be shown
//! becomes a blank, and truncation is marked with an ellipsis.

use crate::text::characters::{is_filler, is_unsafe};

/// `text` on one line, with at most `chars_max` characters: control characters, line breaks and
/// changes of the writing direction become single blanks.
pub(crate) fn sanitize_line(text: &str, chars_max: usize) -> String {
    let mut line = String::new();
    let mut count = 0;
    for word in text.split(|char: char| char.is_whitespace() || is_unsafe(char)) {
        if word.is_empty() {
            continue;
        }
        let blank = (!line.is_empty()).then_some(' ');
        for char in blank.into_iter().chain(word.chars()) {
            if count == chars_max {
                line.pop();
                line.push(ELLIPSIS);
                return line;
            }
            line.push(char);
            count += 1;
        }
    }
    line
}

/// `text` with everything escaped that a terminal interprets, or that hides or reorders text.
pub(crate) fn sanitize(text: &str) -> String {
    text.chars().map(|char| if is_unsafe(char) { REPLACEMENT } else { char }).collect()
}

/// Whether `text` has no visible character.
pub(crate) fn is_blank(text: &str) -> bool {
    text.chars().all(is_blank_char)
}

pub(crate) fn trim_blank(text: &str) -> &str {
    text.trim_matches(is_blank_char)
}

/// Whether it is invisible: a blank, an unsafe character, or a joiner or filler.
pub(crate) fn is_blank_char(char: char) -> bool {
    is_filler(char) || char.is_whitespace() || is_unsafe(char)
}

const ELLIPSIS: char = '…';
const REPLACEMENT: char = '\u{fffd}';

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_becomes_one_harmless_line() {
        let check = |text: &str, expected: &str| {
            assert_eq!(sanitize_line(text, 12), expected, "for {text:?}");
        };
        check("Jane", "Jane");
        check("  Jane\r\nBcc: x ", "Jane Bcc: x");
        check("evil\u{202e}gpj.exe", "evil gpj.exe");
        check("\u{0}\u{7f}\u{200b}", "");
        check("👩\u{200d}🚀 on", "👩\u{200d}🚀 on");
        check("twelve chars", "twelve chars");
        check("thirteen char", "thirteen ch…");
        check(&"x".repeat(10_000), "xxxxxxxxxxx…");
    }

    #[test]
    fn invisible_text_is_blank() {
        for blank in ["", " \t\u{a0}\u{3000}", "\u{200b}\u{2060}\u{feff}", "\u{3164}", "\u{2800}"] {
            assert!(is_blank(blank), "{blank:?}");
        }
        for blank in ["\u{ad}", "\u{200d}\u{fe0f}", "\u{202e} \u{e0041}", "\u{0}\u{1b}"] {
            assert!(is_blank(blank), "{blank:?}");
        }
        for seen in ["a", " .", "\u{200b}é", "👩\u{200d}🚀", "한"] {
            assert!(!is_blank(seen), "{seen:?}");
        }
    }

    #[test]
    fn only_invisible_characters_are_trimmed_and_only_at_the_ends() {
        for blank in ["\n", "\r\n", " \t\u{a0}", "\u{feff}", "\u{200b}\u{200d}", "\u{0}"] {
            assert_eq!(trim_blank(&format!("{blank}a b{blank}")), "a b", "{blank:?}");
            assert_eq!(trim_blank(blank), "");
        }
        assert_eq!(trim_blank("a\u{200b}b."), "a\u{200b}b.");
    }

    #[test]
    fn nothing_that_a_terminal_obeys_gets_through() {
        assert_eq!(
            sanitize("a\u{1b}[2Jb\u{202e}c\r\nd\u{9b}é"),
            "a\u{fffd}[2Jb\u{fffd}c\u{fffd}\u{fffd}d\u{fffd}é"
        );
    }
}
