//! A bare e-mail address, validated when parsed.
//!
//! Only the syntax is validated (RFC 5321, section 4.1.2, and RFC 6531), not whether it exists. It
//! can be used in SMTP commands and headers unchanged. Display names are not supported.

use std::borrow::Cow;
use std::fmt;

use crate::domain::mail::domain::MailDomain;
use crate::text::characters::is_unsafe;

/// An address such as `studio@example.com`, `"john doe"@example.com` or `root@[127.0.0.1]`.
///
/// Its local part has quotes only where it needs them, and its domain is ASCII.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MailAddress {
    text: String,
    domain: MailDomain,
}

/// Why a text is not an address, as the end of a sentence that begins with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct MailAddressError(Cow<'static, str>);

impl MailAddress {
    /// Parses an address.
    pub fn parse(text: &str) -> Result<Self, MailAddressError> {
        if text.trim() != text {
            return Err(fault("has blanks around it"));
        }
        if text.chars().any(is_unsafe) {
            return Err(fault("has control characters or invisible characters in it"));
        }
        let (content, domain) = match text.strip_prefix('"') {
            Some(rest) => unquote(rest)?,
            None => plain(text)?,
        };
        if content.is_empty() {
            return Err(fault("has nothing before its `@`"));
        }
        let domain = MailDomain::parse(domain).map_err(|error| {
            MailAddressError(format!("has a wrong domain, which {error}").into())
        })?;
        let text = format!("{}@{domain}", local_part(&content));
        if content.len() > LOCAL_LENGTH_MAX || text.len() > LENGTH_MAX {
            return Err(fault(LENGTH));
        }
        Ok(Self { text, domain })
    }

    /// The whole address, as it is sent.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The local part, in quotes where necessary.
    pub fn local_part(&self) -> &str {
        self.text.get(..self.text.len() - self.domain.as_str().len() - 1).unwrap_or_default()
    }

    /// The domain.
    pub const fn domain(&self) -> &MailDomain {
        &self.domain
    }

    /// Whether it requires a server with SMTPUTF8 (RFC 6531).
    pub fn needs_smtputf8(&self) -> bool {
        !self.text.is_ascii()
    }
}

impl fmt::Display for MailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The parts of an address that begins with a quote, which is removed: the quoted part and the
/// domain.
fn unquote(rest: &str) -> Result<(String, &str), MailAddressError> {
    let mut content = String::new();
    let mut chars = rest.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => {
                return match rest.get(at + 1..).and_then(|rest| rest.strip_prefix('@')) {
                    Some(domain) => Ok((content, domain)),
                    None if rest.contains('<') => Err(fault(NAMED)),
                    None => Err(fault(QUOTES)),
                };
            }
            '\\' => content.extend(chars.next().map(|(_, char)| char)),
            _ => content.push(char),
        }
    }
    Err(fault(QUOTES))
}

fn plain(text: &str) -> Result<(String, &str), MailAddressError> {
    if text.contains(['<', '>']) {
        return Err(fault(NAMED));
    }
    let (local, domain) = text.rsplit_once('@').ok_or_else(|| fault("has no `@`"))?;
    if local.contains('"') {
        return Err(fault(QUOTES));
    }
    if !local.is_empty() && !is_dot_atom(local) {
        return Err(fault(UNQUOTED));
    }
    Ok((local.to_owned(), domain))
}

/// The canonical local part: quoted only where necessary.
fn local_part(content: &str) -> String {
    if is_dot_atom(content) {
        return content.to_owned();
    }
    let escape = |char: char| matches!(char, '"' | '\\').then_some('\\').into_iter().chain([char]);
    format!("\"{}\"", content.chars().flat_map(escape).collect::<String>())
}

/// `Dot-string` of RFC 5321, with the letters of RFC 6531.
fn is_dot_atom(text: &str) -> bool {
    let is_atext = |char: char| {
        char.is_ascii_alphanumeric()
            || "!#$%&'*+-/=?^_`{|}~".contains(char)
            || !char.is_ascii() && !char.is_whitespace()
    };
    text.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atext))
}

const fn fault(why: &'static str) -> MailAddressError {
    MailAddressError(Cow::Borrowed(why))
}

const NAMED: &str = "has a name or angle brackets around the address";
const QUOTES: &str = "has a double quote that does not belong to a pair around all before its `@`";
const UNQUOTED: &str = "has blanks, or dots or signs in an odd place, before its `@`: where that \
                        is really its name, it stands in double quotes, like \
                        `\"john doe\"@example.com`";
/// RFC 5321, section 4.5.3.1.
const LENGTH: &str = "is too long: 64 characters before its `@`, and 254 in all, are the most";
const LOCAL_LENGTH_MAX: usize = 64;
/// A path is at most 256 octets, with its angle brackets.
const LENGTH_MAX: usize = 254;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_address_has_one_form() {
        let check = |text: &str, expected: &str| {
            let address =
                MailAddress::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(address.as_str(), expected, "for `{text}`");
            let parts = format!("{}@{}", address.local_part(), address.domain());
            assert_eq!(parts, expected);
        };
        for same in [
            "studio@example.com",
            "a.b+c@mail.example",
            "studio@localhost",
            "a!#$%&'*+-/=?^_`{|}~b@example.com",
            "\"john doe\"@example.com",
            "\"a..b\"@docomo.example",
            "\"a,b\"@example.com",
            "\"a@b\"@example.com",
            r#""a\"b\\c"@example.com"#,
            "\" \"@example.com",
            "\"<a>\"@example.com",
            "root@[127.0.0.1]",
            "user@[IPv6:::1]",
            "jörg@example.com",
        ] {
            check(same, same);
        }
        check("\"john\"@example.com", "john@example.com");
        check(r#""j\ohn\ doe"@example.com"#, "\"john doe\"@example.com");
        check("user@müller.example", "user@xn--mller-kva.example");
        check("jörg@bücher.example", "jörg@xn--bcher-kva.example");
        check("root@[::1]", "root@[IPv6:::1]");
    }

    #[test]
    fn what_is_no_bare_address_is_refused_with_the_reason() {
        let check = |text: &str, part: &str| {
            let error = MailAddress::parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "for `{text}`: {error}");
        };
        check("", "no `@`");
        check("studio", "no `@`");
        check("@example.com", "nothing before");
        check("\"\"@example.com", "nothing before");
        check("Studio <studio@example.com>", "a name or angle brackets");
        check("\"Studio\" <studio@example.com>", "a name or angle brackets");
        check("<studio@example.com>", "a name or angle brackets");
        check("a@example.com\r\nBcc: b@example.com", "control characters");
        check("\"a\r\nb\"@example.com", "control characters");
        check("a\u{200b}b@example.com", "invisible");
        check(" a@example.com", "blanks around");
        check("a@example.com\u{a0}", "blanks around");
        check("john doe@example.com", "double quotes");
        check("a,b@example.com", "double quotes");
        check("a..b@example.com", "double quotes");
        check(".a@example.com", "double quotes");
        check("a(x)@example.com", "double quotes");
        check("\"a\"b@example.com", "a double quote that");
        check("a\"b@example.com", "a double quote that");
        check("\"a@example.com", "a double quote that");
        check("\"a\\\"@example.com", "a double quote that");
        check("a@", "which is empty");
        check("a@b@", "double quotes");
        check("a@127.0.0.1", "`[127.0.0.1]`");
        check("a@-x.example", "hyphen");
        check(&format!("{}@example.com", "a".repeat(65)), "too long");
        check(&format!("a@{}.example", vec!["a".repeat(62); 4].join(".")), "too long");
    }

    proptest! {
        #[test]
        fn whatever_is_taken_is_harmless_in_a_command(text in ".{0,80}", local in ".{0,20}") {
            for text in [text, format!("{local}@example.com"), format!("\"{local}\"@[::1]")] {
                let Ok(address) = MailAddress::parse(&text) else { continue };
                prop_assert!(!address.as_str().chars().any(char::is_control));
                prop_assert!(address.domain().as_str().is_ascii());
                prop_assert_eq!(MailAddress::parse(address.as_str()), Ok(address));
            }
        }
    }
}
