//! Text from outside, made harmless enough for one line of a log, a subject or a table.
//!
//! It never hides that something was there: what cannot be shown becomes a blank, and what is
//! too long ends in an ellipsis.

/// `text` on one line, with at most `chars_max` characters: control characters, line breaks and
/// everything that turns the direction of writing become blanks, and blanks stand alone.
pub fn one_line(text: &str, chars_max: usize) -> String {
    let mut line = String::new();
    let mut count = 0;
    for word in text.split(|char: char| char.is_whitespace() || is_unseen(char)) {
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

/// `text` with everything in it marked that a terminal would obey, or that hides or reorders.
pub fn plain(text: &str) -> String {
    text.chars().map(|char| if is_unseen(char) { MARK } else { char }).collect()
}

/// Control characters, and the format characters of Unicode that reorder or hide text.
pub fn is_unseen(char: char) -> bool {
    char.is_control()
        || matches!(
            char,
            '\u{61c}'
                | '\u{200b}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

const ELLIPSIS: char = '…';
const MARK: char = '\u{fffd}';

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_becomes_one_harmless_line() {
        let check = |text: &str, expected: &str| {
            assert_eq!(one_line(text, 12), expected, "for {text:?}");
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
    fn nothing_that_a_terminal_obeys_gets_through() {
        assert_eq!(
            plain("a\u{1b}[2Jb\u{202e}c\r\nd\u{9b}é"),
            "a\u{fffd}[2Jb\u{fffd}c\u{fffd}\u{fffd}d\u{fffd}é"
        );
    }
}
