//! Escapes for printed text: characters that a terminal interprets, and those that hide or reorder
//! text, are shown by their code points. Nothing is omitted.

use crate::text::characters::{is_filler, is_unsafe};

/// Appends `text` with escapes such as `\n` and `\u{202e}`.
pub(crate) fn push_escaped(line: &mut String, text: &str) {
    for char in text.chars() {
        if is_unsafe(char) {
            line.extend(char.escape_default());
        } else {
            line.push(char);
        }
    }
}

/// A JSON document of any form with everything that shows nothing escaped as JSON has it, such as
/// `\u202e`: it means the same. Line breaks between its parts stay.
pub(crate) fn escape_json(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for char in json.chars() {
        // Within its texts, a line break is escaped already.
        if char != '\n' && (is_unsafe(char) || is_filler(char)) {
            for unit in char.encode_utf16(&mut [0; 2]) {
                escaped.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            escaped.push(char);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_unsafe_is_shown_as_an_escape() {
        let check = |text: &str, expected: &str, json: &str| {
            let mut line = String::new();
            push_escaped(&mut line, text);
            assert_eq!((line.as_str(), escape_json(text).as_str()), (expected, json), "{text:?}");
        };
        check("Jané 👩", "Jané 👩", "Jané 👩");
        check("a\u{1b}[2J\r", "a\\u{1b}[2J\\r", "a\\u001b[2J\\u000d");
        check("\u{9b}\u{202e}", "\\u{9b}\\u{202e}", "\\u009b\\u202e");
        check("\u{e0041}", "\\u{e0041}", "\\udb40\\udc41");
        // An emoji stays one for people, and means the same to programs.
        check("👩\u{200d}🚀", "👩\u{200d}🚀", "👩\\u200d🚀");
    }

    /// Any text, most of it of characters that are not to be seen.
    fn hostile() -> impl Strategy<Value = String> {
        let is_hidden = |char: &char| is_unsafe(*char) || is_filler(*char);
        let hidden: Vec<char> = ('\0'..=char::MAX).filter(is_hidden).collect();
        let hidden = prop::sample::select(hidden);
        let any = prop_oneof![hidden, prop::char::range('\0', '\u{a0}'), any::<char>()];
        prop::collection::vec(any, 0..40).prop_map(|chars| chars.into_iter().collect())
    }

    proptest! {
        #[test]
        fn whatever_a_text_holds_its_json_shows_everything_and_means_the_same(text in hostile()) {
            for json in [serde_json::to_string(&text), serde_json::to_string_pretty(&[&text])] {
                let escaped = escape_json(&json.unwrap());
                let hides = |char: char| char != '\n' && (is_unsafe(char) || is_filler(char));
                prop_assert!(!escaped.contains(hides), "{escaped:?}");
                let back: serde_json::Value = serde_json::from_str(&escaped).unwrap();
                let back = back.as_str().or_else(|| back[0].as_str());
                prop_assert_eq!(back, Some(text.as_str()));
            }
        }

        #[test]
        fn an_escaped_text_is_one_line_without_anything_unsafe(text in hostile()) {
            let mut line = String::new();
            push_escaped(&mut line, &text);
            prop_assert!(!line.contains(is_unsafe), "{line:?}");
        }
    }
}
