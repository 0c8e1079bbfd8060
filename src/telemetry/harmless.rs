//! Text made harmless for a line of the log: what a terminal would obey, and what hides or
//! reorders other text, is shown as an escape. Nothing is left out.

/// Appends `text` with escapes such as `\n` and `\u{202e}`.
pub(super) fn push_harmless(line: &mut String, text: &str) {
    for char in text.chars() {
        if is_harmful(char) {
            line.extend(char.escape_default());
        } else {
            line.push(char);
        }
    }
}

/// Appends JSON, in whose texts alone anything harmful can stand, with escapes as JSON has them.
pub(super) fn push_harmless_json(line: &mut String, json: &str) {
    for char in json.chars() {
        if is_harmful(char) {
            for unit in char.encode_utf16(&mut [0; 2]) {
                line.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            line.push(char);
        }
    }
}

/// Control characters, and the format characters of Unicode that reorder or hide text.
pub(super) fn is_harmful(char: char) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::foreign_text::is_unseen;

    #[test]
    fn what_a_table_does_not_show_raw_the_log_does_not_either() {
        for char in '\0'..=char::MAX {
            assert_eq!(is_harmful(char), is_unseen(char), "{char:?}");
        }
    }

    #[test]
    fn what_is_harmful_is_shown_as_an_escape() {
        let check = |text: &str, expected: &str, json: &str| {
            let (mut line, mut object) = (String::new(), String::new());
            push_harmless(&mut line, text);
            push_harmless_json(&mut object, text);
            assert_eq!((line.as_str(), object.as_str()), (expected, json), "for {text:?}");
        };
        check("Jané 👩", "Jané 👩", "Jané 👩");
        check("a\u{1b}[2J\n", "a\\u{1b}[2J\\n", "a\\u001b[2J\\u000a");
        check("\u{9b}\u{202e}", "\\u{9b}\\u{202e}", "\\u009b\\u202e");
        check("\u{e0041}", "\\u{e0041}", "\\udb40\\udc41");
    }
}
