//! Classifies hosts by their name: this machine, a private network, or public. Names are not
//! resolved.

use std::net::{IpAddr, Ipv6Addr};

use url::Host;

use crate::domain::delivery::egress_policy::{BlockedAddress, EgressPolicy};

/// Reads a host of a mail setting: a name, or an address with or without brackets.
pub(crate) fn parse(text: &str) -> Option<Host> {
    match text.parse() {
        Ok(IpAddr::V4(address)) => Some(Host::Ipv4(address)),
        Ok(IpAddr::V6(address)) => Some(Host::Ipv6(address)),
        Err(_) => Host::parse(text).ok().filter(|host| match host {
            Host::Domain(name) => is_name(name),
            Host::Ipv4(_) | Host::Ipv6(_) => true,
        }),
    }
}

/// Splits `host:port`; a host alone has no port.
pub(crate) fn with_port(text: &str) -> Option<(&str, Option<u16>)> {
    if parse(text).is_some() {
        return Some((text, None));
    }
    let (host, port) = text.rsplit_once(':')?;
    parse(host)?;
    Some((host, Some(port.parse().ok().filter(|port| *port > 0)?)))
}

/// Whether it is a valid host name: labels of letters, digits and hyphens (RFC 1123, 2.1), and of
/// underscores, which are forbidden but used. URLs allow more.
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

/// Whether it is this machine, so that traffic stays off the network.
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

/// Whether it is in a private network, judged by the name (RFC 1918, RFC 4193, RFC 3927).
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

/// Why requests to it are blocked, judged by the name.
pub(in crate::config) fn refusal<S: AsRef<str>>(
    host: &Host<S>,
    policy: EgressPolicy,
) -> Option<BlockedAddress> {
    let loopback = Ipv6Addr::LOCALHOST.octets();
    match host {
        Host::Domain(_) => is_loopback(host).then(|| policy.check(loopback)).flatten(),
        Host::Ipv4(address) => policy.check(address.to_ipv6_mapped().octets()),
        Host::Ipv6(address) => policy.check(address.octets()),
    }
}

fn is_local(address: Ipv6Addr) -> bool {
    address.is_unique_local() || address.is_unicast_link_local()
}

/// Suffixes that no public name has (RFC 6762, RFC 8375, and common use in home networks).
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
    fn blocked_hosts_are_recognized_by_name() {
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
