//! The beginning of another server's answer, as it may be shown: what is secret in it becomes
//! `***`.

use crate::mask::Mask;
use crate::text::sanitize::sanitize_line;

/// The beginning of another server's answer, without any of the `hidden` texts, which it may
/// have sent back to us. `None` when there is nothing to read.
pub(super) fn redacted_excerpt(answer: &[u8], hidden: &[String]) -> Option<String> {
    let text = String::from_utf8_lossy(answer);
    let text = Mask::new(hidden).beginning(&text).into_owned();
    Some(sanitize_line(&text, SNIPPET_CHARS_MAX)).filter(|line| !line.is_empty())
}

const SNIPPET_CHARS_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snippet_is_short_and_keeps_our_secrets() {
        let hidden = ["hunter2".to_owned(), String::new()];
        let check = |answer: &[u8], expected: Option<&str>| {
            assert_eq!(redacted_excerpt(answer, &hidden).as_deref(), expected);
        };
        check(b"no such path: /h/hunter2\n", Some("no such path: /h/***"));
        check(b"\xff\xfe", Some("\u{fffd}\u{fffd}"));
        check(b" \r\n", None);
        check(&[b'a'; 4096], Some(&format!("{}…", "a".repeat(199))));
    }
}
