//! The SSRF guard: checks every address before a channel connects to it, whether it is in the URL
//! or comes from DNS.
//!
//! The check runs right before connecting, so DNS rebinding does not help an attacker. Behind a
//! proxy, the proxy resolves names, and only addresses in the URL are checked.

use std::net::{IpAddr, SocketAddr};

use url::{Host, Url};

use crate::domain::delivery::egress_policy::{BlockedAddress, EgressPolicy};
use crate::domain::delivery::{Outcome, OutcomeClass};
use crate::notify::transport_error::{CONNECT, failed_outcome};

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its address is {}{}", .0.describe(), if .0.is_configurable() { CONFIGURABLE } else { "" })]
pub(in crate::notify) struct Blocked(BlockedAddress);

impl Blocked {
    /// The outcome for an attempt at `host`: the operator has to change the URL.
    pub(in crate::notify) fn outcome(self, host: &str) -> Outcome {
        let text = format!("`{host}` was not connected to: {self}");
        failed_outcome(OutcomeClass::Misconfigured, CONNECT, text)
    }
}

/// Checks an IP address in a URL; a name passes.
///
/// # Errors
/// When the address is blocked.
pub(in crate::notify) fn check_url(url: &Url, egress: EgressPolicy) -> Result<(), Blocked> {
    match url.host() {
        Some(Host::Ipv4(address)) => check(address.into(), egress),
        Some(Host::Ipv6(address)) => check(address.into(), egress),
        Some(Host::Domain(_)) | None => Ok(()),
    }
}

/// The addresses that may be connected to.
///
/// # Errors
/// When all are blocked: the reason of the first.
pub(in crate::notify) fn filter_addresses(
    addresses: Vec<SocketAddr>,
    egress: EgressPolicy,
) -> Result<Vec<SocketAddr>, Blocked> {
    let (admitted, refused): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| check(address.ip(), egress).is_ok());
    match refused.first() {
        Some(address) if admitted.is_empty() => check(address.ip(), egress).map(|()| admitted),
        Some(_) | None => Ok(admitted),
    }
}

fn check(address: IpAddr, egress: EgressPolicy) -> Result<(), Blocked> {
    let bytes = match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    };
    egress.check(bytes).map_or(Ok(()), |refusal| Err(Blocked(refusal)))
}

const CONFIGURABLE: &str = ", which `deny_private` forbids";

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| SocketAddr::new(text.parse().unwrap(), 443)).collect()
    }

    #[test]
    fn an_address_in_a_url_is_checked_in_every_spelling() {
        let check = |url: &str, near: bool, public: bool| {
            let url = Url::parse(url).unwrap();
            assert_eq!(check_url(&url, EgressPolicy::AllowPrivate).is_ok(), near, "near, {url}");
            assert_eq!(check_url(&url, EgressPolicy::DenyPrivate).is_ok(), public, "public, {url}");
        };
        for url in [
            "http://169.254.169.254/latest",
            "http://2852039166/",
            "http://0xa9fea9fe/",
            "http://0xa9.0xfe.0xa9.0xfe/",
            "http://0251.0376.0251.0376/",
            "http://169.254.43518/",
            "http://169.254.169.254./",
            "http://[::ffff:169.254.169.254]/",
            "http://[::ffff:a9fe:a9fe]/",
            "http://[64:ff9b::a9fe:a9fe]/",
            "http://[2002:a9fe:a9fe::1]/",
            "http://[fd00:ec2::254]/",
            "http://0/",
            "http://[::]/",
            "http://１６９.254.169.254/",
        ] {
            check(url, false, false);
        }
        for url in ["http://127.1/", "http://10.0.0.7:8080/", "http://[::1]/", "http://[fd00::1]/"]
        {
            check(url, true, false);
        }
        for url in ["https://8.8.8.8/", "https://example.com/", "https://localhost/"] {
            check(url, true, true);
        }
    }

    #[test]
    fn blocked_addresses_of_a_name_are_dropped() {
        let check = |found: &[&str], egress, expected: Result<&[&str], BlockedAddress>| {
            let expected = expected.map(addresses).map_err(Blocked);
            assert_eq!(filter_addresses(addresses(found), egress), expected, "for {found:?}");
        };
        let mixed = ["169.254.169.254", "8.8.8.8", "10.0.0.1", "fe80::1"];
        check(&mixed, EgressPolicy::AllowPrivate, Ok(&["8.8.8.8", "10.0.0.1"]));
        check(&mixed, EgressPolicy::DenyPrivate, Ok(&["8.8.8.8"]));
        check(&["fe80::1", "0.0.0.0"], EgressPolicy::AllowPrivate, Err(BlockedAddress::LinkLocal));
        check(&["10.0.0.1", "0.0.0.0"], EgressPolicy::DenyPrivate, Err(BlockedAddress::Private));
        check(&[], EgressPolicy::AllowPrivate, Ok(&[]));
    }

    #[test]
    fn a_blocked_address_is_explained() {
        let check = |refusal: BlockedAddress, expected: &str| {
            let outcome = Blocked(refusal).outcome("h.example");
            assert_eq!(outcome.class, OutcomeClass::Misconfigured);
            assert_eq!(outcome.error.as_deref(), Some(expected));
        };
        check(
            BlockedAddress::LinkLocal,
            "`h.example` was not connected to: its address is link-local, as the metadata \
             services of clouds are",
        );
        check(
            BlockedAddress::Private,
            "`h.example` was not connected to: its address is in a private network, which \
             `deny_private` forbids",
        );
    }
}
