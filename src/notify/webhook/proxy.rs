//! The proxy that a webhook goes through, and what its failures mean.
//!
//! It is ours: while it is down or refuses us, no receiver is charged for that. Its URL is a
//! secret, since a user name and a password may stand in it; only its host is ever shown.

use std::error::Error;
use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use url::Url;

use crate::domain::delivery::{Outcome, OutcomeClass};
use crate::mask::Mask;
use crate::notify::error::NotifyError;
use crate::notify::excerpt;
use crate::notify::secret_patterns::SECRET_CHARS_MIN;
use crate::notify::transport_error::{self, CONNECT};
use crate::notify::webhook::tunnel::TunnelRefusal;
use crate::secret::Secret;

/// An HTTP proxy (RFC 9110, section 3.7): it passes requests on, or opens a tunnel for TLS.
pub(in crate::notify) struct Proxy {
    /// Where it is, with its login.
    pub(in crate::notify) url: Url,
    /// Its host, as it may be shown.
    pub(in crate::notify) host: String,
}

impl Proxy {
    /// Takes the URL of one.
    ///
    /// # Errors
    /// When it is no `http` URL with a host.
    pub(in crate::notify) fn parse(url: &Secret) -> Result<Self, NotifyError> {
        let url = Url::parse(url.expose()).map_err(|_| NotifyError::Proxy)?;
        let host = url.host_str().filter(|_| url.scheme() == "http").ok_or(NotifyError::Proxy)?;
        Ok(Self { host: host.to_owned(), url })
    }

    /// Its name or address without brackets, and its port.
    pub(in crate::notify) fn address(&self) -> (&str, u16) {
        // A URL of `http` always has a port.
        let port = self.url.port_or_known_default().unwrap_or_default();
        (self.host.trim_matches(['[', ']']), port)
    }

    /// What of it must not come back in a snippet: its login, and how that looks on the way
    /// (RFC 7617).
    pub(in crate::notify) fn hidden(&self) -> Vec<String> {
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let user = decoded(self.url.username());
        let password = decoded(self.url.password().unwrap_or_default());
        let login = format!("{user}:{password}");
        // A short name is a word, and masking it would only break others.
        let user = Some(user).filter(|user| user.chars().count() >= SECRET_CHARS_MIN);
        [STANDARD.encode(&login), login, password].into_iter().chain(user).collect()
    }

    /// Its outage, told as ours.
    pub(in crate::notify) fn fault(&self, outcome: Outcome) -> Outcome {
        let error = outcome.error.map(|text| format!("the proxy {text}"));
        Outcome { class: OutcomeClass::Local, error, ..outcome }
    }

    /// Its login, as it is sent (RFC 7617); `None` when it has none.
    pub(in crate::notify) fn login(&self) -> Option<String> {
        let password = self.url.password();
        let has_login = !self.url.username().is_empty() || password.is_some();
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let (user, password) = (self.url.username(), password.unwrap_or_default());
        has_login.then(|| STANDARD.encode(format!("{}:{}", decoded(user), decoded(password))))
    }

    /// It does not know us; `schemes` are those that it asks for, in lower case.
    fn login_refused(&self, schemes: &[String], hidden: &[String]) -> Outcome {
        let proxy = &self.host;
        let (text, help) = if schemes.is_empty() || schemes.iter().any(|it| it == BASIC) {
            let help = "are the user's name and the password in `proxy` right?";
            (format!("the proxy `{proxy}` refuses our login, or wants one"), help)
        } else {
            let schemes = schemes.join(" or ");
            let schemes = Mask::new(hidden).whole(&schemes).into_owned();
            let text = format!("the proxy `{proxy}` wants a login by {schemes}, not by basic");
            (text, OTHER_SCHEME_HELP)
        };
        Outcome {
            code: Some(LOGIN_WANTED_CODE),
            help: Some(help),
            ..transport_error::failed_outcome(OutcomeClass::Misconfigured, PROXY, text)
        }
    }

    /// It answered, and opened no way to `host`. What may pass by itself is an outage of ours;
    /// what only a human can mend is one of the settings.
    pub(in crate::notify) fn refused(
        &self,
        host: &str,
        refusal: &TunnelRefusal,
        hidden: &[String],
    ) -> Outcome {
        let proxy = &self.host;
        let shown = refusal.said.len().min(SAID_BYTES_MAX);
        let snippet = excerpt::redacted_excerpt(&refusal.said[..shown], hidden);
        let (class, text, help) = match refusal.status {
            Some(LOGIN_WANTED_CODE) => {
                return Outcome { snippet, ..self.login_refused(&refusal.schemes, hidden) };
            }
            None => (
                OutcomeClass::Misconfigured,
                format!("what answers at the proxy `{proxy}` is no HTTP proxy"),
                "are the host and the port of `proxy` right?",
            ),
            Some(status @ 200..=299) => (
                OutcomeClass::Local,
                format!(
                    "the proxy `{proxy}` answered {status} to CONNECT with a page of its own, and \
                     opened no tunnel to `{host}`"
                ),
                "does the proxy want a sign-in first, and is it one that opens tunnels?",
            ),
            Some(status @ (408 | 429 | 500..)) => (
                OutcomeClass::Local,
                format!("the proxy `{proxy}` answered {status}, and did not connect to `{host}`"),
                "can the proxy reach that host? Its log knows why not",
            ),
            Some(status) => (
                OutcomeClass::Misconfigured,
                format!("the proxy `{proxy}` answered {status}: it does not let us to `{host}`"),
                "let the proxy allow that host and its port, or take another one",
            ),
        };
        let help = Some(help);
        Outcome {
            code: refusal.status,
            snippet,
            help,
            ..transport_error::failed_outcome(class, PROXY, text)
        }
    }

    /// What it means that no connection to `host` came about. `None` when the tunnel was open,
    /// so that the failure is the receiver's.
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
                // Nobody can tell which of the two was slow, so it counts.
                Tunnel::Requested => transport_error::failed_outcome(
                    OutcomeClass::Retryable,
                    CONNECT,
                    format!("`{host}` was not connected to in time, through the proxy `{proxy}`"),
                ),
                Tunnel::None => self
                    .fault(transport_error::not_connected(proxy, &io::ErrorKind::TimedOut.into())),
            };
            return Some(outcome);
        }
        if tunnel == Tunnel::Requested && !says(error, OF_TUNNEL) {
            return None;
        }
        if says(error, LOGIN_WANTED) {
            return Some(self.login_refused(&[], &[]));
        }
        if let Some(error) = transport_error::cause::<io::Error>(error) {
            return Some(self.fault(transport_error::not_connected(proxy, error)));
        }
        let text = format!("the proxy `{proxy}` did not connect to `{host}`");
        Some(transport_error::failed_outcome(OutcomeClass::Local, PROXY, text))
    }
}

/// Whether the way through the proxy is a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::notify) enum Tunnel {
    /// It was asked to open one.
    Requested,
    /// It passes the request on.
    None,
}

/// Whether an error, or one of its causes, has these words. The type of a tunnel's errors is not
/// public, so its words are all there is; the tests over a socket hold them.
fn says(error: &(dyn Error + 'static), words: &str) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.to_string().contains(words) {
            return true;
        }
        next = error.source();
    }
    false
}

pub(in crate::notify) const PROXY: &str = "proxy";
const LOGIN_WANTED_CODE: u16 = 407;
const SAID_BYTES_MAX: usize = 4096;
const BASIC: &str = "basic";
const OTHER_SCHEME_HELP: &str = "only basic is known here: let the proxy take it, or take the \
    address of a proxy beside us that logs in there, such as cntlm or px";
const OF_TUNNEL: &str = "tunnel error";
const LOGIN_WANTED: &str = "proxy authorization required";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_an_http_url_with_a_host() {
        let place = |text: &str| {
            let proxy = Proxy::parse(&Secret::new(text)).ok()?;
            let (host, port) = proxy.address();
            Some(format!("{host} {port}"))
        };
        assert_eq!(place("http://proxy.lan:3128").as_deref(), Some("proxy.lan 3128"));
        assert_eq!(place("http://u:p@[::1]/").as_deref(), Some("::1 80"));
        for text in ["https://proxy.lan", "socks5://proxy.lan", "proxy.lan:3128", "", "http://"] {
            assert_eq!(place(text), None, "for `{text}`");
        }
    }

    #[test]
    fn the_login_is_hidden_in_every_form() {
        let proxy = Proxy::parse(&Secret::new("http://user%40x:pass%3Aword@proxy.lan")).unwrap();
        let expected = ["dXNlckB4OnBhc3M6d29yZA==", "user@x:pass:word", "pass:word", "user@x"];
        assert_eq!(proxy.hidden(), expected);
    }
}
