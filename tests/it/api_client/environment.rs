//! What surrounds a request: certificates, and the variables of the environment.

use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{AVATAR, check_failed, check_idle, client, client_at, poll, with_length};
use crate::harness::argil::FakeArgil;
use crate::harness::rerun::{block_on, check_ignores_proxies, passed_in_child};
use crate::harness::tls::{Identity, TlsServer};

/// A TLS server of that identity that answers every request with the avatar.
async fn tls_server(identity: &Identity) -> TlsServer {
    TlsServer::start(identity, with_length(27, AVATAR)).await
}

#[tokio::test]
async fn a_server_without_tls_is_a_tls_failure() {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });
    let client = client_at(&format!("https://127.0.0.1:{port}"), Duration::from_secs(8));
    check_failed(&poll(&client, "a1").await, "TLS failed: the other side does not speak TLS");
}

#[test]
fn a_trusted_certificate_is_accepted_and_one_of_another_host_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    let file = file.to_str().unwrap();
    // The authorities are read when a client is built: each has its own.
    let test = "api_client::environment::\
                a_trusted_certificate_is_accepted_and_one_of_another_host_is_not";
    if passed_in_child(test, &[("SSL_CERT_FILE", file)]) {
        return;
    }
    let file = std::env::var("SSL_CERT_FILE").unwrap();
    block_on(async {
        for host in ["127.0.0.1", "127.0.0.2"] {
            let identity = Identity::self_signed(host, 4000);
            std::fs::write(&file, identity.pem()).unwrap();
            let server = tls_server(&identity).await;
            let seen = poll(&client_at(&server.base_url(), Duration::from_secs(8)), "a1").await;
            match host {
                "127.0.0.1" => check_idle(&seen),
                _ => check_failed(&seen, "TLS failed: its certificate is for another host"),
            }
        }
    });
}

#[test]
fn proxy_variables_are_ignored() {
    check_ignores_proxies("api_client::environment::proxy_variables_are_ignored", async {
        let api = FakeArgil::start();
        api.set_status("a1", "IDLE");
        check_idle(&poll(&client(&api), "a1").await);
    });
}
