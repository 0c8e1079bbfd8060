//! A heartbeat: a `GET` that tells a service that we live, so that it says so when we do not.
//!
//! What always holds: one beat is one request on a connection of its own, as with a webhook: no
//! redirect is followed, no proxy is asked, no refused address is called, and the URL, which is a
//! credential, gets into no error.

use std::fmt;
use std::time::Duration;

use url::Url;

use crate::domain::delivery::egress_policy::EgressPolicy;
use crate::notify::error::NotifyError;
use crate::notify::secret_patterns;
use crate::notify::transport_error::{self, ResolveError};
use crate::notify::webhook::client::{CertificateTrust, HttpClientSpec, LazyClient};
use crate::notify::webhook::ssrf_guard::{self, Blocked};
use crate::secret::Secret;

/// How we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeartbeatStatus {
    /// All is well.
    Healthy,
    /// We live, and cannot do our work.
    Unhealthy,
}

/// Where the heart beats.
pub struct Heartbeat {
    client: LazyClient,
    host: String,
    healthy_url: Url,
    unhealthy_url: Url,
}

/// A beat that was not heard; without the URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct HeartbeatError(String);

impl Heartbeat {
    /// Sets it up; nothing is sent.
    ///
    /// # Errors
    /// When the URL is none.
    pub fn new(url: &Secret) -> Result<Self, NotifyError> {
        let well = Url::parse(url.expose()).map_err(NotifyError::Url)?;
        let host = well.host_str().filter(|host| !host.is_empty()).ok_or(NotifyError::Scheme)?;
        let trust = match well.scheme() {
            "http" => CertificateTrust::None,
            "https" => CertificateTrust::System { more: None },
            _ => return Err(NotifyError::Scheme),
        };
        let client = LazyClient::new(HttpClientSpec {
            timeout: TIMEOUT,
            connect_limit: CONNECT_LIMIT,
            egress: EgressPolicy::AllowPrivate,
            proxy: None,
            trust,
        })?;
        Ok(Self { client, host: host.to_owned(), unhealthy_url: failing(&well), healthy_url: well })
    }

    /// Beats once.
    ///
    /// # Errors
    /// When no good answer came.
    pub async fn send(&self, vital: HeartbeatStatus) -> Result<(), HeartbeatError> {
        let url = match vital {
            HeartbeatStatus::Healthy => &self.healthy_url,
            HeartbeatStatus::Unhealthy => &self.unhealthy_url,
        };
        let refused = |refused: Blocked| HeartbeatError(refused.outcome(&self.host).summary());
        ssrf_guard::check_url(url, EgressPolicy::AllowPrivate).map_err(refused)?;
        let client = self.client.get().map_err(HeartbeatError)?;
        match client.get(url.clone()).send().await {
            Ok(response) if response.status().is_success() => Ok(()),
            Ok(response) => {
                let status = response.status().as_u16();
                Err(HeartbeatError(format!("`{}` answered {status}", self.host)))
            }
            Err(error) => Err(self.request_failed(&error.without_url())),
        }
    }

    /// What this machine lacks, so that nothing can be told just now.
    pub fn obstacle(&self) -> Option<String> {
        self.client.get().err()
    }

    fn request_failed(&self, error: &reqwest::Error) -> HeartbeatError {
        let host = &self.host;
        if let Some(refused) = transport_error::cause::<Blocked>(error) {
            return HeartbeatError(refused.outcome(host).summary());
        }
        if let Some(unresolved) = transport_error::cause::<ResolveError>(error) {
            return HeartbeatError(unresolved.outcome(host).summary());
        }
        if let Some(tls) = transport_error::cause::<rustls::Error>(error) {
            let hidden = secret_patterns::of_url(&self.healthy_url);
            return HeartbeatError(format!(
                "no TLS with `{host}`: {}",
                transport_error::tls_text(tls, &hidden)
            ));
        }
        let what = match (error.is_connect(), error.is_timeout()) {
            (true, _) => "cannot be connected to",
            (false, true) => "did not answer in time",
            (false, false) => "gave no answer",
        };
        HeartbeatError(format!("`{host}` {what}"))
    }
}

impl fmt::Debug for Heartbeat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heartbeat").field("host", &self.host).finish_non_exhaustive()
    }
}

/// The place for bad news, by the convention of these services: `/fail` behind the path.
fn failing(url: &Url) -> Url {
    let mut failing = url.clone();
    failing.set_path(&format!("{}/fail", url.path().trim_end_matches('/')));
    failing
}

const TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_news_goes_behind_the_path_and_keeps_the_query() {
        let check = |url: &str, expected: &str| {
            assert_eq!(failing(&Url::parse(url).unwrap()).as_str(), expected);
        };
        check("https://h.example/ping/1", "https://h.example/ping/1/fail");
        check("https://h.example/ping/1/", "https://h.example/ping/1/fail");
        check("https://h.example", "https://h.example/fail");
        check("https://h.example/a?rid=1&b", "https://h.example/a/fail?rid=1&b");
    }

    #[test]
    fn a_url_that_is_none_is_not_shown() {
        for url in ["CANARY", "ftp://h.example/CANARY"] {
            let error = Heartbeat::new(&Secret::new(url)).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("CANARY"), "for `{url}`");
        }
    }
}
