//! Parses URLs, and rejects those with a part that would change the host or be dropped.
//!
//! The URL standard of WHATWG reads a `\` as `/`, drops line breaks and never sends what follows a
//! `#`; a `/` in a password ends the host. Problems never repeat the URL.

use url::{Host, Url};

use crate::config::parse::field::Field;
use crate::config::parse::host;
use crate::domain::delivery::egress_policy::EgressPolicy;
use crate::secret::Secret;
use crate::text::odd_character::OddCharacter;

/// Reads a URL; `help` is the help text for an invalid one.
pub(in crate::config) fn parse(field: &Field<'_>, text: &str, help: &str) -> Option<Url> {
    if let Some((message, help)) = misread(text) {
        return field.invalid(message, help);
    }
    match Url::parse(text) {
        Ok(url) => Some(url),
        Err(error) if text.contains('@') => {
            field.invalid(format!("is no URL: {error}"), format!("{help}; {IN_PASSWORD}"))
        }
        Err(error) => field.invalid(format!("is no URL: {error}"), help),
    }
}

/// The URL of a `service` that requests may go to.
pub(in crate::config) fn service(
    field: &Field<'_>,
    secret: &Secret,
    help: &str,
    (service, egress): (&str, EgressPolicy),
) -> Option<Url> {
    let url = parse(field, secret.expose(), help)?;
    let Some(host) = url.host().filter(|_| matches!(url.scheme(), "http" | "https")) else {
        return field.invalid("is neither an `https` nor an `http` URL", help);
    };
    permitted(field, &host, service, egress)?;
    Some(url)
}

/// Reports a host that requests are not sent to.
pub(in crate::config) fn permitted(
    field: &Field<'_>,
    host: &Host<&str>,
    service: &str,
    egress: EgressPolicy,
) -> Option<()> {
    let Some(refusal) = host::refusal(host, egress) else { return Some(()) };
    let help = match refusal.is_configurable() {
        true => "remove `deny_private`, or name a receiver on the internet".to_owned(),
        false => format!("this address is always blocked; use the address of the {service}"),
    };
    field.invalid(format!("leads to `{host}`, which is {}", refusal.describe()), help)
}

/// The first problem of a URL that would be parsed differently from how it reads, and the help.
pub(in crate::config) fn misread(text: &str) -> Option<(&'static str, &'static str)> {
    let hides = |c: char| OddCharacter::of(c).is_some_and(|odd| !odd.is_visible());
    if text.chars().any(hides) {
        return Some(("contains a blank or an invisible character", INVISIBLE));
    }
    if text.contains('\\') {
        return Some(("contains a `\\`, which is read as a `/`", BACKSLASH));
    }
    let Some((_, rest)) = text.split_once("://") else {
        let is_web = ["http:", "https:"].iter().any(|scheme| text.starts_with(scheme));
        return is_web.then_some(("has no `//` after its scheme", "write it like `https://…`"));
    };
    let (authority, behind) = match rest.find(['/', '?', '#']) {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    // The end of the host may be a character of a password.
    let cut = behind.rsplit_once('@').map(|(before, _)| before);
    let is_login_cut = |before: &str| {
        let is_login = authority.contains(':') || before.contains(':');
        // A mail address in a query is fine; a query follows a path.
        let is_query = before
            .split_once('?')
            .is_some_and(|(path, query)| path.starts_with('/') && query.contains('='));
        is_login && !is_query
    };
    if cut.is_some_and(is_login_cut) {
        return Some(("has an `@` after its host, so a login may be cut off", IN_PASSWORD));
    }
    text.contains('#').then_some(("contains a `#`; the part after it is never sent", HASH))
}

const INVISIBLE: &str = "remove it; encode a space as `%20`";
const BACKSLASH: &str = "write `/`, or `%5C` where it belongs to a password";
const HASH: &str = "remove it, or write `%23` where it belongs to a password or a token";
const IN_PASSWORD: &str = "in a login, `/` is written `%2F`, `?` `%3F`, `#` `%23`, `@` `%40` and \
                           `\\` `%5C`; in a path, an `@` is written `%40`";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ambiguous_urls_are_rejected() {
        for good in [
            "https://h.example",
            "https://h.example:8443/hooks/T000?sig=a%23b&to=jane@example.com",
            "https://medium.example/@jane",
            "https://user:p%40ss%2Fw@h.example/x",
            "https://user:pa@ss@h.example/x",
            "http://[::1]:8080/a/b",
            "https://bücher.example/ä",
            "mailto:jane@example.com",
        ] {
            assert_eq!(misread(good), None, "for {good}");
        }
        for bad in [
            "https://user:12#5@h.example/x",
            "https://user:12/5@h.example/x",
            "https://user:12?5@h.example/x",
            "https://user:12\\5@h.example/x",
            "https://user:p@ss/word@h.example/x",
            "https://us/er:pw@h.example/x",
            "https://user:a/b/c@h.example/x",
            "https://h.example/x#frag",
            "https://h.example#",
            "https://h.example/x#",
            "https:\\\\h.example\\x",
            "https:h.example/x",
            "https://h.exa\tmple/x",
            "https://h.example/x\n",
            " https://h.example/x",
            "https://h.exam\u{ad}ple/",
            "https://h.example/\u{200b}x",
        ] {
            assert!(misread(bad).is_some(), "for {bad:?}");
        }
    }

    proptest! {
        /// With any password, the host is the one after the login, or the URL is rejected.
        #[test]
        fn no_password_moves_the_host(password in "[ -<>-~]{1,12}", path in "(/[a-z]{0,4}){0,2}") {
            let text = format!("https://user:{password}@h.example{path}");
            if misread(&text).is_none()
                && let Ok(url) = Url::parse(&text)
            {
                prop_assert_eq!(url.host_str(), Some("h.example"), "for {}", text);
                prop_assert_eq!(url.fragment(), None);
                prop_assert_eq!(url.port(), None);
            }
        }
    }
}
