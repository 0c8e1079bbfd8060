//! How far a webhook may reach: which addresses are never called, and which only when nobody
//! said otherwise.
//!
//! Where a cloud keeps the credentials of its machines is never called, whoever writes its
//! address, and in whatever form. A private network is where receivers of self-hosters live, so
//! it is called unless that is denied. Judged by bytes alone: nothing is looked up here.

/// How far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// The internet, the private networks around us, and this very machine.
    #[default]
    Near,
    /// The internet alone.
    Public,
}

/// Why an address is not called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Known for the metadata service of a cloud.
    Metadata,
    /// Link-local (RFC 3927; RFC 4291, section 2.5.6), where most clouds have that service.
    LinkLocal,
    /// No address of anyone: "this network" (RFC 1122, section 3.2.1.3), which many systems take
    /// for themselves.
    Nobody,
    /// Of many at once: multicast or broadcast.
    Many,
    /// This very machine.
    Loopback,
    /// In a private network (RFC 1918, RFC 4193, RFC 3879), or behind a carrier's address
    /// translation (RFC 6598).
    Private,
}

impl Reach {
    /// Whether nobody may call that address, and why. It has the sixteen bytes of IPv6; one of
    /// IPv4 comes in its mapped form (RFC 4291, section 2.5.5.2).
    pub fn refusal(self, address: [u8; 16]) -> Option<Refusal> {
        let refusal = match inner(address) {
            Some(inner) => of_four(inner),
            None => of_sixteen(address),
        }?;
        match (refusal, self) {
            (Refusal::Loopback | Refusal::Private, Self::Near) => None,
            (Refusal::Loopback | Refusal::Private, Self::Public) => Some(refusal),
            (
                Refusal::Metadata | Refusal::LinkLocal | Refusal::Nobody | Refusal::Many,
                Self::Near | Self::Public,
            ) => Some(refusal),
        }
    }
}

impl Refusal {
    /// What the address is, in words that go on after "it is".
    pub const fn what(self) -> &'static str {
        match self {
            Self::Metadata => "the metadata service of a cloud",
            Self::LinkLocal => "link-local, as the metadata services of clouds are",
            Self::Nobody => "the address of nobody",
            Self::Many => "the address of many",
            Self::Loopback => "this very machine",
            Self::Private => "in a private network",
        }
    }

    /// Whether only `deny_private` refuses it.
    pub const fn is_by_choice(self) -> bool {
        match self {
            Self::Loopback | Self::Private => true,
            Self::Metadata | Self::LinkLocal | Self::Nobody | Self::Many => false,
        }
    }
}

/// The IPv4 address in one of IPv6 that leads to it: mapped and compatible (RFC 4291, section
/// 2.5.5), translated (RFC 2765), NAT64 (RFC 6052, RFC 8215) and 6to4 (RFC 3056).
fn inner(address: [u8; 16]) -> Option<[u8; 4]> {
    let [.., a, b, c, d] = address;
    let last = [a, b, c, d];
    match address {
        // `::` and `::1` are no forms of anything.
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, ..]
        | [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, ..]
        | [0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, ..]
        | [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, ..]
        | [0, 0x64, 0xff, 0x9b, 0, 1, ..] => Some(last),
        [0x20, 0x02, a, b, c, d, ..] => Some([a, b, c, d]),
        _ => None,
    }
}

const fn of_four(address: [u8; 4]) -> Option<Refusal> {
    match address {
        // Alibaba, Oracle and Azure have theirs outside of the link-local block.
        [100, 100, 100, 200] | [192, 0, 0, 192] | [168, 63, 129, 16] => Some(Refusal::Metadata),
        [169, 254, ..] => Some(Refusal::LinkLocal),
        [0, ..] => Some(Refusal::Nobody),
        [224..=239, ..] | [255, 255, 255, 255] => Some(Refusal::Many),
        [127, ..] => Some(Refusal::Loopback),
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] => {
            Some(Refusal::Private)
        }
        _ => None,
    }
}

const fn of_sixteen(address: [u8; 16]) -> Option<Refusal> {
    match address {
        // Amazon's and Google's.
        [0xfd, 0, 0x0e, 0xc2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x02, 0x54]
        | [0xfd, 0x20, 0, 0xce, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x02, 0x54] => {
            Some(Refusal::Metadata)
        }
        [0xfe, 0x80..=0xbf, ..] => Some(Refusal::LinkLocal),
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0] => Some(Refusal::Nobody),
        [0xff, ..] => Some(Refusal::Many),
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1] => Some(Refusal::Loopback),
        [0xfc..=0xfd, ..] | [0xfe, 0xc0..=0xff, ..] => Some(Refusal::Private),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv6Addr};

    use super::*;

    fn refusal(reach: Reach, text: &str) -> Option<Refusal> {
        let bytes = match text.parse::<IpAddr>().unwrap() {
            IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
            IpAddr::V6(address) => address.octets(),
        };
        reach.refusal(bytes)
    }

    #[test]
    fn each_address_is_called_or_not() {
        let check = |text: &str, near: Option<Refusal>, public: Option<Refusal>| {
            assert_eq!(refusal(Reach::Near, text), near, "near, `{text}`");
            assert_eq!(refusal(Reach::Public, text), public, "public, `{text}`");
        };
        let never = |text, refusal| check(text, Some(refusal), Some(refusal));
        let by_choice = |text, refusal| check(text, None, Some(refusal));
        let always = |text| check(text, None, None);
        for text in ["169.254.169.254", "169.254.0.0", "169.254.255.255", "fe80::1", "febf::1"] {
            never(text, Refusal::LinkLocal);
        }
        for text in ["100.100.100.200", "192.0.0.192", "168.63.129.16"] {
            never(text, Refusal::Metadata);
        }
        for text in ["fd00:ec2::254", "fd20:ce::254"] {
            never(text, Refusal::Metadata);
        }
        for text in ["0.0.0.0", "0.1.2.3", "::"] {
            never(text, Refusal::Nobody);
        }
        for text in ["224.0.0.1", "239.255.255.255", "255.255.255.255", "ff02::1"] {
            never(text, Refusal::Many);
        }
        for text in ["127.0.0.1", "127.255.255.255", "::1"] {
            by_choice(text, Refusal::Loopback);
        }
        for text in ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1"] {
            by_choice(text, Refusal::Private);
        }
        for text in ["100.127.255.255", "fd00::1", "fc00::1", "fec0::1", "fd00:ec2::255"] {
            by_choice(text, Refusal::Private);
        }
        for text in ["8.8.8.8", "172.15.0.1", "172.32.0.1", "100.63.255.255", "100.128.0.0"] {
            always(text);
        }
        for text in ["1.1.1.1", "169.253.1.1", "169.255.1.1", "2606:4700::1", "2001:db8::1"] {
            always(text);
        }
    }

    #[test]
    fn another_form_of_an_address_is_that_address() {
        for (inner, near, public) in [
            ("169.254.169.254", Some(Refusal::LinkLocal), Some(Refusal::LinkLocal)),
            ("100.100.100.200", Some(Refusal::Metadata), Some(Refusal::Metadata)),
            ("127.0.0.1", None, Some(Refusal::Loopback)),
            ("10.1.2.3", None, Some(Refusal::Private)),
            ("8.8.8.8", None, None),
        ] {
            for prefix in ["::ffff:", "::", "::ffff:0:", "64:ff9b::", "64:ff9b:1::"] {
                let text = format!("{prefix}{inner}");
                assert_eq!(refusal(Reach::Near, &text), near, "near, `{text}`");
                assert_eq!(refusal(Reach::Public, &text), public, "public, `{text}`");
            }
            let [a, b, c, d] = inner.parse::<std::net::Ipv4Addr>().unwrap().octets();
            let pair = |high, low| u16::from_be_bytes([high, low]);
            let six_to_four = Ipv6Addr::new(0x2002, pair(a, b), pair(c, d), 0, 0, 0, 0, 1);
            assert_eq!(refusal(Reach::Near, &six_to_four.to_string()), near, "{six_to_four}");
            assert_eq!(refusal(Reach::Public, &six_to_four.to_string()), public, "{six_to_four}");
        }
    }
}
