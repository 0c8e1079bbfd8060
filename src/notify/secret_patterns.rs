//! The parts of a webhook's settings that are masked in excerpts, since receivers and proxies echo
//! requests.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use url::Url;

use crate::secret::Secret;
use crate::signing_secret::SigningSecret;

/// The secret parts of a URL: error pages echo the path, or parts of it.
pub(super) fn of_url(url: &Url) -> Vec<String> {
    let mut parts = vec![url.path().to_owned()];
    if let Some(query) = url.query() {
        parts.extend([query.to_owned(), format!("{}?{query}", url.path())]);
    }
    parts.extend(url.path_segments().into_iter().flatten().map(str::to_owned));
    parts.extend(url.query_pairs().map(|(_, value)| value.into_owned()));
    parts.extend(
        url.query().into_iter().flat_map(|query| query.split(['&', '='])).map(str::to_owned),
    );
    parts.extend([url.username().to_owned(), url.password().unwrap_or_default().to_owned()]);
    let decoded = |part: &String| percent_decode_str(part).decode_utf8_lossy().into_owned();
    parts.extend(parts.iter().map(decoded).collect::<Vec<_>>());
    if let Some(password) = url.password() {
        let [user, password] =
            [url.username(), password].map(|part| percent_decode_str(part).decode_utf8_lossy());
        // Sent as basic authentication, and echoed in that form (RFC 7617).
        parts.push(STANDARD.encode(format!("{user}:{password}")));
    }
    parts.retain(|part| part.chars().count() >= SECRET_CHARS_MIN);
    parts
}

/// The forms in which a receiver could echo a signing secret.
pub(super) fn of_signing(secret: &SigningSecret) -> Vec<String> {
    let whole = secret.reveal();
    let bare = whole.trim_start_matches("whsec_").to_owned();
    vec![whole, bare]
}

/// The value of a header, and the credentials after a scheme such as `Bearer`; for basic
/// authentication, also the decoded credentials (RFC 7617).
pub(super) fn of_header(value: &Secret) -> Vec<String> {
    let value = value.expose();
    let credentials = value.split_once(' ').map_or(value, |(_, credentials)| credentials.trim());
    let mut parts = vec![value.to_owned(), credentials.to_owned()];
    let decoded = STANDARD.decode(credentials).ok();
    let login = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
    if let Some((user, password)) = login.as_deref().and_then(|login| login.split_once(':')) {
        parts.extend([format!("{user}:{password}"), password.to_owned()]);
    }
    parts
}

/// Characters; shorter parts of a URL are words, not secrets.
pub(super) const SECRET_CHARS_MIN: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_parts_of_a_url_are_found() {
        let url =
            Url::parse("https://user:passw0rd@h.example/hook/T0K%2FEN77?sig=abc%3Ddef").unwrap();
        let parts = of_url(&url);
        for part in
            ["T0K%2FEN77", "T0K/EN77", "passw0rd", "abc=def", "abc%3Ddef", "dXNlcjpwYXNzdzByZA=="]
        {
            assert!(parts.contains(&part.to_owned()), "{part} in {parts:?}");
        }
        assert!(!parts.contains(&"hook".to_owned()));
    }

    #[test]
    fn the_secret_parts_of_a_header_are_found() {
        let check = |value: &str, expected: &[&str]| {
            assert_eq!(of_header(&Secret::new(value)), expected, "for `{value}`");
        };
        check("Bearer t0ken-77", &["Bearer t0ken-77", "t0ken-77"]);
        check(
            "Basic dXNlcjpwYXNzdzByZA==",
            &["Basic dXNlcjpwYXNzdzByZA==", "dXNlcjpwYXNzdzByZA==", "user:passw0rd", "passw0rd"],
        );
        check("eu-1", &["eu-1", "eu-1"]);
    }
}
