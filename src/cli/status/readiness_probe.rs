//! Readiness probe: requests `/readyz` from the daemon.
//!
//! The database does not show a daemon that hangs: its rows stay as they were. That it cannot write
//! is in its lock file, since the page may be off, or its port chosen by the system.

use std::iter;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use reqwest::{Client, StatusCode, redirect};

use crate::cli::runtime::block_on;
use crate::web::endpoints::health::Readiness;

/// Why the daemon at this listen address is not ready. `None` when it is ready, and when no
/// daemon answers there.
pub(crate) fn not_ready_reason(listen_address: SocketAddr) -> Option<String> {
    block_on(probe(reachable(listen_address))).ok()?
}

/// Requests `/readyz`; returns why the daemon is not ready.
async fn probe(address: SocketAddr) -> Option<String> {
    // reqwest needs a provider even without TLS. It may be installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::builder()
        .no_proxy()
        .redirect(redirect::Policy::none())
        .tls_certs_only(iter::empty())
        .timeout(TIMEOUT);
    let response = client.build().ok()?.get(format!("http://{address}/readyz")).send().await;
    let mut response = match response {
        Err(failure) if failure.is_timeout() && !failure.is_connect() => {
            let seconds = TIMEOUT.as_secs();
            return Some(format!(
                "the daemon does not respond at `http://{address}/` within {seconds} s"
            ));
        }
        response => response.ok()?,
    };
    if response.status() != StatusCode::SERVICE_UNAVAILABLE {
        return None;
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.ok()? {
        body.extend_from_slice(&chunk);
        if body.len() > BODY_BYTES_MAX {
            return None;
        }
    }
    let readiness: Readiness = serde_json::from_slice(&body).ok()?;
    readiness.reason.filter(|_| !readiness.ready)
}

/// Replaces an unspecified address with the loopback address.
fn reachable(listen_address: SocketAddr) -> SocketAddr {
    let ip = match listen_address.ip() {
        IpAddr::V4(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(address) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        address => address,
    };
    SocketAddr::new(ip, listen_address.port())
}

/// Limits one request. The daemon answers from memory, or after one read of the database, which
/// no writer blocks (WAL).
const TIMEOUT: Duration = Duration::from_secs(5);
const BODY_BYTES_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unspecified_address_is_probed_at_loopback() {
        let check = |address: &str, expected: &str| {
            assert_eq!(reachable(address.parse().unwrap()), expected.parse().unwrap());
        };
        check("0.0.0.0:80", "127.0.0.1:80");
        check("[::]:80", "[::1]:80");
        check("192.0.2.1:80", "192.0.2.1:80");
    }
}
