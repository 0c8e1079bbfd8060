//! Whom TLS trusts that we set up ourselves: the authorities of the system, and those that the
//! settings add. The HTTP client reads the same, so both come to the same verdict.

use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

/// The authorities that are trusted.
pub(super) struct RootCertificates {
    store: RootCertStore,
    /// How many of them are the system's.
    pub(super) of_system: usize,
    /// Why the system has none, if that is known.
    why: Option<String>,
}

impl RootCertificates {
    /// Reads those of the system, which blocks for as long, and adds `more`.
    pub(super) fn read(more: impl IntoIterator<Item = CertificateDer<'static>>) -> Self {
        let found = rustls_native_certs::load_native_certs();
        let mut store = RootCertStore::empty();
        let (of_system, _) = store.add_parsable_certificates(found.certs);
        store.add_parsable_certificates(more);
        Self { store, of_system, why: found.errors.first().map(ToString::to_string) }
    }

    /// The settings of TLS with which these are trusted, and no others.
    ///
    /// # Errors
    /// When nobody is trusted: what is wrong, for people.
    pub(super) fn config(self) -> Result<ClientConfig, String> {
        if self.store.is_empty() {
            let why = self.why.map(|error| format!(" ({error})")).unwrap_or_default();
            return Err(format!("no TLS: this machine knows no authority to trust{why}"));
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(self.store)
            .with_no_client_auth();
        Ok(config)
    }
}
