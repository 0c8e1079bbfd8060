//! TLS to a mail server: whom we trust, and by what name the server has to prove itself.

use std::sync::{Arc, OnceLock};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::TlsConnector;

use crate::notify::error::NotifyError;
use crate::notify::root_certificates::RootCertificates;

/// What is needed for TLS with one server.
pub(in crate::notify::email) struct Tls {
    name: ServerName<'static>,
    /// The authorities that the settings add to those of the system.
    added: Vec<CertificateDer<'static>>,
    /// Set up once, when the system's authorities could be read.
    connector: OnceLock<TlsConnector>,
}

impl Tls {
    /// Sets it up; the system's authorities are read when they are needed.
    ///
    /// # Errors
    /// When the host can have no certificate, or the certificates cannot be read.
    pub(in crate::notify::email) fn new(
        channel: &str,
        host: &str,
        pem: Option<&[u8]>,
    ) -> Result<Self, NotifyError> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| NotifyError::HostName {
            channel: channel.to_owned(),
            key: "smtp.host",
            value: host.chars().take(HOST_SHOWN_MAX).collect(),
        })?;
        let added = CertificateDer::pem_slice_iter(pem.unwrap_or_default());
        let added: Result<Vec<_>, _> = added.collect();
        let added = added.map_err(|error| NotifyError::Tls {
            channel: channel.to_owned(),
            source: Box::new(error),
        })?;
        Ok(Self { name, added, connector: OnceLock::new() })
    }

    /// The name that the server's certificate must bear.
    pub(in crate::notify::email) fn name(&self) -> ServerName<'static> {
        self.name.clone()
    }

    /// Reads whom the system trusts, unless that has been done; blocks for as long.
    ///
    /// # Errors
    /// When nobody is trusted: what is wrong, for people.
    pub(in crate::notify::email) fn connector(&self) -> Result<TlsConnector, String> {
        if let Some(connector) = self.connector.get() {
            return Ok(connector.clone());
        }
        let trusted = RootCertificates::read(self.added.iter().cloned());
        let of_system = trusted.of_system;
        let connector = TlsConnector::from(Arc::new(trusted.config()?));
        if of_system > 0 {
            // Another try under way may have been first.
            let _ = self.connector.set(connector.clone());
        }
        Ok(connector)
    }
}

const HOST_SHOWN_MAX: usize = 253;
