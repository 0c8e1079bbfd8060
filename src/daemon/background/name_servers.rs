//! The name servers of the machine, as far as a filter of the service forbids to ask them: the
//! system's own look-up only says that it failed, and outside of the service it works.
//!
//! It sends each of them one question, whose answer nobody waits for. A server that is down, slow
//! or wrong is not noticed here.

use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};

use tracing::warn;

/// Says in the log which name servers may not be asked.
pub fn log_forbidden() {
    // Without the file there is one at this machine, to which every filter lets through.
    let Ok(text) = fs::read_to_string(RESOLV_CONF) else { return };
    for (server, place) in servers(&text, index_of) {
        if is_forbidden(place) {
            warn!(
                "the name server `{server}` of `{RESOLV_CONF}` may not be asked: the unit's \
                 `IPAddressDeny=` forbids it; for name servers at link-local addresses take the \
                 drop-in `link-local-resolver.conf`"
            );
        }
    }
}

fn is_forbidden(place: SocketAddr) -> bool {
    let any = if place.is_ipv4() {
        SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))
    } else {
        SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))
    };
    let asked = UdpSocket::bind(any).and_then(|socket| {
        socket.set_nonblocking(true)?;
        socket.connect(place)?;
        socket.send(&QUESTION)
    });
    asked.is_err_and(|failure| failure.kind() == ErrorKind::PermissionDenied)
}

/// The servers that the system asks, as they are written and where they are
/// (<https://man7.org/linux/man-pages/man5/resolv.conf.5.html>).
fn servers(text: &str, index_of: impl Fn(&str) -> u32) -> Vec<(&str, SocketAddr)> {
    let written = text.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        (words.next() == Some("nameserver")).then(|| words.next())?
    });
    let placed = written.filter_map(|server| {
        let (address, zone) = server.split_once('%').unwrap_or((server, ""));
        let place = match address.parse().ok()? {
            IpAddr::V4(address) => SocketAddr::from((address, PORT)),
            IpAddr::V6(address) => SocketAddrV6::new(address, PORT, 0, index_of(zone)).into(),
        };
        Some((server, place))
    });
    placed.take(SERVERS_MAX).collect()
}

/// The number of a network interface, which a zone names by that or by its name; zero for none.
fn index_of(zone: &str) -> u32 {
    let listed = || fs::read_to_string(format!("/sys/class/net/{zone}/ifindex")).ok();
    zone.parse().ok().or_else(|| listed()?.trim().parse().ok()).unwrap_or(0)
}

const RESOLV_CONF: &str = "/etc/resolv.conf";
const PORT: u16 = 53;
/// As many as the system's look-up asks.
const SERVERS_MAX: usize = 3;
/// Asks for the servers of the root zone (RFC 1035, section 4.1).
const QUESTION: [u8; 17] = [0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_that_are_asked_are_read() {
        let text = "# nameserver 192.0.2.9\nsearch nameserver\n nameserver\t169.254.169.253 \n\
            nameserver fe80::1%eth0\nnameserver nonsense\nnameserver\nnameserver ::1\n\
            nameserver 192.0.2.1\n";
        let index = |zone: &str| if zone == "eth0" { 7 } else { 0 };
        let found: Vec<String> =
            servers(text, index).into_iter().map(|(_, place)| place.to_string()).collect();
        assert_eq!(found, ["169.254.169.253:53", "[fe80::1%7]:53", "[::1]:53"]);
    }

    #[test]
    fn a_server_that_may_be_asked_is_not_forbidden() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        assert!(!is_forbidden(server.local_addr().unwrap()));
    }
}
