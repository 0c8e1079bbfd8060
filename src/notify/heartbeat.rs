//! One heartbeat: a `GET` to a monitoring service, which alerts when it stays away.
//!
//! Invariants: each heartbeat is one request on its own connection; redirects are not followed, no
//! proxy is used, blocked addresses are not connected to, and no error contains the URL, which is a
//! credential.

use std::fmt;
use std::time::Duration;

use url::Url;

use crate::domain::delivery::egress_policy::EgressPolicy;
use crate::network::error_chain::cause;
use crate::notify::build_error::BuildError;
use crate::notify::secret_patterns;
use crate::notify::ssrf_guard::{self, Blocked};
use crate::notify::transport_error::{self, UnresolvedHost};
use crate::notify::webhook::client::{CertificateTrust, HttpClientSpec, LazyClient};
use crate::secret::Secret;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeartbeatStatus {
    Healthy,
    /// The daemon runs and cannot do its work.
    Unhealthy,
}

pub struct Heartbeat {
    client: LazyClient,
    host: String,
    healthy_url: Url,
    unhealthy_url: Url,
}

/// A failed heartbeat; does not contain the URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct HeartbeatError(String);

impl Heartbeat {
    /// Prepares requests; nothing is sent.
    ///
    /// # Errors
    /// When the URL is not valid.
    pub fn new(url: &Secret) -> Result<Self, BuildError> {
        let healthy_url = Url::parse(url.expose()).map_err(BuildError::Url)?;
        let host =
            healthy_url.host_str().filter(|host| !host.is_empty()).ok_or(BuildError::Scheme)?;
        let trust = match healthy_url.scheme() {
            "http" => CertificateTrust::None,
            "https" => CertificateTrust::System { more: None },
            _ => return Err(BuildError::Scheme),
        };
        let client = LazyClient::new(HttpClientSpec {
            timeout: TIMEOUT,
            connect_limit: CONNECT_LIMIT,
            egress: EgressPolicy::AllowPrivate,
            proxy: None,
            trust,
        })?;
        let unhealthy_url = fail_url(&healthy_url);
        Ok(Self { client, host: host.to_owned(), healthy_url, unhealthy_url })
    }

    /// Sends one heartbeat.
    ///
    /// # Errors
    /// When no 2xx response came.
    pub async fn send(&self, status: HeartbeatStatus) -> Result<(), HeartbeatError> {
        let url = match status {
            HeartbeatStatus::Healthy => &self.healthy_url,
            HeartbeatStatus::Unhealthy => &self.unhealthy_url,
        };
        let blocked = |refused: Blocked| HeartbeatError(refused.outcome(&self.host).summary());
        ssrf_guard::check_url(url, EgressPolicy::AllowPrivate).map_err(blocked)?;
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

    /// What this machine lacks for sending, if anything.
    pub fn obstacle(&self) -> Option<String> {
        self.client.get().err()
    }

    fn request_failed(&self, error: &reqwest::Error) -> HeartbeatError {
        let host = &self.host;
        if let Some(refused) = cause::<Blocked>(error) {
            return HeartbeatError(refused.outcome(host).summary());
        }
        if let Some(unresolved) = cause::<UnresolvedHost>(error) {
            return HeartbeatError(unresolved.outcome(host).summary());
        }
        if let Some(tls) = cause::<rustls::Error>(error) {
            let hidden = secret_patterns::of_url(&self.healthy_url);
            return HeartbeatError(format!(
                "TLS with `{host}` failed: {}",
                transport_error::tls_text(tls, &hidden)
            ));
        }
        let what = match (error.is_connect(), error.is_timeout()) {
            (true, _) => "cannot be connected to",
            (false, true) => "did not answer in time",
            (false, false) => "sent no response",
        };
        HeartbeatError(format!("`{host}` {what}"))
    }
}

impl fmt::Debug for Heartbeat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heartbeat").field("host", &self.host).finish_non_exhaustive()
    }
}

/// The URL that reports a failure, by the convention of these services: the path with `/fail`.
fn fail_url(url: &Url) -> Url {
    let mut fail_url = url.clone();
    fail_url.set_path(&format!("{}/fail", url.path().trim_end_matches('/')));
    fail_url
}

const TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fail_url_extends_the_path_and_keeps_the_query() {
        let check = |url: &str, expected: &str| {
            assert_eq!(fail_url(&Url::parse(url).unwrap()).as_str(), expected);
        };
        check("https://h.example/ping/1", "https://h.example/ping/1/fail");
        check("https://h.example/ping/1/", "https://h.example/ping/1/fail");
        check("https://h.example", "https://h.example/fail");
        check("https://h.example/a?rid=1&b", "https://h.example/a/fail?rid=1&b");
    }

    #[test]
    fn an_invalid_url_is_not_shown() {
        for url in ["CANARY", "ftp://h.example/CANARY"] {
            let error = Heartbeat::new(&Secret::new(url)).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("CANARY"), "for `{url}`");
        }
    }
}
