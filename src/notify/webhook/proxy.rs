//! The HTTP proxy of a webhook, and the classification of its failures.
//!
//! A failure of the proxy is local: it costs no attempt. The URL is a secret, since it may contain
//! a user name and a password; only its host is ever shown.

use std::error::Error;
use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use url::Url;

use crate::domain::delivery::{AT_PROXY, Outcome, OutcomeClass};
use crate::mask::Mask;
use crate::network::error_chain::{cause, causes};
use crate::notify::build_error::BuildError;
use crate::notify::excerpt;
use crate::notify::secret_patterns::SECRET_CHARS_MIN;
use crate::notify::transport_error::{self, CONNECT, failed_outcome};
use crate::notify::webhook::response::HttpResponse;
use crate::notify::webhook::tunnel;
use crate::secret::Secret;

/// An HTTP proxy (RFC 9110, section 3.7): it forwards requests, or opens a tunnel for TLS.
pub(in crate::notify) struct Proxy {
    /// With the credentials.
    pub(in crate::notify) url: Url,
    /// For messages.
    pub(in crate::notify) host: String,
}

impl Proxy {
    /// # Errors
    /// When the URL is not an `http` URL with a host.
    pub(in crate::notify) fn parse(url: &Secret) -> Result<Self, BuildError> {
        let url = Url::parse(url.expose()).map_err(|_| BuildError::Proxy)?;
        let host = url.host_str().filter(|_| url.scheme() == "http").ok_or(BuildError::Proxy)?;
        Ok(Self { host: host.to_owned(), url })
    }

    /// The host without brackets, and the port.
    pub(in crate::notify) fn address(&self) -> (&str, u16) {
        // A URL of `http` always has a port.
        let port = self.url.port_or_known_default().unwrap_or_default();
        (self.host.trim_matches(['[', ']']), port)
    }

    /// The texts to mask in excerpts: the credentials, plain and as they are sent (RFC 7617).
    pub(in crate::notify) fn hidden(&self) -> Vec<String> {
        let [user, password] = self.credentials();
        let login = format!("{user}:{password}");
        // A short name is a word; masking it would mask other words.
        let user = Some(user).filter(|user| user.chars().count() >= SECRET_CHARS_MIN);
        [STANDARD.encode(&login), login, password].into_iter().chain(user).collect()
    }

    /// Classifies a failure to reach the proxy as local.
    pub(in crate::notify) fn unreachable(&self, outcome: Outcome) -> Outcome {
        let error = outcome.error.map(|text| format!("the proxy {text}"));
        Outcome { class: OutcomeClass::Local, error, ..outcome }
    }

    /// The credentials as they are sent (RFC 7617), if there are any.
    pub(in crate::notify) fn login(&self) -> Option<String> {
        let login = self.credentials().join(":");
        (login != ":").then(|| STANDARD.encode(login))
    }

    /// The user name and the password; empty without.
    fn credentials(&self) -> [String; 2] {
        [self.url.username(), self.url.password().unwrap_or_default()]
            .map(|text| percent_decode_str(text).decode_utf8_lossy().into_owned())
    }

    /// The outcome of a 407; `schemes` are those that the proxy offers, in lower case.
    fn login_refused(&self, schemes: &[String], hidden: &[String]) -> Outcome {
        let proxy = &self.host;
        let (text, help) = if schemes.is_empty() || schemes.iter().any(|it| it == BASIC) {
            let help = "are the user's name and the password in `proxy` right?";
            (format!("the proxy `{proxy}` refuses our login, or requires one"), help)
        } else {
            let schemes = schemes.join(" or ");
            let schemes = Mask::new(hidden).whole(&schemes).into_owned();
            let text = format!("the proxy `{proxy}` requires a login by {schemes}, not by basic");
            (text, OTHER_SCHEME_HELP)
        };
        Outcome {
            code: Some(LOGIN_REQUIRED_CODE),
            help: Some(help),
            ..failed_outcome(OutcomeClass::Misconfigured, AT_PROXY, text)
        }
    }

    /// The outcome of a response that opened no tunnel to `host`: `Local` for a failure that may
    /// pass, `Misconfigured` for one that an operator has to fix.
    pub(in crate::notify) fn refused(
        &self,
        host: &str,
        response: &HttpResponse,
        hidden: &[String],
    ) -> Outcome {
        let proxy = &self.host;
        let snippet = excerpt::redacted_excerpt(&response.body_prefix, hidden);
        let (class, text, help) = match response.status {
            LOGIN_REQUIRED_CODE => {
                let schemes = tunnel::schemes(response.values("proxy-authenticate"));
                return Outcome { snippet, ..self.login_refused(&schemes, hidden) };
            }
            NOT_HTTP => (
                OutcomeClass::Misconfigured,
                format!("the proxy `{proxy}` is not an HTTP proxy"),
                "are the host and the port of `proxy` right?",
            ),
            status @ 200..=299 => (
                OutcomeClass::Local,
                format!(
                    "the proxy `{proxy}` answered {status} to CONNECT with a page of its own, and \
                     opened no tunnel to `{host}`"
                ),
                "does the proxy require a sign-in first, and does it open tunnels?",
            ),
            status @ (408 | 429 | 500..) => (
                OutcomeClass::Local,
                format!("the proxy `{proxy}` answered {status}, and did not connect to `{host}`"),
                "can the proxy reach that host? Read its log",
            ),
            status => (
                OutcomeClass::Misconfigured,
                format!("the proxy `{proxy}` answered {status}: it denies access to `{host}`"),
                "allow that host and its port in the proxy, or use another proxy",
            ),
        };
        Outcome {
            code: Some(response.status).filter(|status| *status != NOT_HTTP),
            snippet,
            help: Some(help),
            ..failed_outcome(class, AT_PROXY, text)
        }
    }

    /// Classifies a failure to connect to `host`. `None` when the tunnel was open, so that the
    /// failure is the receiver's.
    pub(in crate::notify) fn not_connected(
        &self,
        host: &str,
        tunnel: Tunnel,
        is_timeout: bool,
        error: &(dyn Error + 'static),
    ) -> Option<Outcome> {
        let proxy = &self.host;
        if is_timeout {
            let outcome = match tunnel {
                // Either of the two may have been slow, so the attempt counts.
                Tunnel::Requested => failed_outcome(
                    OutcomeClass::Retryable,
                    CONNECT,
                    format!("`{host}` was not connected to in time, through the proxy `{proxy}`"),
                ),
                Tunnel::None => self.unreachable(transport_error::not_connected(
                    proxy,
                    &io::ErrorKind::TimedOut.into(),
                )),
            };
            return Some(outcome);
        }
        if tunnel == Tunnel::Requested && !mentions(error, OF_TUNNEL) {
            return None;
        }
        if mentions(error, LOGIN_REQUIRED) {
            return Some(self.login_refused(&[], &[]));
        }
        if let Some(error) = cause::<io::Error>(error) {
            return Some(self.unreachable(transport_error::not_connected(proxy, error)));
        }
        let text = format!("the proxy `{proxy}` did not connect to `{host}`");
        Some(failed_outcome(OutcomeClass::Local, AT_PROXY, text))
    }
}

/// Whether the proxy opens a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::notify) enum Tunnel {
    Requested,
    /// It forwards the request.
    None,
}

/// Whether the text of an error, or of one of its causes, contains `words`. The error type of a
/// tunnel is not public; tests over a socket assert the words.
fn mentions(error: &(dyn Error + 'static), words: &str) -> bool {
    causes(error).any(|cause| cause.to_string().contains(words))
}

const LOGIN_REQUIRED_CODE: u16 = 407;
/// The status of a response that is not HTTP.
const NOT_HTTP: u16 = 0;
const BASIC: &str = "basic";
const OTHER_SCHEME_HELP: &str = "only basic is supported: allow it in the proxy, or set \
    `proxy` to a local proxy that logs in there, such as cntlm or px";
const OF_TUNNEL: &str = "tunnel error";
const LOGIN_REQUIRED: &str = "proxy authorization required";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_an_http_url_with_a_host() {
        let address = |text: &str| {
            let proxy = Proxy::parse(&Secret::new(text)).ok()?;
            let (host, port) = proxy.address();
            Some(format!("{host} {port}"))
        };
        assert_eq!(address("http://proxy.lan:3128").as_deref(), Some("proxy.lan 3128"));
        assert_eq!(address("http://u:p@[::1]/").as_deref(), Some("::1 80"));
        for text in ["https://proxy.lan", "socks5://proxy.lan", "proxy.lan:3128", "", "http://"] {
            assert_eq!(address(text), None, "for `{text}`");
        }
    }

    #[test]
    fn the_credentials_are_masked_in_every_form() {
        let proxy = Proxy::parse(&Secret::new("http://user%40x:pass%3Aword@proxy.lan")).unwrap();
        let expected = ["dXNlckB4OnBhc3M6d29yZA==", "user@x:pass:word", "pass:word", "user@x"];
        assert_eq!(proxy.hidden(), expected);
    }
}
