//! Connects to the first of several addresses that accepts (RFC 8305, "Happy Eyeballs"): the next
//! address is tried while earlier ones have not answered, so dead addresses cost little time.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::select;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Connects to one of the `addresses` within `limit`.
///
/// # Errors
/// The failure that says most about the remote side, if no address accepts.
pub async fn connect(addresses: &[SocketAddr], limit: Duration) -> io::Result<TcpStream> {
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    let mut rank_so_far = 0;
    let connecting = async {
        let mut waiting = addresses.iter();
        let mut attempts = JoinSet::new();
        loop {
            let next = waiting.next();
            let is_last = next.is_none();
            if let Some(address) = next {
                attempts.spawn(TcpStream::connect(*address));
            }
            let pause = sleep(STAGGER);
            tokio::pin!(pause);
            // Until a connection is accepted, or the next attempt is due: at once if none is in
            // flight.
            loop {
                select! {
                    ended = attempts.join_next() => match ended {
                        Some(Ok(Ok(stream))) => return Some(stream),
                        Some(Ok(Err(error))) if rank(&error) >= rank_so_far => {
                            (rank_so_far, failure) = (rank(&error), error);
                        }
                        // A less specific failure, or a panic.
                        Some(Ok(Err(_)) | Err(_)) => {}
                        None if is_last => return None,
                        None => break,
                    },
                    () = &mut pause, if !is_last => break,
                }
            }
        }
    };
    match timeout(limit, connecting).await {
        Ok(Some(stream)) => Ok(stream),
        Ok(None) => Err(failure),
        // A timeout says more than addresses that could not be tried.
        Err(_) if rank_so_far < TIMED_OUT => Err(io::ErrorKind::TimedOut.into()),
        Err(_) => Err(failure),
    }
}

/// Rank of a failure: how much it says about the remote side.
fn rank(error: &io::Error) -> u8 {
    match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => 4,
        io::ErrorKind::TimedOut => TIMED_OUT,
        io::ErrorKind::HostUnreachable => 2,
        // This machine has no route, or lacks a resource.
        _ => 1,
    }
}

const TIMED_OUT: u8 = 3;
/// Delay before the next address is tried in parallel (RFC 8305, section 8).
const STAGGER: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    fn at(hosts: &[&str], port: u16) -> Vec<SocketAddr> {
        hosts.iter().map(|host| SocketAddr::new(host.parse().unwrap(), port)).collect()
    }

    /// A port of this machine without a listener: it was free when it was chosen.
    async fn closed() -> u16 {
        TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
    }

    #[tokio::test]
    async fn the_first_address_that_accepts_is_used() {
        let listener = TcpListener::bind("127.0.0.3:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let hosts = at(&["127.0.0.4", "127.0.0.5", "127.0.0.3"], port);
        let stream = connect(&hosts, LIMIT).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), listener.local_addr().unwrap());
    }

    #[tokio::test]
    async fn the_failure_is_that_of_a_routable_address() {
        let port = closed().await;
        for hosts in [["127.0.0.1", "255.255.255.255"], ["255.255.255.255", "127.0.0.1"]] {
            let refused = connect(&at(&hosts, port), LIMIT).await.unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused, "{hosts:?}");
        }
        let ours = connect(&at(&["255.255.255.255"], port), LIMIT).await.unwrap_err();
        assert_ne!(ours.kind(), io::ErrorKind::ConnectionRefused);
        assert!(connect(&[], LIMIT).await.is_err());
    }

    #[test]
    fn failures_of_the_remote_side_rank_highest() {
        let order = [
            io::ErrorKind::NetworkUnreachable,
            io::ErrorKind::HostUnreachable,
            io::ErrorKind::TimedOut,
            io::ErrorKind::ConnectionRefused,
        ];
        let ranks = order.map(|kind| rank(&kind.into()));
        assert!(ranks.is_sorted_by(|a, b| a < b), "{ranks:?}");
    }
}
