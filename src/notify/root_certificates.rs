//! The root certificates of the TLS connections that bypass the HTTP client: those of the system
//! and of `ca_file`. The HTTP client reads the same, so both trust the same servers.

use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

pub(super) struct RootCertificates {
    store: RootCertStore,
    /// How many come from the system.
    pub(super) of_system: usize,
    /// Why the system has none, if known.
    why: Option<String>,
}

impl RootCertificates {
    /// Reads those of the system, blocking, and adds `more`.
    pub(super) fn read(more: impl IntoIterator<Item = CertificateDer<'static>>) -> Self {
        let found = rustls_native_certs::load_native_certs();
        let mut store = RootCertStore::empty();
        let (of_system, _) = store.add_parsable_certificates(found.certs);
        store.add_parsable_certificates(more);
        Self { store, of_system, why: found.errors.first().map(ToString::to_string) }
    }

    /// A TLS config that trusts exactly these.
    ///
    /// # Errors
    /// When there are none: a text for people.
    pub(super) fn config(self) -> Result<ClientConfig, String> {
        if self.store.is_empty() {
            let why = self.why.map(|error| format!(" ({error})")).unwrap_or_default();
            return Err(format!("no TLS: this machine has no CA certificates{why}"));
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(self.store)
            .with_no_client_auth();
        Ok(config)
    }
}
