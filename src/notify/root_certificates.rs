//! The root certificates of the TLS connections that bypass the HTTP client: those of the system
//! and of `ca_file`. The HTTP client reads the same, so both trust the same servers.

use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

/// A TLS config that trusts the certificates of the system, which are read now, blocking, and
/// `more`; and whether the system has any.
///
/// # Errors
/// When there are none at all: a text for people.
pub(super) fn client_config(
    more: impl IntoIterator<Item = CertificateDer<'static>>,
) -> Result<(ClientConfig, bool), String> {
    let found = rustls_native_certs::load_native_certs();
    let mut store = RootCertStore::empty();
    let (of_system, _) = store.add_parsable_certificates(found.certs);
    store.add_parsable_certificates(more);
    if store.is_empty() {
        let why = found.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
        return Err(format!("no TLS: this machine has no CA certificates{why}"));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(store)
        .with_no_client_auth();
    Ok((config, of_system > 0))
}
