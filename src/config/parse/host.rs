//! Hosts: which are this very machine, and which are near it.
//!
//! Judged by the name alone; nobody is asked where a name leads.

use std::net::{IpAddr, Ipv6Addr};

use url::Host;

use crate::domain::delivery::egress_policy::{BlockedAddress, EgressPolicy};

/// Whether a mail server can be there.
pub fn is_host(text: &str) -> bool {
    parse(text).is_some()
}

/// Reads a host as it stands in a mail setting: a name, or an address with or without brackets.
pub(in crate::config) fn parse(text: &str) -> Option<Host> {
    match text.parse() {
        Ok(IpAddr::V4(address)) => Some(Host::Ipv4(address)),
        Ok(IpAddr::V6(address)) => Some(Host::Ipv6(address)),
        Err(_) => Host::parse(text).ok().filter(|host| match host {
            Host::Domain(name) => is_name(name),
            Host::Ipv4(_) | Host::Ipv6(_) => true,
        }),
    }
}

/// Whether it can be the name of a machine: labels of letters, digits and hyphens (RFC 1123, 2.1),
/// and of underscores, which are forbidden and used. URLs allow more.
fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let is_label = |label: &str| {
        (1..=LABEL_LENGTH_MAX).contains(&label.len())
            && label.bytes().all(plain)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    name.len() <= NAME_LENGTH_MAX && name.split('.').all(is_label)
}

/// Whether it is this very machine, so that nothing sent there passes over a wire.
pub(in crate::config) fn is_loopback<S: AsRef<str>>(host: &Host<S>) -> bool {
    match host {
        Host::Domain(name) => {
            let name = name.as_ref().trim_end_matches('.').to_ascii_lowercase();
            name == "localhost" || name.ends_with(".localhost")
        }
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

/// Whether it is in a private network, as far as the name tells (RFC 1918, RFC 4193, RFC 3927).
pub(in crate::config) fn is_private<S: AsRef<str>>(host: &Host<S>) -> bool {
    is_loopback(host)
        || match host {
            Host::Domain(name) => {
                let name = name.as_ref().trim_end_matches('.').to_ascii_lowercase();
                !name.contains('.') || PRIVATE_ENDINGS.iter().any(|end| name.ends_with(end))
            }
            Host::Ipv4(address) => address.is_private() || address.is_link_local(),
            Host::Ipv6(address) => is_local(*address),
        }
}

/// Why it must not be called, as far as the name tells.
pub(in crate::config) fn refusal<S: AsRef<str>>(
    host: &Host<S>,
    reach: EgressPolicy,
) -> Option<BlockedAddress> {
    let loopback = Ipv6Addr::LOCALHOST.octets();
    match host {
        Host::Domain(_) => is_loopback(host).then(|| reach.check(loopback)).flatten(),
        Host::Ipv4(address) => reach.check(address.to_ipv6_mapped().octets()),
        Host::Ipv6(address) => reach.check(address.octets()),
    }
}

fn is_local(address: Ipv6Addr) -> bool {
    address.is_unique_local() || address.is_unicast_link_local()
}

/// Endings that no public name has (RFC 6762, RFC 8375, and what networks at home use).
const PRIVATE_ENDINGS: [&str; 4] = [".local", ".internal", ".home.arpa", ".lan"];
/// RFC 1035, 2.3.4.
const LABEL_LENGTH_MAX: usize = 63;
/// RFC 1035, 2.3.4, as it is written in text.
const NAME_LENGTH_MAX: usize = 253;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_judged_by_their_name() {
        let check = |text: &str, loopback: bool, private: bool| {
            let host = parse(text).unwrap();
            assert_eq!((is_loopback(&host), is_private(&host)), (loopback, private), "`{text}`");
        };
        check("localhost", true, true);
        check("LOCALHOST.", true, true);
        check("127.9.9.9", true, true);
        check("::1", true, true);
        check("[::1]", true, true);
        check("10.0.0.1", false, true);
        check("fd00::1", false, true);
        check("mailhog", false, true);
        check("nas.lan", false, true);
        check("example.com", false, false);
        check("localhost.example.com", false, false);
        check("8.8.8.8", false, false);
        let long = "a".repeat(64);
        for wrong in
            ["a b", "", ".", "a..b", ".a", "evil\"host", "a;b", "a'b", "a%22b", "-a.b", "a-", &long]
        {
            assert_eq!(parse(wrong), None, "`{wrong}`");
        }
        for right in ["a_b.example.", "xn--bcher-kva.example", &"a".repeat(63)] {
            assert_eq!(parse(right), Some(Host::Domain(right.to_owned())));
        }
        assert_eq!(parse("Bücher.example"), parse("xn--bcher-kva.example"));
    }

    #[test]
    fn what_must_not_be_called_is_told_by_the_name_where_that_is_possible() {
        let check = |text: &str, near: Option<BlockedAddress>, public: Option<BlockedAddress>| {
            let host = parse(text).unwrap();
            assert_eq!(refusal(&host, EgressPolicy::AllowPrivate), near, "near, `{text}`");
            assert_eq!(refusal(&host, EgressPolicy::DenyPrivate), public, "public, `{text}`");
        };
        check("169.254.169.254", Some(BlockedAddress::LinkLocal), Some(BlockedAddress::LinkLocal));
        check(
            "[::ffff:a9fe:a9fe]",
            Some(BlockedAddress::LinkLocal),
            Some(BlockedAddress::LinkLocal),
        );
        check("10.0.0.1", None, Some(BlockedAddress::Private));
        check("localhost", None, Some(BlockedAddress::Loopback));
        check("example.com", None, None);
        check("nas.lan", None, None);
    }
}
