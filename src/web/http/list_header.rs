//! List headers (RFC 9110, section 5.6.1): elements with parameters and weights, parsed according
//! to the grammar.

use axum::http::HeaderMap;
use axum::http::header::AsHeaderName;

/// A value and its parameters; names in lower case, values without quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::web) struct Element {
    pub(in crate::web) value: String,
    pub(in crate::web) parameters: Vec<(String, String)>,
}

/// The elements of all headers with a name, in order. Headers that are not ASCII are ignored.
pub(in crate::web) fn elements(headers: &HeaderMap, name: impl AsHeaderName) -> Vec<Element> {
    let texts = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| split(text, ',')).filter_map(element).collect()
}

/// The weight of the media type `kind`, such as `text/plain`, in thousandths (RFC 9110, section
/// 12.5.1): that of the most specific element of `Accept`; the maximum without `Accept`.
/// `version` is the version of `kind`.
pub(in crate::web) fn weight(accepted: &[Element], kind: &str, version: &str) -> u16 {
    if accepted.is_empty() {
        return WEIGHT_MAX;
    }
    let best = accepted.iter().filter_map(|element| {
        let weight = element.weight()?;
        let specificity = element.specificity(kind, version)?;
        // Of two equally specific ones, the one with the higher weight.
        Some((specificity, weight))
    });
    best.max().map_or(0, |(_, weight)| weight)
}

impl Element {
    pub(in crate::web) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str())
    }

    /// How specifically a media range matches `kind`; `None` when it does not match.
    fn specificity(&self, kind: &str, version: &str) -> Option<u8> {
        let (main, _) = kind.split_once('/')?;
        let specificity = match self.value.split_once('/')? {
            ("*", "*") => 0,
            (wanted, "*") if wanted.eq_ignore_ascii_case(main) => 1,
            _ if self.value.eq_ignore_ascii_case(kind) => 2,
            _ => return None,
        };
        match self.parameter("version") {
            None => Some(specificity),
            Some(wanted) if wanted == version => Some(specificity + 1),
            Some(_) => None,
        }
    }

    /// The weight in thousandths (RFC 9110, section 12.4.2); `None` when it is invalid.
    fn weight(&self) -> Option<u16> {
        let Some(text) = self.parameter("q") else { return Some(WEIGHT_MAX) };
        let (whole, part) = text.split_once('.').unwrap_or((text, ""));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if !matches!(whole, "0" | "1") || part.len() > 3 || !digits(part) {
            return None;
        }
        let part: u16 = format!("{part:0<3}").parse().ok()?;
        let weight = if whole == "1" { WEIGHT_MAX + part } else { part };
        (weight <= WEIGHT_MAX).then_some(weight)
    }
}

fn element(text: &str) -> Option<Element> {
    let mut parts = split(text, ';').into_iter();
    let value = unquoted(parts.next()?);
    if value.is_empty() {
        return None;
    }
    let parameters = parts.filter_map(|part| {
        let (name, value) = part.split_once('=')?;
        Some((name.trim().to_ascii_lowercase(), unquoted(value)))
    });
    Some(Element { value, parameters: parameters.collect() })
}

/// Splits at separators outside of quotes.
fn split(text: &str, separator: char) -> Vec<&str> {
    let (mut parts, mut start) = (Vec::new(), 0);
    let (mut quoted, mut escaped) = (false, false);
    for (at, char) in text.char_indices() {
        match char {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if char == separator && !quoted => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

/// A token, or the content of a quoted string without its escapes.
fn unquoted(text: &str) -> String {
    let text = text.trim_matches([' ', '\t']);
    let Some(inner) = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) else {
        return text.to_owned();
    };
    let mut plain = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(char) = chars.next() {
        plain.extend(if char == '\\' { chars.next() } else { Some(char) });
    }
    plain
}

const WEIGHT_MAX: u16 = 1000;

#[cfg(test)]
mod tests {
    use axum::http::header::ACCEPT;
    use proptest::prelude::*;

    use super::*;

    fn accepted(lines: &[&str]) -> Vec<Element> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(ACCEPT, line.parse().unwrap());
        }
        elements(&headers, ACCEPT)
    }

    #[test]
    fn the_most_specific_range_decides_the_weight() {
        let check = |lines: &[&str], expected: u16| {
            assert_eq!(weight(&accepted(lines), "text/plain", "0.0.4"), expected, "{lines:?}");
        };
        check(&[], 1000);
        check(&["*/*"], 1000);
        check(&["text/plain;q=0"], 0);
        check(&["*/*;q=0.1, TEXT/*;Q=0.25 , text/plain ; q=0.5"], 500);
        check(&["text/plain;q=0.5", "text/*, */*"], 500);
        check(&["text/plain;q=0, */*"], 0);
        check(&["text/plain;version=0.0.4;q=0.7, text/plain;q=0.2"], 700);
        check(&["text/plain;version=\"1.0.0\";q=0.7, text/plain;q=0.2"], 200);
        check(&["text/html, application/json"], 0);
        check(&["text/plainer, x-text/plain, text"], 0);
        check(&["a/b;x=\"text/plain, */*\""], 0);
        check(&["a/b;x=\"\\\", text/plain;q=0.3\", text/plain;q=0.9"], 900);
        check(&["text/plain;q=1.000"], 1000);
        for none in ["1.001", "2", "-1", "0.1234", ".5", "", "x", "1e0"] {
            check(&[&format!("text/plain;q={none}, */*;q=0.2")], 200);
        }
        check(&[",, ,text/plain;q=0.4,"], 400);
    }

    #[test]
    fn quotes_are_removed() {
        let mut headers = HeaderMap::new();
        headers.append("forwarded", "for=\"[::1]:80\";Host=\"a\\\"b,c\", host=d".parse().unwrap());
        let hosts: Vec<_> = elements(&headers, "forwarded");
        assert_eq!(hosts[0].parameter("host"), Some("a\"b,c"));
        assert_eq!(hosts[1].value, "host=d");
    }

    proptest! {
        #[test]
        fn any_header_can_be_parsed(text in "[ -~\t]{0,64}") {
            let found = accepted(&[&text]);
            prop_assert!(weight(&found, "text/plain", "0.0.4") <= 1000);
        }
    }
}
