//! Checks at startup whether a systemd filter blocks the machine's name servers: the resolver only
//! reports a failure, and outside of the unit it works.
//!
//! Sends one query to each server and ignores the response. A server that is down or slow is not
//! detected.

use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};

use tracing::warn;

pub(crate) fn log_forbidden() {
    // Without the file, the resolver uses a server on this host, which no filter blocks.
    let Ok(text) = fs::read_to_string(RESOLV_CONF) else { return };
    for (server, address) in servers(&text, index_of) {
        if is_forbidden(address) {
            warn!(
                "name server `{server}` in `{RESOLV_CONF}` is blocked by the unit's \
                 `IPAddressDeny=`; for name servers at link-local addresses install the drop-in \
                 `link-local-resolver.conf`"
            );
        }
    }
}

fn is_forbidden(address: SocketAddr) -> bool {
    let any = if address.is_ipv4() {
        SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))
    } else {
        SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))
    };
    let sent = UdpSocket::bind(any).and_then(|socket| {
        socket.set_nonblocking(true)?;
        socket.connect(address)?;
        socket.send(&QUERY)
    });
    sent.is_err_and(|failure| failure.kind() == ErrorKind::PermissionDenied)
}

/// The servers that the resolver uses, as written and with their address
/// (<https://man7.org/linux/man-pages/man5/resolv.conf.5.html>).
fn servers(text: &str, index_of: impl Fn(&str) -> u32) -> Vec<(&str, SocketAddr)> {
    let written = text.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        (words.next() == Some("nameserver")).then(|| words.next())?
    });
    let addresses = written.filter_map(|server| {
        let (address, zone) = server.split_once('%').unwrap_or((server, ""));
        let address = match address.parse().ok()? {
            IpAddr::V4(address) => SocketAddr::from((address, PORT)),
            IpAddr::V6(address) => SocketAddrV6::new(address, PORT, 0, index_of(zone)).into(),
        };
        Some((server, address))
    });
    addresses.take(SERVERS_MAX).collect()
}

/// Index of a network interface, from a zone that holds its number or name; zero for none.
fn index_of(zone: &str) -> u32 {
    let listed = || fs::read_to_string(format!("/sys/class/net/{zone}/ifindex")).ok();
    zone.parse().ok().or_else(|| listed()?.trim().parse().ok()).unwrap_or(0)
}

const RESOLV_CONF: &str = "/etc/resolv.conf";
const PORT: u16 = 53;
/// The resolver uses no more.
const SERVERS_MAX: usize = 3;
/// A query for the NS records of the root zone (RFC 1035, section 4.1).
const QUERY: [u8; 17] = [0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_servers_are_parsed() {
        let text = "# nameserver 192.0.2.9\nsearch nameserver\n nameserver\t169.254.169.253 \n\
            nameserver fe80::1%eth0\nnameserver nonsense\nnameserver\nnameserver ::1\n\
            nameserver 192.0.2.1\n";
        let index = |zone: &str| if zone == "eth0" { 7 } else { 0 };
        let found: Vec<String> =
            servers(text, index).into_iter().map(|(_, address)| address.to_string()).collect();
        assert_eq!(found, ["169.254.169.253:53", "[fe80::1%7]:53", "[::1]:53"]);
    }

    #[test]
    fn an_allowed_server_is_not_forbidden() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        assert!(!is_forbidden(server.local_addr().unwrap()));
    }
}
