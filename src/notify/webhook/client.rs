//! The HTTP client of a webhook: how it connects, and what it never does by itself.
//!
//! What always holds: no redirect is followed, nothing is repeated, no connection is used twice,
//! no proxy of the environment is asked, and every name is looked up through the guard. HTTP/1.1
//! alone is spoken: a connection for one request gains nothing from streams, which are one more
//! way to lose an answer.

use std::iter;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, retry};
use url::Url;

use crate::domain::delivery::egress_policy::EgressPolicy;
use crate::notify::error::NotifyError;
use crate::notify::transport_error;
use crate::notify::webhook::ssrf_guard;

/// How a client connects.
pub(in crate::notify) struct HttpClientSpec {
    /// The longest that one request may take.
    pub(in crate::notify) timeout: Duration,
    /// The longest that connecting may take, the look-up included.
    pub(in crate::notify) connect_limit: Duration,
    /// Which addresses a name may lead to.
    pub(in crate::notify) egress: EgressPolicy,
    /// The proxy; all goes through it.
    pub(in crate::notify) proxy: Option<Url>,
    /// What is trusted.
    pub(in crate::notify) trust: CertificateTrust,
}

/// What a client trusts.
pub(in crate::notify) enum CertificateTrust {
    /// Nobody: there is no TLS, so a machine without certificates will do.
    None,
    /// The authorities of the system, and those of a PEM file.
    System { more: Option<Vec<u8>> },
}

/// A client that is built when it is needed. What the machine lacks for that, CA certificates, say,
/// may be there later: then it is tried again.
pub(in crate::notify) struct LazyClient {
    spec: HttpClientSpec,
    built: OnceLock<Client>,
}

impl LazyClient {
    /// Sets a client up, as far as the machine allows; nothing is sent.
    ///
    /// # Errors
    /// When the settings are unfit for one.
    pub(in crate::notify) fn new(spec: HttpClientSpec) -> Result<Self, NotifyError> {
        let lazy = Self { spec, built: OnceLock::new() };
        let built = lazy.build().map(drop);
        match built {
            Ok(()) | Err(NotifyError::HttpClient(_)) => Ok(lazy),
            Err(error) => Err(error),
        }
    }

    /// The client.
    ///
    /// # Errors
    /// With what this machine lacks, and how to mend it.
    pub(in crate::notify) fn get(&self) -> Result<&Client, String> {
        self.build().map_err(|error| match &error {
            NotifyError::HttpClient(cause) => transport_error::not_built(&**cause),
            other => other.to_string(),
        })
    }

    fn build(&self) -> Result<&Client, NotifyError> {
        match self.built.get() {
            Some(client) => Ok(client),
            None => client(&self.spec).map(|client| self.built.get_or_init(|| client)),
        }
    }
}

/// Sets a client up; nothing is sent.
///
/// # Errors
/// When the certificates cannot be read, or the machine has none.
fn client(spec: &HttpClientSpec) -> Result<Client, NotifyError> {
    // Only the first call in a process takes effect; that another was first is no error.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let failed = |error: reqwest::Error| NotifyError::HttpClient(Box::new(error.without_url()));
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
            let proxy = reqwest::Proxy::all(url.clone()).map_err(|_| NotifyError::Proxy)?;
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

fn authorities(pem: &[u8]) -> Result<Vec<Certificate>, NotifyError> {
    let refused = |error: reqwest::Error| NotifyError::Certificates(Box::new(error.without_url()));
    Certificate::from_pem_bundle(pem).map_err(refused)
}

/// Looks names up so that a failure tells whose fault it is, and no refused address comes out.
struct GuardedResolver {
    limit: Duration,
    egress: EgressPolicy,
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (limit, reach) = (self.limit, self.egress);
        Box::pin(async move {
            // The client puts the port of the URL in place of the zero.
            let addresses = transport_error::resolve(name.as_str(), 0, limit).await?;
            let admitted = ssrf_guard::filter_addresses(addresses, reach)?;
            Ok(Box::new(admitted.into_iter()) as Addrs)
        })
    }
}

const USER_AGENT: &str = concat!("avatar-watch/", env!("CARGO_PKG_VERSION"));
const RESOLVE_SHARE: f32 = 0.75;
