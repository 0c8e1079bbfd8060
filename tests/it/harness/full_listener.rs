//! A listener that takes no more connections: none is ever refused, and none is ever made.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// What keeps it full.
pub(crate) struct Full(
    #[expect(dead_code, reason = "only to be held")] TcpListener,
    #[expect(dead_code, reason = "likewise")] Vec<TcpStream>,
);

/// A listener with a full queue at that address, and its location.
pub(crate) async fn full(address: SocketAddr) -> (SocketAddr, Full) {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4().unwrap(),
        SocketAddr::V6(_) => TcpSocket::new_v6().unwrap(),
    };
    socket.bind(address).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let (mut waiting, mut in_vain) = (Vec::new(), 0);
    // Once may have been the machine's own slowness.
    while in_vain < 2 {
        match tokio::time::timeout(PATIENCE, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                waiting.push(stream);
                in_vain = 0;
            }
            Ok(Err(_)) | Err(_) => in_vain += 1,
        }
        assert!(waiting.len() < 64, "the queue never fills");
    }
    (address, Full(listener, waiting))
}

const PATIENCE: Duration = Duration::from_millis(200);
