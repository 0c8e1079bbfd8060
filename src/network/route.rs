//! Which addresses can be tried at all from this machine.
//!
//! A name may have addresses of a family that this machine has no way to: trying one fails at
//! once, as if our network were down, and would hide why the others fail.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Those of `addresses` that this machine has a route to; all of them where it has none to any.
pub fn routable(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let routed: Vec<SocketAddr> = addresses.iter().copied().filter(|it| has_route(*it)).collect();
    if routed.is_empty() { addresses } else { routed }
}

/// Whether the system knows a way there. Connecting a UDP socket sends nothing: it only asks for
/// the route.
fn has_route(mut address: SocketAddr) -> bool {
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    // There is no port zero.
    address.set_port(ANY_PORT);
    UdpSocket::bind(any).and_then(|socket| socket.connect(address)).is_ok()
}

/// The port that is not sent to: that of `discard`.
const ANY_PORT: u16 = 9;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_reached_is_kept_and_nothing_is_left_out_where_nothing_can() {
        let here = SocketAddr::from(([127, 0, 0, 1], 0));
        assert_eq!(routable(vec![here]), [here]);
        // The system has no route to an address that no host can have.
        let nowhere = SocketAddr::from(([255, 255, 255, 255], 0));
        assert_eq!(routable(vec![nowhere, here]), [here]);
        assert_eq!(routable(vec![nowhere]), [nowhere]);
        assert_eq!(routable(Vec::new()), [here; 0]);
    }
}
