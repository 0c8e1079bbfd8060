//! TLS with a receiver, as far as the handshake: what a message would meet, without a message.
//!
//! The authorities are those that the HTTP client has, so both come to the same verdict.

use std::io;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Shakes hands with `host`, trusting the authorities of `more` besides those of the system.
///
/// # Errors
/// With a [`rustls::Error`] inside where TLS failed, and without where the connection did.
pub(super) async fn shake(stream: TcpStream, host: &str, more: Option<&[u8]>) -> io::Result<()> {
    let connector = TlsConnector::from(Arc::new(config(more).map_err(io::Error::other)?));
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    connector.connect(name, stream).await.map(drop)
}

fn config(more: Option<&[u8]>) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let more = more.map(CertificateDer::pem_slice_iter);
    roots.add_parsable_certificates(more.into_iter().flatten().filter_map(Result::ok));
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
