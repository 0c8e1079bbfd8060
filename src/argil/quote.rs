//! Text that a server wrote, made fit to be shown: one short line without tricks.
//!
//! Control characters, characters that turn the direction of writing, and the key itself (some
//! servers repeat it in their complaint) never get through.

use crate::secret::Secret;

/// Makes a server's text fit for a reason: the key as `***`, blanks and line breaks as single
/// blanks, control and bidi characters as U+FFFD, backticks as `'`, at most 200 characters.
pub fn quote(text: &str, key: &Secret) -> String {
    // The key is opened to be taken out, never to be shown.
    let safe = match key.expose() {
        "" => text.to_owned(),
        key => text.replace(key, "***"),
    };
    let mut line = String::new();
    let mut length = 0;
    for word in safe.split_whitespace() {
        let blank = usize::from(length > 0);
        for character in std::iter::repeat_n(' ', blank).chain(word.chars()) {
            if length == QUOTE_LENGTH_MAX {
                line.pop();
                line.push('…');
                return line;
            }
            line.push(shown(character));
            length += 1;
        }
    }
    line
}

/// The character itself, or what stands for it.
fn shown(character: char) -> char {
    match character {
        '`' => '\'',
        '\u{61c}' | '\u{200e}' | '\u{200f}' => char::REPLACEMENT_CHARACTER,
        '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => char::REPLACEMENT_CHARACTER,
        _ if character.is_control() => char::REPLACEMENT_CHARACTER,
        _ => character,
    }
}

const QUOTE_LENGTH_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_text_becomes_one_harmless_line() {
        let check = |text: &str, expected: &str| {
            assert_eq!(quote(text, &Secret::new("k3y-k3y")), expected, "for {text:?}");
        };
        check("upstream exploded", "upstream exploded");
        check("  two\r\n\tlines  \u{2028}", "two lines");
        check("a\u{0}b\u{1b}[31mc\u{7f}\u{9b}d", "a\u{fffd}b\u{fffd}[31mc\u{fffd}\u{fffd}d");
        check("a\u{202e}b\u{2066}c\u{200f}d", "a\u{fffd}b\u{fffd}c\u{fffd}d");
        check("a `b`", "a 'b'");
        check("no such key: k3y-k3y!", "no such key: ***!");
        check(&"é".repeat(200), &"é".repeat(200));
        check(&"é".repeat(201), &format!("{}…", "é".repeat(199)));
        check("", "");
        let cut = format!("{}k3y-k3y", "x".repeat(196));
        check(&cut, &format!("{}***", "x".repeat(196)));
        assert_eq!(quote("ab", &Secret::new("")), "ab");
    }
}
