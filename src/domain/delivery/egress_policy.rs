//! The egress policy of webhooks: which addresses are always blocked, and which are configurable.
//!
//! The metadata services of clouds, which return credentials, are blocked in every notation.
//! Private networks are allowed by default, since receivers of self-hosters are there. Only the
//! bytes of an address are checked; names are not resolved here.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// Which addresses are allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EgressPolicy {
    /// The internet, private networks and this machine.
    #[default]
    AllowPrivate,
    /// The internet only.
    DenyPrivate,
}

/// Why an address is blocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockedAddress {
    /// Known for the metadata service of a cloud.
    Metadata,
    /// Link-local (RFC 3927; RFC 4291, section 2.5.6), where most clouds have that service.
    LinkLocal,
    /// Unspecified: "this network" (RFC 1122, section 3.2.1.3), which many systems treat as their
    /// own.
    Unspecified,
    /// Multicast or broadcast.
    Multicast,
    /// This very machine.
    Loopback,
    /// In a private network (RFC 1918, RFC 4193, RFC 3879), or behind a carrier's address
    /// translation (RFC 6598).
    Private,
    /// Reserved for a special use, or for the future (RFC 6890).
    Reserved,
}

impl EgressPolicy {
    /// Whether that address is blocked, and why. It has the sixteen bytes of IPv6; an IPv4 address
    /// is in its mapped form (RFC 4291, section 2.5.5.2).
    pub fn check(self, address: [u8; 16]) -> Option<BlockedAddress> {
        let of_itself = if is_ipv4(address) { None } else { of_sixteen(address) };
        let of_inner = inner(address).into_iter().filter_map(of_four);
        let found: Vec<BlockedAddress> = of_inner.chain(of_itself).collect();
        // The unconditional blocks first; then those of the policy.
        let never = found.iter().find(|refusal| !refusal.is_configurable());
        never.or_else(|| found.first().filter(|_| self == Self::DenyPrivate)).copied()
    }
}

impl BlockedAddress {
    /// A description that follows "it is".
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Metadata => "the metadata service of a cloud",
            Self::LinkLocal => "link-local, as the metadata services of clouds are",
            Self::Unspecified => "the unspecified address",
            Self::Multicast => "the address of many",
            Self::Loopback => "this machine",
            Self::Private => "in a private network",
            Self::Reserved => "set aside for a special use",
        }
    }

    /// Whether only `deny_private` blocks it.
    pub const fn is_configurable(self) -> bool {
        match self {
            Self::Loopback | Self::Private | Self::Reserved => true,
            Self::Metadata | Self::LinkLocal | Self::Unspecified | Self::Multicast => false,
        }
    }
}

/// Whether an IPv6 address represents or is translated to an IPv4 address.
const fn is_ipv4(address: [u8; 16]) -> bool {
    matches!(
        address,
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, ..]
            | [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, ..]
    )
}

/// The IPv4 addresses of an IPv6 address: mapped and compatible (RFC 4291, section 2.5.5),
/// translated (RFC 2765), NAT64 (RFC 6052, section 2.2; RFC 8215), 6to4 (RFC 3056), Teredo (RFC
/// 4380, section 4) and ISATAP (RFC 5214, section 6.1).
fn inner(address: [u8; 16]) -> Vec<[u8; 4]> {
    let [.., f, g, _, i, j, k, a, b, c, d] = address;
    let last = [a, b, c, d];
    match address {
        // `::` and `::1` represent no IPv4 address.
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 | 1] => vec![],
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, ..]
        | [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, ..]
        | [0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, ..]
        | [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, ..]
        | [_, _, _, _, _, _, _, _, 0 | 2, 0, 0x5e, 0xfe, ..] => vec![last],
        // The prefix length of the translator is unknown; the byte in the middle is skipped.
        [0, 0x64, 0xff, 0x9b, 0, 1, ..] => vec![[f, g, i, j], [g, i, j, k], [i, j, k, a], last],
        [0x20, 0x02, a, b, c, d, ..] => vec![[a, b, c, d]],
        [0x20, 0x01, 0, 0, ..] => vec![[!a, !b, !c, !d]],
        _ => vec![],
    }
}

fn listed(address: IpAddr) -> Option<BlockedAddress> {
    let has = |net: &str| net.parse::<IpNet>().is_ok_and(|net| net.contains(&address));
    NETS.iter().find(|(nets, _)| nets.iter().any(|net| has(net))).map(|(_, refusal)| *refusal)
}

fn of_four(address: [u8; 4]) -> Option<BlockedAddress> {
    listed(Ipv4Addr::from(address).into())
}

fn of_sixteen(address: [u8; 16]) -> Option<BlockedAddress> {
    // Global unicast addresses (RFC 4291, section 2.4; IANA registry).
    let set_aside = (address[0] >> 5 != 1).then_some(BlockedAddress::Reserved);
    listed(Ipv6Addr::from(address).into()).or(set_aside)
}

/// The special-purpose addresses, narrower networks first: cloud metadata services, then the IANA
/// registries (RFC 6890), multicast (RFC 5771, RFC 4291) and reserved addresses (RFC 1112, section
/// 4). IPv6 beyond global unicast is reserved without a row.
const NETS: [(&[&str], BlockedAddress); 8] = [
    // Alibaba, Oracle and Azure; Amazon (instances, and pods of its Kubernetes), Google, Oracle
    // and Scaleway.
    (&["100.100.100.200/32", "192.0.0.192/32", "168.63.129.16/32"], BlockedAddress::Metadata),
    (
        &["fd00:ec2::/32", "fd20:ce::/32", "fd00:c1::/32", "fd00:42::42/128"],
        BlockedAddress::Metadata,
    ),
    (&["169.254.0.0/16", "fe80::/10"], BlockedAddress::LinkLocal),
    (&["0.0.0.0/8", "::/128"], BlockedAddress::Unspecified),
    (&["255.255.255.255/32", "224.0.0.0/4", "ff00::/8"], BlockedAddress::Multicast),
    (&["127.0.0.0/8", "::1/128"], BlockedAddress::Loopback),
    (
        &[
            "10.0.0.0/8",
            "172.16.0.0/12",
            "192.168.0.0/16",
            "100.64.0.0/10",
            "fc00::/7",
            "fec0::/10",
        ],
        BlockedAddress::Private,
    ),
    // Protocol assignments, 6to4, benchmarks, examples, and unallocated blocks.
    (
        &[
            "192.0.0.0/24",
            "192.88.99.0/24",
            "198.18.0.0/15",
            "192.0.2.0/24",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "240.0.0.0/4",
            "2002::/16",
            "2001::/23",
            "2001:db8::/32",
            "3fff::/20",
        ],
        BlockedAddress::Reserved,
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_net_of_the_table_is_one() {
        for net in NETS.iter().flat_map(|(nets, _)| *nets) {
            assert!(net.parse::<IpNet>().is_ok_and(|it| it.trunc() == it), "`{net}`");
        }
    }

    fn refusal(reach: EgressPolicy, text: &str) -> Option<BlockedAddress> {
        let bytes = match text.parse::<IpAddr>().unwrap() {
            IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
            IpAddr::V6(address) => address.octets(),
        };
        reach.check(bytes)
    }

    fn check(
        texts: &[impl AsRef<str>],
        near: Option<BlockedAddress>,
        public: Option<BlockedAddress>,
    ) {
        for text in texts.iter().map(AsRef::as_ref) {
            assert_eq!(refusal(EgressPolicy::AllowPrivate, text), near, "near, `{text}`");
            assert_eq!(refusal(EgressPolicy::DenyPrivate, text), public, "public, `{text}`");
        }
    }

    #[test]
    fn each_address_is_called_or_not() {
        let never = |texts, refusal| check(texts, Some(refusal), Some(refusal));
        let by_choice = |texts, refusal| check(texts, None, Some(refusal));
        let always = |texts| check(texts, None, None);
        never(
            &["169.254.169.254", "169.254.0.0", "169.254.255.255", "fe80::1", "febf::1"],
            BlockedAddress::LinkLocal,
        );
        never(&["100.100.100.200", "192.0.0.192", "168.63.129.16"], BlockedAddress::Metadata);
        never(
            &["fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "fd00:c1::a9fe:a9fe"],
            BlockedAddress::Metadata,
        );
        never(
            &["64:ff9b:1:a9fe:a9:fe00:808:808", "64:ff9b:1:8a9:fe:a9fe::1"],
            BlockedAddress::LinkLocal,
        );
        never(&["0.0.0.0", "0.1.2.3", "::"], BlockedAddress::Unspecified);
        never(
            &["224.0.0.1", "239.255.255.255", "255.255.255.255", "ff02::1"],
            BlockedAddress::Multicast,
        );
        by_choice(&["127.0.0.1", "127.255.255.255", "::1"], BlockedAddress::Loopback);
        by_choice(
            &["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1"],
            BlockedAddress::Private,
        );
        by_choice(
            &["100.127.255.255", "fd00::1", "fc00::1", "fec0::1", "fd00:42::43"],
            BlockedAddress::Private,
        );
        by_choice(
            &[
                "192.0.0.1",
                "192.0.2.1",
                "198.18.0.1",
                "198.19.255.255",
                "198.51.100.1",
                "203.0.113.1",
                "240.0.0.1",
                "255.255.255.254",
                "100::1",
                "64:ff9b:1:808:8:800:808:808",
                "2001:1::1",
                "2001:0:102:304::808:808",
                "2001:db8::1",
                "3fff::1",
                "4000::1",
                "5f00::1",
            ],
            BlockedAddress::Reserved,
        );
        always(&["8.8.8.8", "172.15.0.1", "172.32.0.1", "100.63.255.255", "100.128.0.0"]);
        always(&["1.1.1.1", "169.253.1.1", "169.255.1.1", "2606:4700::1", "2a00:1450::1"]);
        // Everybody's, by the same registry: the name servers of AS112 (RFC 7534, RFC 7535).
        always(&["192.31.196.1", "192.175.48.1"]);
        always(&["198.17.255.255", "198.20.0.0", "192.0.1.1", "223.255.255.255", "3ffe::1"]);
    }

    #[test]
    fn another_form_of_an_address_is_that_address() {
        for (inner, near, public) in [
            ("169.254.169.254", Some(BlockedAddress::LinkLocal), Some(BlockedAddress::LinkLocal)),
            ("100.100.100.200", Some(BlockedAddress::Metadata), Some(BlockedAddress::Metadata)),
            ("127.0.0.1", None, Some(BlockedAddress::Loopback)),
            ("10.1.2.3", None, Some(BlockedAddress::Private)),
            ("8.8.8.8", None, None),
        ] {
            let forms =
                |prefixes: &[&str]| prefixes.iter().map(|it| format!("{it}{inner}")).collect();
            let same: Vec<String> =
                forms(&["::ffff:", "64:ff9b::", "2a00::5efe:", "2a00::200:5efe:"]);
            check(&same, near, public);
            let [a, b, c, d] = inner.parse::<Ipv4Addr>().unwrap().octets();
            let pair = |high, low| u16::from_be_bytes([high, low]);
            let six_to_four = Ipv6Addr::new(0x2002, pair(a, b), pair(c, d), 0, 0, 0, 0, 1);
            let teredo = Ipv6Addr::new(0x2001, 0, 0x808, 0x808, 0, 0, !pair(a, b), !pair(c, d));
            let mut unallocated: Vec<String> = forms(&["::", "::ffff:0:"]);
            unallocated.extend([six_to_four, teredo].map(|it| it.to_string()));
            // Unallocated addresses are blocked if only the internet is allowed.
            check(&unallocated, near, public.or(Some(BlockedAddress::Reserved)));
        }
    }
}
