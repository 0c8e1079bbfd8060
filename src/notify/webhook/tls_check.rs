//! A TLS handshake with a receiver without sending a message, for probes.

use std::io;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::notify::root_certificates;

/// Performs the handshake with `host`, trusting the certificates of `more` and of the system.
///
/// # Errors
/// Contains a [`rustls::Error`] when TLS failed, and none when the connection failed.
pub(in crate::notify) async fn handshake(
    stream: TcpStream,
    host: &str,
    more: Option<&[u8]>,
) -> io::Result<()> {
    let more = CertificateDer::pem_slice_iter(more.unwrap_or_default());
    let config = root_certificates::client_config(more.filter_map(Result::ok));
    let (mut config, _) = config.map_err(io::Error::other)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.map(drop)
}
