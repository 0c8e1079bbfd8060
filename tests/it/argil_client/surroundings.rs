//! What surrounds a request: certificates, and the variables of the environment.

use std::net::{Ipv4Addr, TcpListener as StdListener};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    AVATAR, block_on, check_failed, check_idle, client, client_at, in_child, look, with_length,
};
use crate::harness::argil::FakeArgil;

/// A TLS server with this certificate that answers every request with the avatar.
async fn tls_server(certificate: rcgen::Certificate, key: &rcgen::KeyPair) -> String {
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.into()], key.into())
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(with_length(27, AVATAR).as_bytes()).await;
        }
    });
    format!("https://127.0.0.1:{port}/v1")
}

fn self_signed(host: &str, year_of_end: i32) -> (rcgen::Certificate, rcgen::KeyPair) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut parameters = rcgen::CertificateParams::new(vec![host.to_owned()]).unwrap();
    parameters.not_after = rcgen::date_time_ymd(year_of_end, 1, 1);
    let certificate = parameters.self_signed(&key).unwrap();
    (certificate, key)
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_a_tls_failure() {
    for (year_of_end, expected) in [
        (4000, "TLS failed: certificate of an unknown issuer"),
        (2001, "TLS failed: certificate expired at 2001-01-01T00:00:00.000Z"),
    ] {
        let (certificate, key) = self_signed("127.0.0.1", year_of_end);
        let base_url = tls_server(certificate, &key).await;
        check_failed(&look(&client_at(&base_url, Duration::from_secs(8)), "a1").await, expected);
    }
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
    check_failed(&look(&client, "a1").await, "TLS failed: the server does not speak TLS");
}

#[test]
fn a_trusted_certificate_is_seen_and_one_of_another_host_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    let file = file.to_str().unwrap();
    let child = in_child(
        "surroundings::a_trusted_certificate_is_seen_and_one_of_another_host_is_not",
        &[("SSL_CERT_FILE", file)],
    );
    // The authorities are read when a client is built: each has its own.
    if let Some(output) = child {
        assert!(output.status.success(), "{output:?}");
        return;
    }
    let file = std::env::var("SSL_CERT_FILE").unwrap();
    block_on(async {
        for host in ["127.0.0.1", "127.0.0.2"] {
            let (certificate, key) = self_signed(host, 4000);
            std::fs::write(&file, certificate.pem()).unwrap();
            let base_url = tls_server(certificate, &key).await;
            let seen = look(&client_at(&base_url, Duration::from_secs(8)), "a1").await;
            match host {
                "127.0.0.1" => check_idle(&seen),
                _ => check_failed(&seen, "TLS failed: certificate of another host"),
            }
        }
    });
}

#[test]
fn proxy_variables_are_ignored() {
    let proxy = StdListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}", proxy.local_addr().unwrap());
    let names =
        ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
    let mut variables: Vec<_> = names.iter().map(|name| (*name, url.as_str())).collect();
    variables.extend([("no_proxy", ""), ("NO_PROXY", "")]);
    if let Some(output) = in_child("surroundings::proxy_variables_are_ignored", &variables) {
        assert!(output.status.success(), "{output:?}");
        proxy.set_nonblocking(true).unwrap();
        assert!(proxy.accept().is_err(), "the proxy was asked");
        return;
    }
    let api = FakeArgil::start();
    api.set_status("a1", "IDLE");
    check_idle(&block_on(async { look(&client(&api), "a1").await }));
}
