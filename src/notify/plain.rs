//! The beginning of another server's answer, as it may be shown: what is secret in it becomes
//! `***`.
//!
//! A secret is known in the forms in which servers repeat what they got, and by its first
//! characters where the answer was cut amid it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::domain::foreign_text::one_line;

/// The beginning of another server's answer, without any of the `hidden` texts, which it may
/// have sent back to us. `None` when there is nothing to read.
pub(super) fn snippet(answer: &[u8], hidden: &[String]) -> Option<String> {
    let mut text = String::from_utf8_lossy(answer).into_owned();
    let mut forms: Vec<String> = hidden.iter().flat_map(|secret| forms(secret)).collect();
    // The longest first, so that none leaves a part of another behind.
    forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
    // First, since what is masked elsewhere may be a part of what was cut.
    mask_cut(&mut text, &forms);
    for form in &forms {
        text = text.replace(form.as_str(), MASK);
    }
    Some(one_line(&text, SNIPPET_CHARS_MAX)).filter(|line| !line.is_empty())
}

/// A secret as it may come back: as it is, in JSON, in a URL, in HTML, in base64.
fn forms(secret: &str) -> Vec<String> {
    if secret.is_empty() {
        return Vec::new();
    }
    // A text and no writer but memory: nothing in it can fail.
    let json = serde_json::to_string(secret).unwrap_or_default().trim_matches('"').to_owned();
    let encoded = utf8_percent_encode(secret, IN_URLS).to_string();
    let html = secret.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    vec![
        secret.to_owned(),
        json.replace('/', "\\/"),
        json,
        encoded.to_lowercase(),
        utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string(),
        encoded.replace("%20", "+"),
        encoded,
        html.replace('"', "&quot;").replace('\'', "&#39;"),
        html.replace('"', "&#34;").replace('\'', "&#x27;"),
        html,
        STANDARD.encode(secret),
    ]
    .into_iter()
    .filter(|form| !form.is_empty())
    .collect()
}

/// Masks what stands at the end and is a secret or begins like one: the rest of it may have been
/// cut off.
fn mask_cut(text: &mut String, forms: &[String]) {
    // Half a character, where the cut fell into one.
    let end = text.trim_end_matches(char::REPLACEMENT_CHARACTER).len();
    let begun = |form: &String| {
        let lengths: Vec<usize> =
            form.char_indices().map(|(at, _)| at).chain([form.len()]).collect();
        let lengths = lengths.into_iter().rev();
        lengths
            .take_while(|length| *length >= BEGINNING_BYTES_MIN)
            .find(|length| text[..end].ends_with(&form[..*length]))
    };
    if let Some(length) = forms.iter().filter_map(begun).max() {
        text.truncate(end - length);
        text.push_str(MASK);
    }
}

/// What `encodeURIComponent` of browsers leaves as it is.
const IN_URLS: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');
/// Fewer characters of a secret give nothing away, and many texts end in them.
const BEGINNING_BYTES_MIN: usize = 3;
const SNIPPET_CHARS_MAX: usize = 200;
const MASK: &str = "***";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snippet_is_short_and_keeps_our_secrets() {
        let hidden = ["hunter2".to_owned(), String::new()];
        let check = |answer: &[u8], expected: Option<&str>| {
            assert_eq!(snippet(answer, &hidden).as_deref(), expected);
        };
        check(b"no such path: /h/hunter2\n", Some("no such path: /h/***"));
        check(b"\xff\xfe", Some("\u{fffd}\u{fffd}"));
        check(b" \r\n", None);
        check(&[b'a'; 4096], Some(&format!("{}…", "a".repeat(199))));
    }

    #[test]
    fn a_secret_that_is_cut_off_leaves_no_half_behind() {
        let hidden = ["hunter2/pässword", "unter2", "abcabc"].map(str::to_owned);
        let check = |answer: &[u8], expected: &str| {
            assert_eq!(snippet(answer, &hidden).as_deref(), Some(expected));
        };
        check(b"no such path: /h/hunter2/p", "no such path: /h/***");
        check("it was hunter2/pä".as_bytes(), "it was ***");
        // The cut fell into the letter.
        check(&"it was hunter2/pä".as_bytes()[..17], "it was ***");
        check(b"it was hunter2\\/p", "it was ***");
        check(b"it was hun", "it was ***");
        check(b"it was hu", "it was hu");
        check(b"a hunter", "a ***");
        check(b"a hunter goes", "a hunter goes");
        check(b"it is abcabc", "it is ***");
        // A mask elsewhere does not hide the cut.
        let short = [hidden.as_slice(), &["e".to_owned()]].concat();
        assert_eq!(snippet(b"see hunter2/p", &short).as_deref(), Some("s****** ***"));
    }

    #[test]
    fn a_secret_is_known_in_every_form_in_which_servers_repeat_it() {
        let hidden = ["s/e\"c<r&e't +é".to_owned()];
        for form in [
            r#"s/e"c<r&e't +é"#,
            r#"s/e\"c<r&e't +é"#,
            r#"s\/e\"c<r&e't +é"#,
            "s%2Fe%22c%3Cr%26e't%20%2B%C3%A9",
            "s%2fe%22c%3cr%26e't%20%2b%c3%a9",
            "s%2Fe%22c%3Cr%26e't+%2B%C3%A9",
            "s/e\"c&lt;r&amp;e't +é",
            "s/e&quot;c&lt;r&amp;e&#39;t +é",
            "s/e&#34;c&lt;r&amp;e&#x27;t +é",
            "cy9lImM8ciZlJ3QgK8Op",
        ] {
            let shown = snippet(format!("no: {form}!").as_bytes(), &hidden);
            assert_eq!(shown.as_deref(), Some("no: ***!"), "for {form}");
        }
    }
}
