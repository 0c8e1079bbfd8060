//! URLs as they are written: refused where a part of one would change its host or vanish.
//!
//! A library for URLs reads whatever a browser reads (the URL standard of WHATWG): a `\` is a `/`,
//! a line break is nothing, what stands behind a `#` is never sent, and a password with a `/` in it
//! ends the host. Nobody means that, and none of it shows. The URL itself is never repeated here.

use url::Url;

use crate::config::parse::field::Field;
use crate::text::odd_character::OddCharacter;

/// Reads a URL that means what is written; `mend` is told where it is none at all.
pub(in crate::config) fn parse(field: &Field<'_>, text: &str, mend: &str) -> Option<Url> {
    if let Some((message, help)) = misread(text) {
        return field.invalid(message, help);
    }
    match Url::parse(text) {
        Ok(url) => Some(url),
        Err(error) if text.contains('@') => {
            field.invalid(format!("is no URL: {error}"), format!("{mend}; {IN_PASSWORD}"))
        }
        Err(error) => field.invalid(format!("is no URL: {error}"), mend),
    }
}

/// What of a URL would be read otherwise than it is written, and what to write instead.
pub(in crate::config) fn misread(text: &str) -> Option<(&'static str, &'static str)> {
    let hides = |c: char| OddCharacter::of(c).is_some_and(|odd| !odd.is_visible());
    if text.chars().any(hides) {
        return Some(("has a blank or a character in it that cannot be seen", UNSEEN));
    }
    if text.contains('\\') {
        return Some(("has a `\\` in it, which counts as a `/`", BACKSLASH));
    }
    let Some((_, rest)) = text.split_once("://") else {
        let is_web = ["http:", "https:"].iter().any(|scheme| text.starts_with(scheme));
        return is_web.then_some(("has no `//` behind its scheme", "write it like `https://…`"));
    };
    let (authority, behind) = match rest.find(['/', '?', '#']) {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    // The end of the host may be a character of a password.
    let cut = behind.rsplit_once('@').map(|(before, _)| before);
    let looks_cut = |before: &str| {
        let is_login = authority.contains(':') || before.contains(':');
        // An address in a query is one, and stands behind a path.
        let is_query = before
            .split_once('?')
            .is_some_and(|(path, query)| path.starts_with('/') && query.contains('='));
        is_login && !is_query
    };
    if cut.is_some_and(looks_cut) {
        return Some(("has an `@` behind its host, so that a login may be cut off", IN_PASSWORD));
    }
    text.contains('#').then_some(("has a `#` in it, and what follows that is never sent", HASH))
}

const UNSEEN: &str = "write it without; a blank that belongs there is written `%20`";
const BACKSLASH: &str = "write `/`, or `%5C` where it belongs to a password";
const HASH: &str = "take it out, or write `%23` where it belongs to a password or a token";
const IN_PASSWORD: &str = "in a login, `/` is written `%2F`, `?` `%3F`, `#` `%23`, `@` `%40` and \
                           `\\` `%5C`; in a path, an `@` is written `%40`";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_would_be_read_otherwise_is_known() {
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
        /// Whatever password stands in a URL as it is, the host is the one behind its login, or
        /// the URL is refused.
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
