//! A connection to the first of several addresses that takes one, as in RFC 8305: the next one is
//! tried while the one before has not answered yet, so that dead ones cost little.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::select;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// A connection to any of the `addresses`, within `limit` in all.
///
/// # Errors
/// Why none took it: what says most about the other side, when they failed for several reasons.
pub async fn connect(addresses: &[SocketAddr], limit: Duration) -> io::Result<TcpStream> {
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    let mut weight = 0;
    let race = async {
        let mut waiting = addresses.iter();
        let mut tried = JoinSet::new();
        loop {
            let next = waiting.next();
            let is_last = next.is_none();
            if let Some(address) = next {
                tried.spawn(TcpStream::connect(*address));
            }
            let pause = sleep(STAGGER);
            tokio::pin!(pause);
            // Until one takes it, or the next one is due: at once when none is under way.
            loop {
                select! {
                    ended = tried.join_next() => match ended {
                        Some(Ok(Ok(stream))) => return Some(stream),
                        Some(Ok(Err(error))) if telling(&error) >= weight => {
                            (weight, failure) = (telling(&error), error);
                        }
                        // One that says less, or broke off.
                        Some(Ok(Err(_)) | Err(_)) => {}
                        None if is_last => return None,
                        None => break,
                    },
                    () = &mut pause, if !is_last => break,
                }
            }
        }
    };
    match timeout(limit, race).await {
        Ok(Some(stream)) => Ok(stream),
        Ok(None) => Err(failure),
        // Some did not answer, which says more than that others could not be tried.
        Err(_) if weight < TIMED_OUT => Err(io::ErrorKind::TimedOut.into()),
        Err(_) => Err(failure),
    }
}

/// How much a failure says about the other side.
fn telling(error: &io::Error) -> u8 {
    match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => 4,
        io::ErrorKind::TimedOut => TIMED_OUT,
        io::ErrorKind::HostUnreachable => 2,
        // This machine has no way there, or lacks something.
        _ => 1,
    }
}

const TIMED_OUT: u8 = 3;
/// How long an address is given before the next one is tried beside it (RFC 8305, section 8).
const STAGGER: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    fn at(hosts: &[&str], port: u16) -> Vec<SocketAddr> {
        hosts.iter().map(|host| SocketAddr::new(host.parse().unwrap(), port)).collect()
    }

    /// A port at which nobody listens on this machine: it was free a moment ago.
    async fn closed() -> u16 {
        TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
    }

    #[tokio::test]
    async fn the_first_address_that_takes_it_is_connected_to() {
        let listener = TcpListener::bind("127.0.0.3:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let hosts = at(&["127.0.0.4", "127.0.0.5", "127.0.0.3"], port);
        let stream = connect(&hosts, LIMIT).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), listener.local_addr().unwrap());
    }

    #[tokio::test]
    async fn the_failure_is_that_of_an_address_that_could_be_tried() {
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
    fn what_says_most_about_the_other_side_counts() {
        let order = [
            io::ErrorKind::NetworkUnreachable,
            io::ErrorKind::HostUnreachable,
            io::ErrorKind::TimedOut,
            io::ErrorKind::ConnectionRefused,
        ];
        let weights = order.map(|kind| telling(&kind.into()));
        assert!(weights.is_sorted_by(|a, b| a < b), "{weights:?}");
    }
}
