//! The TLS config for one mail server: root certificates and the name in its certificate.

use std::sync::{Arc, OnceLock};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::TlsConnector;

use crate::notify::build_error::BuildError;
use crate::notify::root_certificates;

pub(in crate::notify::email) struct Tls {
    name: ServerName<'static>,
    /// The certificates of `ca_file`.
    added: Vec<CertificateDer<'static>>,
    /// Built once the certificates of the system could be read.
    connector: OnceLock<TlsConnector>,
}

impl Tls {
    /// The certificates of the system are read on demand.
    ///
    /// # Errors
    /// When the host name is not valid, or the certificates cannot be parsed.
    pub(in crate::notify::email) fn new(
        channel: &str,
        host: &str,
        pem: Option<&[u8]>,
    ) -> Result<Self, BuildError> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| BuildError::HostName {
            channel: channel.to_owned(),
            value: host.chars().take(HOST_SHOWN_MAX).collect(),
        })?;
        let added = CertificateDer::pem_slice_iter(pem.unwrap_or_default());
        let added: Result<Vec<_>, _> = added.collect();
        let added = added.map_err(|error| BuildError::Tls {
            channel: channel.to_owned(),
            source: Box::new(error),
        })?;
        Ok(Self { name, added, connector: OnceLock::new() })
    }

    pub(in crate::notify::email) fn name(&self) -> ServerName<'static> {
        self.name.clone()
    }

    /// Reads the certificates of the system on the first call, blocking.
    ///
    /// # Errors
    /// When there are no certificates: a text for people.
    pub(in crate::notify::email) fn connector(&self) -> Result<TlsConnector, String> {
        if let Some(connector) = self.connector.get() {
            return Ok(connector.clone());
        }
        let (config, has_system) = root_certificates::client_config(self.added.iter().cloned())?;
        let connector = TlsConnector::from(Arc::new(config));
        if has_system {
            // Fails when a concurrent attempt was first, which is fine.
            let _ = self.connector.set(connector.clone());
        }
        Ok(connector)
    }
}

const HOST_SHOWN_MAX: usize = 253;
