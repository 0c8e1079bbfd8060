//! The domain of a mail address, a message id or a greeting: a name for mail servers (RFC 5321,
//! section 4.1.2) or an address literal (section 4.1.3).
//!
//! It is ASCII and can be used in commands and headers unchanged. Names in other scripts are
//! converted to punycode (UTS 46).

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::fmt;

/// A domain such as `example.com`, `xn--mller-kva.example`, `[192.0.2.1]` or `[IPv6:2001:db8::1]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MailDomain(String);

/// Why a text is not a domain, as the end of a sentence that begins with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct MailDomainError(String);

impl MailDomain {
    /// Parses a domain. A trailing dot is removed.
    pub fn parse(text: &str) -> Result<Self, MailDomainError> {
        if let Some(inside) = text.strip_prefix('[') {
            let address = inside.strip_suffix(']').and_then(address);
            return address.map(Self::literal).ok_or_else(|| fault(LITERAL));
        }
        if let Some(address) = address(text) {
            let literal = Self::literal(address);
            return Err(fault(&format!("is an address: in brackets, it is `{literal}`")));
        }
        let ascii = if text.is_ascii() {
            text.to_owned()
        } else {
            idna::domain_to_ascii_strict(text).map_err(|_| fault(SCRIPT))?
        };
        let name = ascii.strip_suffix('.').unwrap_or(&ascii);
        check_name(name)?;
        Ok(Self(name.to_owned()))
    }

    /// That address, as it stands where a domain could.
    pub fn literal(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => format!("[{address}]"),
            IpAddr::V6(address) => format!("[IPv6:{address}]"),
        })
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is an address.
    pub fn is_literal(&self) -> bool {
        self.0.starts_with('[')
    }

    /// Whether it is a name with a dot, as on the Internet.
    pub fn is_full_name(&self) -> bool {
        !self.is_literal() && self.0.contains('.')
    }

    /// Whether servers that follow RFC 5321 strictly accept it in a greeting: it has no
    /// underscores.
    pub fn can_greet(&self) -> bool {
        !self.0.contains('_')
    }
}

impl fmt::Display for MailDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Reads an address with or without the tag of its kind.
fn address(text: &str) -> Option<IpAddr> {
    let tagged = text.get(..TAG.len()).filter(|tag| tag.eq_ignore_ascii_case(TAG));
    match tagged {
        Some(tag) => text.get(tag.len()..)?.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => text.parse::<Ipv4Addr>().map(IpAddr::V4).or_else(|_| text.parse()).ok(),
    }
}

/// Labels of letters, digits and hyphens, and of underscores, which are forbidden and used.
fn check_name(name: &str) -> Result<(), MailDomainError> {
    if name.is_empty() {
        return Err(fault("is empty"));
    }
    for label in name.split('.') {
        if label.is_empty() {
            return Err(fault("has nothing between two of its dots"));
        }
        if !label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) {
            return Err(fault("has other characters in it than letters, digits, hyphens and dots"));
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err(fault("has a hyphen where a part of it begins or ends"));
        }
        if label.len() > LABEL_LENGTH_MAX {
            return Err(fault(LENGTH));
        }
    }
    if name.len() > NAME_LENGTH_MAX {
        return Err(fault(LENGTH));
    }
    let last = name.rsplit('.').next().unwrap_or(name);
    if last.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(fault(NUMBER));
    }
    Ok(())
}

fn fault(why: &str) -> MailDomainError {
    MailDomainError(why.to_owned())
}

/// RFC 1035, section 2.3.4.
const LENGTH: &str = "is too long: 253 characters, and 63 between two dots, are the most";
const NUMBER: &str = "ends in a number, as no name does; an address is written like `[192.0.2.1]`";
const LITERAL: &str = "has no address in its brackets: they are written `[192.0.2.1]` or \
                       `[IPv6:2001:db8::1]`";
const SCRIPT: &str = "is no name: its letters have no form that name servers know (punycode)";
const TAG: &str = "IPv6:";
const LABEL_LENGTH_MAX: usize = 63;
const NAME_LENGTH_MAX: usize = 253;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_a_name_or_an_address_in_brackets() {
        let check = |text: &str, expected: Result<&str, &str>| {
            let found = MailDomain::parse(text);
            let found = found.as_ref().map(MailDomain::as_str).map_err(ToString::to_string);
            match expected {
                Ok(expected) => assert_eq!(found, Ok(expected), "for `{text}`"),
                Err(part) => {
                    let error = found.unwrap_err();
                    assert!(error.contains(part), "for `{text}`: {error}");
                }
            }
        };
        check("example.com", Ok("example.com"));
        check("Mail-1.Example.COM", Ok("Mail-1.Example.COM"));
        check("example.com.", Ok("example.com"));
        check("localhost", Ok("localhost"));
        check("my_host.local", Ok("my_host.local"));
        check("3com.com", Ok("3com.com"));
        check("xn--mller-kva.example", Ok("xn--mller-kva.example"));
        check("müller.example", Ok("xn--mller-kva.example"));
        check("MÜLLER.example", Ok("xn--mller-kva.example"));
        check("mu\u{308}ller.example", Ok("xn--mller-kva.example"));
        check("straße.de", Ok("xn--strae-oqa.de"));
        check("例え。テスト", Ok("xn--r8jz45g.xn--zckzah"));
        check("пример.рф", Ok("xn--e1afmkfd.xn--p1ai"));
        check("[127.0.0.1]", Ok("[127.0.0.1]"));
        check("[IPv6:::1]", Ok("[IPv6:::1]"));
        check("[ipv6:2001:DB8:0:0::1]", Ok("[IPv6:2001:db8::1]"));
        check("[2001:db8::1]", Ok("[IPv6:2001:db8::1]"));
        check("[IPv6:::ffff:192.0.2.1]", Ok("[192.0.2.1]"));
        check("", Err("empty"));
        check(".", Err("empty"));
        check("..", Err("between two"));
        check("a..b", Err("between two"));
        check(".a", Err("between two"));
        check("-x.example", Err("hyphen"));
        check("x-.example", Err("hyphen"));
        check("a b.example", Err("other characters"));
        check("a@b.example", Err("other characters"));
        check("exa\r\nmple.com", Err("other characters"));
        check("1.2.3.4", Err("`[1.2.3.4]`"));
        check("::1", Err("`[IPv6:::1]`"));
        check("1.2.3", Err("number"));
        check("[]", Err("brackets"));
        check("[300.1.1.1]", Err("brackets"));
        check("[127.0.0.1", Err("brackets"));
        check("[example.com]", Err("brackets"));
        check("[IPv6:127.0.0.1]", Err("brackets"));
        check("[fe80::1%eth0]", Err("brackets"));
        check(&format!("{}.example", "a".repeat(64)), Err("too long"));
        check(&["a"; 128].join("."), Err("too long"));
        check("mü ller.example", Err("punycode"));
        check("ü\u{202e}.example", Err("punycode"));
    }

    #[test]
    fn a_greeting_has_no_underscore_and_a_full_name_a_dot() {
        let parse = |text: &str| MailDomain::parse(text).unwrap();
        assert!(!parse("watch_01.example").can_greet());
        assert!(parse("[127.0.0.1]").can_greet() && parse("a-1.example").can_greet());
        assert!(parse("a.example").is_full_name());
        assert!(!parse("localhost").is_full_name() && !parse("[127.0.0.1]").is_full_name());
    }
}
