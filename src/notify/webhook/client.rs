//! The HTTP client of webhooks.
//!
//! Invariants: no redirects, no retries, no connection reuse, no proxy from the environment, and
//! every name is resolved through the SSRF guard. Only HTTP/1.1: a connection for one request gains
//! nothing from multiplexing.

use std::iter;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, retry};
use url::Url;

use crate::domain::delivery::egress_policy::EgressPolicy;
use crate::notify::build_error::BuildError;
use crate::notify::ssrf_guard;
use crate::notify::transport_error;

/// How a client connects.
pub(in crate::notify) struct HttpClientSpec {
    /// The limit of one request.
    pub(in crate::notify) timeout: Duration,
    /// The limit of connecting, DNS included.
    pub(in crate::notify) connect_limit: Duration,
    /// The addresses that may be connected to.
    pub(in crate::notify) egress: EgressPolicy,
    /// The proxy for all requests.
    pub(in crate::notify) proxy: Option<Url>,
    pub(in crate::notify) trust: CertificateTrust,
}

/// The root certificates of a client.
pub(in crate::notify) enum CertificateTrust {
    /// None: without TLS, a machine without certificates will do.
    None,
    /// Those of the system, and those of a PEM file.
    System { more: Option<Vec<u8>> },
}

/// A client that is built on demand. When the machine lacks something, such as CA certificates, the
/// next use builds it again.
pub(in crate::notify) struct LazyClient {
    spec: HttpClientSpec,
    built: OnceLock<Client>,
}

impl LazyClient {
    /// Builds the client if the machine allows it; nothing is sent.
    ///
    /// # Errors
    /// When the settings are not valid.
    pub(in crate::notify) fn new(spec: HttpClientSpec) -> Result<Self, BuildError> {
        let lazy = Self { spec, built: OnceLock::new() };
        let built = lazy.build().map(drop);
        match built {
            Ok(()) | Err(BuildError::HttpClient(_)) => Ok(lazy),
            Err(error) => Err(error),
        }
    }

    /// # Errors
    /// What this machine lacks, and how to fix it.
    pub(in crate::notify) fn get(&self) -> Result<&Client, String> {
        self.build().map_err(|error| match &error {
            BuildError::HttpClient(cause) => transport_error::not_built(&**cause),
            other => other.to_string(),
        })
    }

    fn build(&self) -> Result<&Client, BuildError> {
        match self.built.get() {
            Some(client) => Ok(client),
            None => client(&self.spec).map(|client| self.built.get_or_init(|| client)),
        }
    }
}

fn client(spec: &HttpClientSpec) -> Result<Client, BuildError> {
    // Only the first call in a process takes effect; a later one fails, which is no error.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let failed = |error: reqwest::Error| BuildError::HttpClient(Box::new(error.without_url()));
    let resolver =
        GuardedResolver { limit: spec.connect_limit.mul_f32(RESOLVE_SHARE), egress: spec.egress };
    let builder = Client::builder()
        .user_agent(USER_AGENT)
        .redirect(Policy::none())
        .referer(false)
        .retry(retry::never())
        .http1_only()
        .pool_max_idle_per_host(0)
        .dns_resolver(Arc::new(resolver))
        .connect_timeout(spec.connect_limit)
        .timeout(spec.timeout);
    let builder = match &spec.proxy {
        None => builder.no_proxy(),
        Some(url) => {
            let proxy = reqwest::Proxy::all(url.clone()).map_err(|_| BuildError::Proxy)?;
            builder.proxy(proxy)
        }
    };
    let builder = match &spec.trust {
        CertificateTrust::None => builder.tls_certs_only(iter::empty()),
        CertificateTrust::System { more: None } => builder,
        CertificateTrust::System { more: Some(pem) } => builder.tls_certs_merge(authorities(pem)?),
    };
    builder.build().map_err(failed)
}

fn authorities(pem: &[u8]) -> Result<Vec<Certificate>, BuildError> {
    let refused = |error: reqwest::Error| BuildError::Certificates(Box::new(error.without_url()));
    Certificate::from_pem_bundle(pem).map_err(refused)
}

/// Resolves names with errors that distinguish local failures, and drops blocked addresses.
struct GuardedResolver {
    limit: Duration,
    egress: EgressPolicy,
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (limit, egress) = (self.limit, self.egress);
        Box::pin(async move {
            // The client replaces port 0 by the port of the URL.
            let addresses = transport_error::resolve(name.as_str(), 0, limit).await?;
            let admitted = ssrf_guard::filter_addresses(addresses, egress)?;
            Ok(Box::new(admitted.into_iter()) as Addrs)
        })
    }
}

const USER_AGENT: &str = concat!("avatar-watch/", env!("CARGO_PKG_VERSION"));
const RESOLVE_SHARE: f32 = 0.75;
