//! The connections to the API, and how long they are believed in.
//!
//! A kept connection leads to where the API was when its name was looked up. So every pool has a
//! greatest age, and bad news on an older one counts only when a new one has said so as well. The
//! name is looked up before a pool is made: that has a limit and words of its own, and connecting
//! has all of its time for itself.

use std::iter;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::header::HeaderMap;
use url::{Host, Url};

use crate::domain::time::timestamp::Timestamp;
use crate::network::resolve::{LookUpError, look_up};
use crate::network::route::routable;

/// Where the connections lead, and what is sent on them.
#[derive(Debug)]
pub(super) struct ApiTarget {
    /// Any URL of the API.
    pub(super) url: Url,
    /// What every request carries.
    pub(super) headers: HeaderMap,
    /// How long one request may take in all.
    pub(super) timeout: Duration,
}

/// The pool of now; asked for before each request.
#[derive(Debug)]
pub(super) struct Pools {
    target: ApiTarget,
    current: Mutex<Current>,
}

/// Why there is no pool to ask on.
#[derive(Debug)]
pub(super) enum PoolError {
    /// The name could not be looked up.
    Unresolved(LookUpError),
    /// The HTTP library could not be set up: this machine lacks something.
    Unbuilt(reqwest::Error),
}

#[derive(Debug, Default)]
struct Current {
    /// `None` until the machine had what a pool takes.
    pool: Option<Arc<Pool>>,
    used_at: Option<Timestamp>,
    /// Whether the last news on it was bad, so that the next is better not asked for on it.
    is_doubted: bool,
}

/// Connections to the addresses that the name had when the pool was made.
#[derive(Debug)]
pub(super) struct Pool {
    /// Keeps connections.
    pub(super) keeping: reqwest::Client,
    /// Never does; for the second request, which must not meet another dead connection.
    pub(super) fresh: reqwest::Client,
    /// `None` while the name was not looked up.
    made_at: Option<Timestamp>,
}

impl Pools {
    /// Pools to that target; nothing is looked up or sent yet.
    pub(super) fn new(target: ApiTarget) -> Self {
        Self { target, current: Mutex::default() }
    }

    /// What this machine lacks, so that there is no pool.
    pub(super) fn obstacle(&self) -> Option<reqwest::Error> {
        let mut current = self.lock();
        if current.pool.is_none() {
            match self.target.pool(&[], None) {
                Ok(pool) => current.pool = Some(Arc::new(pool)),
                Err(error) => return Some(error),
            }
        }
        None
    }

    /// The pool to ask on at `now`: a new one where the old one is too old, has no connection left
    /// anyway, or brought bad news and is not quite new.
    ///
    /// # Errors
    /// When a new one is needed, and cannot be made.
    pub(super) async fn at(&self, now: Timestamp) -> Result<Arc<Pool>, PoolError> {
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
            pool => self.after(pool.as_ref(), now).await,
        }
    }

    /// A pool that is newer than `old`, made after a look-up of its own.
    ///
    /// # Errors
    /// When the name cannot be looked up, or no pool can be made.
    pub(super) async fn after(
        &self,
        old: Option<&Arc<Pool>>,
        now: Timestamp,
    ) -> Result<Arc<Pool>, PoolError> {
        let found = match self.target.url.host() {
            Some(Host::Domain(name)) => {
                look_up(name, LOOK_UP_MAX).await.map_err(PoolError::Unresolved)?
            }
            Some(Host::Ipv4(_) | Host::Ipv6(_)) | None => Vec::new(),
        };
        // The client puts the port of the URL in place of the zero.
        let addresses =
            routable(found.into_iter().map(|address| SocketAddr::new(address, 0)).collect());
        let mut current = self.lock();
        // Several may have waited for the same look-up; one pool is enough for them.
        if let Some(pool) = &current.pool
            && old.is_none_or(|old| !Arc::ptr_eq(pool, old))
        {
            return Ok(Arc::clone(pool));
        }
        match (self.target.pool(&addresses, Some(now)), &current.pool) {
            (Ok(pool), _) => {
                let pool = Arc::new(pool);
                current.pool = Some(Arc::clone(&pool));
                current.is_doubted = false;
                Ok(pool)
            }
            // Where none can be made any more, the old one has to do.
            (Err(_), Some(old)) => Ok(Arc::clone(old)),
            (Err(error), None) => Err(PoolError::Unbuilt(error)),
        }
    }

    /// Notes what came on that pool: bad news, or good.
    pub(super) fn record(&self, pool: &Arc<Pool>, is_bad: bool) {
        let mut current = self.lock();
        if current.pool.as_ref().is_some_and(|current| Arc::ptr_eq(current, pool)) {
            current.is_doubted = is_bad;
        }
    }

    /// Makes the next request look the name up again: no connection there could be used.
    pub(super) fn abandon(&self, pool: &Arc<Pool>) {
        let mut current = self.lock();
        if current.pool.as_ref().is_some_and(|current| Arc::ptr_eq(current, pool)) {
            let Pool { keeping, fresh, .. } = &**pool;
            let (keeping, fresh) = (keeping.clone(), fresh.clone());
            current.pool = Some(Arc::new(Pool { keeping, fresh, made_at: None }));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pool {
    /// Whether the pool is so young that even bad news is believed.
    pub(super) fn is_fresh(&self, now: Timestamp) -> bool {
        is_within(FRESH_FOR, self.made_at, now)
    }
}

/// Whether that was less than so long ago. A wall clock that was set, either way, makes it longer.
fn is_within(limit: Duration, at: Option<Timestamp>, now: Timestamp) -> bool {
    at.is_some_and(|at| now.since(at).max(at.since(now)) < limit)
}

impl ApiTarget {
    fn pool(
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
            keeping: built(builder().pool_max_idle_per_host(IDLE_CONNECTIONS_MAX))?,
            fresh: built(builder().pool_max_idle_per_host(0))?,
            made_at,
        })
    }

    /// What all HTTP clients have in common. HTTP/1.1 only: it has fewer ways to go wrong, and a
    /// silent connection harms one request instead of all.
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
            .read_timeout(self.timeout.min(SILENCE_MAX))
            .pool_idle_timeout(IDLE_MAX);
        if self.url.scheme() == "http" {
            // No TLS ever, so a machine without CA certificates will do.
            builder.tls_certs_only(iter::empty())
        } else {
            builder
        }
    }
}

/// The longest wait for a connection, TLS included; the look-up of the name is not.
pub(super) const CONNECT_MAX: Duration = Duration::from_secs(5);
/// The longest silence, before the answer and within it.
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(10);
/// The longest look-up of the name: as long as the system's resolver takes with three name servers
/// of which none answers at first.
const LOOK_UP_MAX: Duration = Duration::from_secs(30);
/// How long a look-up is good for, and connections are kept.
const KEPT_MAX: Duration = Duration::from_secs(5 * 60);
/// How long ago the look-up may be for bad news to be believed.
const FRESH_FOR: Duration = Duration::from_secs(30);
/// How long an unused connection is kept.
const IDLE_MAX: Duration = Duration::from_secs(90);
/// How many unused connections are kept.
const IDLE_CONNECTIONS_MAX: usize = 64;
