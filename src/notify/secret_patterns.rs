//! The parts of a webhook's settings that are masked in excerpts, since receivers and proxies echo
//! requests.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use url::Url;

use crate::secret::Secret;
use crate::signing_secret::SigningSecret;

/// The secret parts of a URL: error pages echo the path, or parts of it. The words with which the
/// paths of hosts begin, and the names of parameters, are no secrets.
pub(super) fn of_url(url: &Url) -> Vec<String> {
    let segments: Vec<&str> = url.path_segments().into_iter().flatten().collect();
    let public = segments.iter().take_while(|segment| is_public(segment)).count();
    let path = segments.get(public..).unwrap_or_default().join("/");
    let mut parts: Vec<String> =
        segments.into_iter().filter(|it| !is_public(it)).map(str::to_owned).collect();
    if let Some(query) = url.query() {
        parts.extend([query.to_owned(), format!("{path}?{query}")]);
        let secret =
            |(name, value): (&str, &str)| if value.is_empty() { name } else { value }.to_owned();
        let written = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        parts.extend(written.map(secret));
        parts.extend(url.query_pairs().map(|(name, value)| secret((&name, &value))));
    }
    parts.push(path);
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

/// Whether every user of a host has this word in the path: no secret.
fn is_public(segment: &str) -> bool {
    let is_version = segment
        .strip_prefix('v')
        .is_some_and(|rest| rest.len() <= 2 && rest.bytes().all(|byte| byte.is_ascii_digit()));
    is_version || PUBLIC_WORDS.iter().any(|word| word.eq_ignore_ascii_case(segment))
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
    let mut parts = vec![credentials.to_owned()];
    // Any other word before a blank may be part of a secret.
    let scheme = value.split(' ').next().unwrap_or_default();
    if !SCHEMES.iter().any(|known| known.eq_ignore_ascii_case(scheme)) {
        parts.push(value.to_owned());
    }
    let decoded = STANDARD.decode(credentials).ok();
    let login = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
    if let Some((user, password)) = login.as_deref().and_then(|login| login.split_once(':')) {
        parts.extend([format!("{user}:{password}"), password.to_owned()]);
    }
    parts
}

/// Characters; shorter parts of a URL are words, not secrets.
pub(super) const SECRET_CHARS_MIN: usize = 6;

/// Words in the paths of webhooks of well-known hosts, at their beginning or among the secrets.
const PUBLIC_WORDS: [&str; 21] = [
    "",
    "alerts",
    "api",
    "enqueue",
    "events",
    "hook",
    "hooks",
    "incoming",
    "incomingwebhook",
    "invoke",
    "manual",
    "messages",
    "notify",
    "paths",
    "services",
    "spaces",
    "triggers",
    "webhook",
    "webhookb2",
    "webhooks",
    "workflows",
];
/// Words before the credentials in a header (RFC 9110, section 11).
const SCHEMES: [&str; 6] = ["apikey", "basic", "bearer", "digest", "key", "token"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::excerpt::redacted_excerpt;

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
    fn words_that_all_users_of_a_host_share_are_no_secrets() {
        let check = |url: &str, answer: &str, expected: &str| {
            let shown = redacted_excerpt(answer.as_bytes(), &of_url(&Url::parse(url).unwrap()));
            assert_eq!(shown.as_deref(), Some(expected), "{url}");
        };
        let slack = "https://hooks.slack.com/services/T0/B0/xyz";
        check(slack, "no_service", "no_service");
        check(slack, "no such services", "no such services");
        check(slack, "no_services/T0/B0/xyz", "no_services/***");
        check(slack, "POST /services/T0/B0/xy", "POST /services/***");
        let discord = "https://discord.com/api/webhooks/1234567/tOkEn-77";
        check(discord, "Unknown webhooks", "Unknown webhooks");
        check(discord, "/api/webhooks/1234567/tOkEn-77", "/api/webhooks/***");
        let teams = "https://x.example/webhookb2/g-u-i-d@77/IncomingWebhook/s3cret77";
        check(teams, "IncomingWebhook failed", "IncomingWebhook failed");
        check(teams, "bad g-u-i-d@77 or s3cret77", "bad *** or ***");
        let chat = "https://chat.example/v1/spaces/AAAA77/messages?apikey=k3y-77-k3y&once-more";
        check(chat, "no apikey in messages", "no apikey in messages");
        check(chat, "AAAA77 k3y-77-k3y once-more", "*** *** ***");
    }

    #[test]
    fn the_secret_parts_of_a_header_are_found() {
        let check = |value: &str, expected: &[&str]| {
            assert_eq!(of_header(&Secret::new(value)), expected, "for `{value}`");
        };
        check("Bearer t0ken-77", &["t0ken-77"]);
        check("half1 half2", &["half2", "half1 half2"]);
        check("Basic dXNlcjpwYXNzdzByZA==", &["dXNlcjpwYXNzdzByZA==", "user:passw0rd", "passw0rd"]);
        check("eu-1", &["eu-1", "eu-1"]);
    }
}
