//! Failures of connecting: DNS, TCP and TLS. A local failure (no network, no name server, no file
//! handles) is `Local` and costs no attempt; any other is a failure of the receiver.
//!
//! Responses are classified where their protocol is.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;

use crate::domain::delivery::{Outcome, OutcomeClass};
use crate::mask::Mask;
use crate::network;
use crate::network::error_chain::{cause, causes, is_out_of_handles};
use crate::network::resolve::{self, ResolveError};
use crate::network::routable::routable;
use crate::text::sanitize::sanitize_line;
use crate::tls_failure;

/// An attempt that failed in `phase`.
pub(super) fn failed_outcome(class: OutcomeClass, phase: &'static str, error: String) -> Outcome {
    Outcome { error: Some(error), ..Outcome::new(class, phase) }
}

/// Classifies a failure to connect to `host`.
pub(super) fn not_connected(host: &str, error: &io::Error) -> Outcome {
    let (class, text) = match error.kind() {
        io::ErrorKind::ConnectionRefused => (OutcomeClass::Retryable, "refused the connection"),
        io::ErrorKind::ConnectionReset => (OutcomeClass::Retryable, "reset the connection"),
        io::ErrorKind::HostUnreachable => (OutcomeClass::Retryable, "cannot be reached"),
        io::ErrorKind::TimedOut => {
            (OutcomeClass::Retryable, "did not accept the connection in time")
        }
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::NetworkDown => {
            (OutcomeClass::Local, "cannot be reached: the network of this machine is down")
        }
        io::ErrorKind::AddrNotAvailable | io::ErrorKind::OutOfMemory => {
            (OutcomeClass::Local, "was not connected to: this machine has no free ports or memory")
        }
        _ if is_out_of_handles(error) => {
            (OutcomeClass::Local, "was not connected to: this machine has no free file handles")
        }
        _ => (OutcomeClass::Retryable, "could not be connected to"),
    };
    failed_outcome(class, CONNECT, format!("`{host}` {text}"))
}

/// Connects to the first address that accepts, within `limit` in total.
///
/// # Errors
/// The classified failure of the most significant address.
pub(super) async fn connect(
    host: &str,
    addresses: &[SocketAddr],
    limit: Duration,
) -> Result<TcpStream, Outcome> {
    let connected = network::connect::connect(addresses, limit).await;
    connected.map_err(|error| not_connected(host, &error))
}

/// A TLS error as text for people, with `hidden` texts masked: the names in a certificate come from
/// outside.
pub(super) fn tls_text(error: &rustls::Error, hidden: &[String]) -> String {
    Mask::new(hidden).whole(&tls_failure::explain(error).said).into_owned()
}

/// The outcome of a failed TLS handshake with `host`; nothing was sent.
pub(super) fn no_tls(host: &str, error: &rustls::Error, hidden: &[String]) -> Outcome {
    let help = tls_failure::explain(error).help;
    let text = format!("TLS with `{host}` failed: {}", tls_text(error, hidden));
    Outcome { help: Some(help), ..failed_outcome(OutcomeClass::Retryable, TLS, text) }
}

/// Why the HTTP client cannot be built: what this machine lacks, and how to fix it.
pub(super) fn not_built(error: &(dyn Error + 'static)) -> String {
    if cause::<io::Error>(error).is_some_and(is_out_of_handles) {
        return "this machine has no free file handles".to_owned();
    }
    let deepest = causes(error).last().unwrap_or(error);
    format!(
        "TLS cannot be set up on this machine ({}): install its CA certificates (the package \
         `ca-certificates`), or name a file of them with `SSL_CERT_FILE`",
        sanitize_line(&deepest.to_string(), TEXT_CHARS_MAX)
    )
}

/// Resolves `host` to the addresses that this machine has a route to.
///
/// # Errors
/// When the name does not exist, or no name server answered within `limit`.
pub(super) async fn resolve(
    host: &str,
    port: u16,
    limit: Duration,
) -> Result<Vec<SocketAddr>, UnresolvedHost> {
    let found = resolve::resolve(host, limit).await.map_err(UnresolvedHost)?;
    Ok(routable(found.into_iter().map(|address| SocketAddr::new(address, port)).collect()))
}

/// Why a name was not resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct UnresolvedHost(ResolveError);

impl UnresolvedHost {
    pub(super) fn outcome(self, host: &str) -> Outcome {
        let (class, text) = match self.0 {
            ResolveError::Unknown => {
                (OutcomeClass::Retryable, format!("`{host}` has no address: is it spelled right?"))
            }
            ResolveError::Unanswered | ResolveError::TimedOut(_) => {
                (OutcomeClass::Local, format!("`{host}` could not be resolved: {self}"))
            }
        };
        failed_outcome(class, RESOLVE, text)
    }
}

/// Whether the response is not valid HTTP/1: a status line, a header or a length that cannot be
/// parsed, or too many headers.
pub(super) fn is_garbled(error: &(dyn Error + 'static)) -> bool {
    cause::<hyper::Error>(error).is_some_and(hyper::Error::is_parse)
}

pub(super) const RESOLVE: &str = "resolve";
pub(super) const CONNECT: &str = "connect";
pub(super) const TLS: &str = "tls";
const TEXT_CHARS_MAX: usize = 160;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_local_or_of_the_receiver() {
        let check = |error: io::Error, expected| {
            let outcome = not_connected("hooks.example.com", &error);
            assert_eq!((outcome.class, outcome.phase), (expected, CONNECT), "for {error:?}");
            assert!(outcome.error.unwrap().starts_with("`hooks.example.com` "));
        };
        check(io::ErrorKind::ConnectionRefused.into(), OutcomeClass::Retryable);
        check(io::ErrorKind::TimedOut.into(), OutcomeClass::Retryable);
        check(io::ErrorKind::NetworkUnreachable.into(), OutcomeClass::Local);
        check(io::Error::from_raw_os_error(24), OutcomeClass::Local);
        check(io::Error::other("odd"), OutcomeClass::Retryable);
    }

    #[test]
    fn a_dns_failure_is_local_unless_the_name_is_unknown() {
        let check = |error, class, text: &str| {
            let outcome = UnresolvedHost(error).outcome("h");
            assert_eq!((outcome.class, outcome.phase), (class, RESOLVE));
            assert_eq!(outcome.error.as_deref(), Some(text));
        };
        let slow = ResolveError::TimedOut(Duration::from_secs(7));
        let text = "`h` could not be resolved: the name servers did not answer within 7s";
        check(slow, OutcomeClass::Local, text);
        let text = "`h` could not be resolved: no name server answered";
        check(ResolveError::Unanswered, OutcomeClass::Local, text);
        let text = "`h` has no address: is it spelled right?";
        check(ResolveError::Unknown, OutcomeClass::Retryable, text);
    }
}
