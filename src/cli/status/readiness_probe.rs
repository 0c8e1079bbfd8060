//! Whether the daemon does its work, as its page tells everybody at `/readyz`.
//!
//! The tables cannot tell it: a daemon that hangs, or that cannot write to them, leaves them as
//! they were.

use std::iter;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use reqwest::{Client, StatusCode, redirect};

use crate::cli::runtime::block_on;
use crate::web::endpoints::health::Readiness;

/// What keeps the daemon whose page is there from its work, if anything does. Where there is no
/// page, or another program's, nothing is known.
pub fn not_ready_reason(page: SocketAddr) -> Option<String> {
    block_on(ask(reachable(page))).ok()?
}

async fn ask(page: SocketAddr) -> Option<String> {
    // The client wants one, even where there is no TLS. That another was first is no error.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::builder()
        .no_proxy()
        .redirect(redirect::Policy::none())
        .tls_certs_only(iter::empty())
        .timeout(TIMEOUT);
    let answer = client.build().ok()?.get(format!("http://{page}/readyz")).send().await;
    let mut answer = match answer {
        Err(failure) if failure.is_timeout() && !failure.is_connect() => {
            let seconds = TIMEOUT.as_secs();
            return Some(format!("the daemon does not answer at `http://{page}/` in {seconds} s"));
        }
        answer => answer.ok()?,
    };
    if answer.status() != StatusCode::SERVICE_UNAVAILABLE {
        return None;
    }
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.ok()? {
        body.extend_from_slice(&chunk);
        if body.len() > BODY_BYTES_MAX {
            return None;
        }
    }
    let told: Readiness = serde_json::from_slice(&body).ok()?;
    told.reason.filter(|_| !told.ready)
}

/// An address of this machine, for a page that is at all of them.
fn reachable(page: SocketAddr) -> SocketAddr {
    let here = match page.ip() {
        IpAddr::V4(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(address) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        address => address,
    };
    SocketAddr::new(here, page.port())
}

/// How long a page is waited for: as long as the store waits for a lock.
const TIMEOUT: Duration = Duration::from_secs(5);
const BODY_BYTES_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_at_every_address_is_at_this_machine_s() {
        let check = |page: &str, expected: &str| {
            assert_eq!(reachable(page.parse().unwrap()), expected.parse().unwrap());
        };
        check("0.0.0.0:80", "127.0.0.1:80");
        check("[::]:80", "[::1]:80");
        check("192.0.2.1:80", "192.0.2.1:80");
    }
}
