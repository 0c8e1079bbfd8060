//! Filters addresses by whether this machine has a route to them.
//!
//! A name may have addresses of a family without a route. Connecting to one fails at once, as if
//! the network were down, and would hide the other failures.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// The `addresses` with a route; all of them if there is none with a route.
pub fn routable(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let routed: Vec<SocketAddr> = addresses.iter().copied().filter(|it| has_route(*it)).collect();
    if routed.is_empty() { addresses } else { routed }
}

/// Whether there is a route. Connecting a UDP socket sends nothing; it only resolves the route.
fn has_route(mut address: SocketAddr) -> bool {
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    // Port zero is invalid.
    address.set_port(ANY_PORT);
    UdpSocket::bind(any).and_then(|socket| socket.connect(address)).is_ok()
}

/// Any port; nothing is sent to it.
const ANY_PORT: u16 = 9;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routable_addresses_are_kept_and_all_if_none_is_routable() {
        let here = SocketAddr::from(([127, 0, 0, 1], 0));
        assert_eq!(routable(vec![here]), [here]);
        // The system has no route to an address that no host can have.
        let nowhere = SocketAddr::from(([255, 255, 255, 255], 0));
        assert_eq!(routable(vec![nowhere, here]), [here]);
        assert_eq!(routable(vec![nowhere]), [nowhere]);
        assert_eq!(routable(Vec::new()), [here; 0]);
    }
}
