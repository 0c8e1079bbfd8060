//! Excerpts of server text that are safe to show: one short line without control characters,
//! without changes of the writing direction, and with the key masked (some servers repeat it in
//! errors).

use crate::mask::Mask;
use crate::text::sanitize::sanitize_line;

/// Sanitizes the text of a server: the key becomes `***`, unsafe characters a single blank,
/// backticks `'`; at most 200 characters.
pub(super) fn sanitize_excerpt(text: &str, mask: &Mask) -> String {
    sanitize_line(&mask.received(text), QUOTE_LENGTH_MAX).replace('`', "'")
}

const QUOTE_LENGTH_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_text_becomes_one_harmless_line() {
        let check = |text: &str, expected: &str| {
            assert_eq!(sanitize_excerpt(text, &Mask::new(["k3y-k3y"])), expected, "for {text:?}");
        };
        check("upstream exploded", "upstream exploded");
        check("  two\r\n\tlines  \u{2028}", "two lines");
        check("a\u{0}b\u{1b}[31mc\u{7f}\u{9b}d", "a b [31mc d");
        check("a\u{202e}b\u{2066}c\u{200f}d", "a b c d");
        check("a `b`", "a 'b'");
        check("no such key: k3y-k3y!", "no such key: ***!");
        check(&"é".repeat(200), &"é".repeat(200));
        check(&"é".repeat(201), &format!("{}…", "é".repeat(199)));
        check("", "");
        let cut = format!("{}k3y-k3y", "x".repeat(196));
        check(&cut, &format!("{}***", "x".repeat(196)));
        assert_eq!(sanitize_excerpt("ab", &Mask::default()), "ab");
    }
}
