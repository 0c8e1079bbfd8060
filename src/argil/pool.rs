//! The connections to the API, with a limited age.
//!
//! A kept connection leads to the address that the name had when it was resolved. A pool therefore
//! has a maximum age, and a bad response on an old pool counts only after a new one has confirmed
//! it. The name is resolved before a pool is created, with a timeout and errors of its own, so that
//! connecting has its full timeout.

use std::iter;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::header::HeaderMap;
use url::{Host, Url};

use crate::domain::time::timestamp::Timestamp;
use crate::network::resolve::{ResolveError, resolve};
use crate::network::routable::routable;

/// The target of the connections, and the headers of requests.
#[derive(Debug)]
pub(super) struct ApiTarget {
    /// Any URL of the API.
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) timeout: Duration,
}

/// Holds the current pool, which is checked before each request.
#[derive(Debug)]
pub(super) struct PoolManager {
    target: ApiTarget,
    current: Mutex<Current>,
}

/// Why there is no pool.
#[derive(Debug)]
pub(super) enum PoolError {
    /// The name could not be resolved.
    Unresolved(ResolveError),
    /// The HTTP library could not be set up: a local resource is missing.
    Unbuilt(reqwest::Error),
}

#[derive(Debug, Default)]
struct Current {
    /// `None` until a pool could be created.
    pool: Option<Arc<Pool>>,
    used_at: Option<Timestamp>,
    /// Whether the last response on it was bad, so that the next request should use another pool.
    is_doubted: bool,
}

/// Connections to the addresses that the name had when the pool was made.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) keep_alive: reqwest::Client,
    /// Keeps none; for repeated requests, which must not meet another dead connection.
    pub(super) one_shot: reqwest::Client,
    /// `None` while the name was not resolved.
    made_at: Option<Timestamp>,
}

impl PoolManager {
    /// Nothing is resolved or sent yet.
    pub(super) fn new(target: ApiTarget) -> Self {
        Self { target, current: Mutex::default() }
    }

    /// Builds a pool unless there is one. Returns why not, if a local resource is missing.
    pub(super) fn ensure_built(&self) -> Option<reqwest::Error> {
        let mut current = self.lock();
        if current.pool.is_none() {
            match self.target.build_pool(&[], None) {
                Ok(pool) => current.pool = Some(Arc::new(pool)),
                Err(error) => return Some(error),
            }
        }
        None
    }

    /// The pool for a request at `now`: a new one if the old one is too old, has no connection
    /// left, or had a bad response and is not recent.
    ///
    /// Fails when a new one is needed and cannot be created.
    pub(super) async fn current(&self, now: Timestamp) -> Result<Arc<Pool>, PoolError> {
        let (pool, used_at, is_doubted) = {
            let mut current = self.lock();
            let used_at = current.used_at.replace(now);
            (current.pool.clone(), used_at, current.is_doubted)
        };
        let age_max = if is_doubted { FRESH_FOR } else { KEPT_MAX };
        let made_at = pool.as_ref().and_then(|pool| pool.made_at);
        match pool {
            Some(pool) if is_within(IDLE_MAX, used_at, now) && is_within(age_max, made_at, now) => {
                Ok(pool)
            }
            pool => self.renewed(pool.as_ref(), now).await,
        }
    }

    /// A pool that is newer than `old`, with the name resolved again; `old` itself if a newer one
    /// cannot be built.
    ///
    /// Fails when the name cannot be resolved, or there is no pool at all.
    pub(super) async fn renewed(
        &self,
        old: Option<&Arc<Pool>>,
        now: Timestamp,
    ) -> Result<Arc<Pool>, PoolError> {
        let found = match self.target.url.host() {
            Some(Host::Domain(name)) => {
                resolve(name, RESOLVE_TIMEOUT).await.map_err(PoolError::Unresolved)?
            }
            Some(Host::Ipv4(_) | Host::Ipv6(_)) | None => Vec::new(),
        };
        // The client puts the port of the URL in place of the zero.
        let addresses =
            routable(found.into_iter().map(|address| SocketAddr::new(address, 0)).collect());
        let mut current = self.lock();
        // Several requests may have waited for the same resolution; they share one pool.
        if let Some(pool) = &current.pool
            && old.is_none_or(|old| !Arc::ptr_eq(pool, old))
        {
            return Ok(Arc::clone(pool));
        }
        match (self.target.build_pool(&addresses, Some(now)), &current.pool) {
            (Ok(pool), _) => {
                let pool = Arc::new(pool);
                current.pool = Some(Arc::clone(&pool));
                current.is_doubted = false;
                Ok(pool)
            }
            // If none can be created, the old one is used.
            (Err(_), Some(old)) => Ok(Arc::clone(old)),
            (Err(error), None) => Err(PoolError::Unbuilt(error)),
        }
    }

    /// Records a bad or a good response on that pool.
    pub(super) fn record(&self, pool: &Arc<Pool>, is_bad: bool) {
        let mut current = self.lock();
        if current.pool.as_ref().is_some_and(|current| Arc::ptr_eq(current, pool)) {
            current.is_doubted = is_bad;
        }
    }

    /// Makes the next request resolve the name again: no connection could be used.
    pub(super) fn abandon(&self, pool: &Arc<Pool>) {
        let mut current = self.lock();
        if current.pool.as_ref().is_some_and(|current| Arc::ptr_eq(current, pool)) {
            let Pool { keep_alive, one_shot, .. } = &**pool;
            let (keep_alive, one_shot) = (keep_alive.clone(), one_shot.clone());
            current.pool = Some(Arc::new(Pool { keep_alive, one_shot, made_at: None }));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pool {
    /// Whether the pool is so recent that a bad response on it counts.
    pub(super) fn is_fresh(&self, now: Timestamp) -> bool {
        is_within(FRESH_FOR, self.made_at, now)
    }
}

/// Whether that was less than `limit` ago. A change of the wall clock, in either direction, counts
/// as longer.
fn is_within(limit: Duration, at: Option<Timestamp>, now: Timestamp) -> bool {
    at.is_some_and(|at| now.since(at).max(at.since(now)) < limit)
}

impl ApiTarget {
    fn build_pool(
        &self,
        addresses: &[SocketAddr],
        made_at: Option<Timestamp>,
    ) -> Result<Pool, reqwest::Error> {
        let builder = || {
            let builder = self.builder();
            match self.url.domain().filter(|_| !addresses.is_empty()) {
                Some(name) => builder.resolve_to_addrs(name, addresses),
                None => builder,
            }
        };
        let built =
            |builder: reqwest::ClientBuilder| builder.build().map_err(reqwest::Error::without_url);
        Ok(Pool {
            keep_alive: built(builder().pool_max_idle_per_host(IDLE_CONNECTIONS_MAX))?,
            one_shot: built(builder().pool_max_idle_per_host(0))?,
            made_at,
        })
    }

    /// The common settings of all HTTP clients. HTTP/1.1 only: it is simpler, and a silent
    /// connection affects one request instead of all.
    fn builder(&self) -> reqwest::ClientBuilder {
        let builder = reqwest::Client::builder()
            .default_headers(self.headers.clone())
            .user_agent(concat!("avatar-watch/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            .http1_only()
            .connect_timeout(self.timeout.min(CONNECT_MAX))
            .read_timeout(self.timeout.min(READ_TIMEOUT))
            .pool_idle_timeout(IDLE_MAX);
        if self.url.scheme() == "http" {
            // Without TLS, so that it works without CA certificates.
            builder.tls_certs_only(iter::empty())
        } else {
            builder
        }
    }
}

/// The timeout of a connection, including TLS, without name resolution.
pub(super) const CONNECT_MAX: Duration = Duration::from_secs(5);
/// The maximum time without data, before and within a response.
pub(super) const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// The timeout of name resolution: that of the system's resolver with three name servers that do
/// not respond at first.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(30);
/// The lifetime of a resolution and of connections.
const KEPT_MAX: Duration = Duration::from_secs(5 * 60);
/// The maximum age of a resolution for which a bad response counts.
const FRESH_FOR: Duration = Duration::from_secs(30);
/// How long an unused connection is kept.
const IDLE_MAX: Duration = Duration::from_secs(90);
/// How many unused connections are kept.
const IDLE_CONNECTIONS_MAX: usize = 64;
