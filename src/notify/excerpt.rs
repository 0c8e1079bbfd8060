//! The excerpt of a response that is shown to people, with secrets masked as `***`.

use crate::mask::Mask;
use crate::text::sanitize::sanitize_line;

/// The beginning of a response as one line, without the `hidden` texts, which a receiver may have
/// echoed. `None` when it is blank.
pub(super) fn redacted_excerpt(response: &[u8], hidden: &[String]) -> Option<String> {
    if response.is_empty() {
        return None;
    }
    let text = String::from_utf8_lossy(&response[..response.len().min(BYTES_MAX)]);
    let mask = Mask::new(hidden);
    let is_cut = response.len() > BYTES_MAX;
    let text = if is_cut { mask.beginning(&text) } else { mask.received(&text) };
    Some(sanitize_line(&text, EXCERPT_CHARS_MAX)).filter(|line| !line.is_empty())
}

const BYTES_MAX: usize = 4096;
const EXCERPT_CHARS_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_short_and_masks_secrets() {
        let hidden = ["hunter2".to_owned(), String::new()];
        let check = |response: &[u8], expected: Option<&str>| {
            assert_eq!(redacted_excerpt(response, &hidden).as_deref(), expected);
        };
        check(b"no such path: /h/hunter2\n", Some("no such path: /h/***"));
        check(b"no such hunt", Some("no such hunt"));
        check(b"no such path: /h/hunter", Some("no such path: /h/***"));
        let cut = [b" ".repeat(BYTES_MAX - 3), b"hunter".to_vec()].concat();
        check(&cut, Some("***"));
        check(b"\xff\xfe", Some("\u{fffd}\u{fffd}"));
        check(b" \r\n", None);
        check(&[b'a'; 4096], Some(&format!("{}…", "a".repeat(199))));
    }
}
