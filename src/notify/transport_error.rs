//! A fault on the way to the other side, and whose it is: ours (no network, no name server, no
//! file handles), which spends no try, or theirs.
//!
//! Knows sockets and names only; what an answer means is decided beside its protocol.

use std::error::Error;
use std::io;
use std::iter;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;

use crate::domain::delivery::{Outcome, OutcomeClass};
use crate::mask::Mask;
use crate::network;
use crate::network::resolve::{LookUpError, look_up};
use crate::network::route::routable;
use crate::text::sanitize::sanitize_line;
use crate::tls_failure;

/// A try that came no further than `phase`.
pub(super) fn failed_outcome(class: OutcomeClass, phase: &'static str, error: String) -> Outcome {
    Outcome { error: Some(error), ..Outcome::new(class, phase) }
}

/// What the failure to connect to `host` means.
pub(super) fn not_connected(host: &str, error: &io::Error) -> Outcome {
    let (class, said) = match error.kind() {
        io::ErrorKind::ConnectionRefused => (OutcomeClass::Retryable, "refused the connection"),
        io::ErrorKind::ConnectionReset => (OutcomeClass::Retryable, "broke the connection"),
        io::ErrorKind::HostUnreachable => (OutcomeClass::Retryable, "cannot be reached"),
        io::ErrorKind::TimedOut => (OutcomeClass::Retryable, "did not take the connection in time"),
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::NetworkDown => {
            (OutcomeClass::Local, "cannot be reached: our network is down")
        }
        io::ErrorKind::AddrNotAvailable | io::ErrorKind::OutOfMemory => {
            (OutcomeClass::Local, "was not called: this machine has no ports or memory left")
        }
        _ if matches!(error.raw_os_error(), Some(EMFILE | ENFILE)) => {
            (OutcomeClass::Local, "was not called: this machine has no file handles left")
        }
        _ => (OutcomeClass::Retryable, "could not be connected to"),
    };
    failed_outcome(class, CONNECT, format!("`{host}` {said}"))
}

/// A connection to the first of the addresses that takes one, within `limit` in all.
///
/// # Errors
/// What the refusal means that says most about the other side.
pub(super) async fn connect(
    host: &str,
    addresses: &[SocketAddr],
    limit: Duration,
) -> Result<TcpStream, Outcome> {
    let connected = network::connect::connect(addresses, limit).await;
    connected.map_err(|error| not_connected(host, &error))
}

/// What went wrong with TLS, for people; what of it is `hidden` is not shown: the names in a
/// certificate are the other side's.
pub(super) fn tls_text(error: &rustls::Error, hidden: &[String]) -> String {
    Mask::new(hidden).whole(&tls_failure::explain(error).said).into_owned()
}

/// TLS with `host` failed before anything was sent.
pub(super) fn no_tls(host: &str, error: &rustls::Error, hidden: &[String]) -> Outcome {
    let help = tls_failure::explain(error).help;
    let text = format!("no TLS with `{host}`: {}", tls_text(error, hidden));
    Outcome { help: Some(help), ..failed_outcome(OutcomeClass::Retryable, TLS, text) }
}

/// Why there is no HTTP client: what this machine lacks, and how to mend it.
pub(super) fn not_built(error: &(dyn Error + 'static)) -> String {
    let handles = cause::<io::Error>(error).and_then(io::Error::raw_os_error);
    if matches!(handles, Some(EMFILE | ENFILE)) {
        return "this machine has no file handles left".to_owned();
    }
    let deepest = iter::successors(Some(error), |&error| error.source()).last().unwrap_or(error);
    format!(
        "TLS cannot be set up on this machine ({}): install its CA certificates (the package \
         `ca-certificates`), or name a file of them with `SSL_CERT_FILE`",
        sanitize_line(&deepest.to_string(), TEXT_CHARS_MAX)
    )
}

/// The addresses of `host` that can be tried from this machine.
///
/// # Errors
/// When nobody knows the name, or nobody could be asked within `limit`.
pub(super) async fn resolve(
    host: &str,
    port: u16,
    limit: Duration,
) -> Result<Vec<SocketAddr>, ResolveError> {
    let found = look_up(host, limit).await.map_err(ResolveError)?;
    Ok(routable(found.into_iter().map(|address| SocketAddr::new(address, port)).collect()))
}

/// Why a name has no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct ResolveError(LookUpError);

impl ResolveError {
    /// What it means for a try.
    pub(super) fn outcome(self, host: &str) -> Outcome {
        let (class, text) = match self.0 {
            LookUpError::Unknown => {
                (OutcomeClass::Retryable, format!("`{host}` has no address: is it spelled right?"))
            }
            LookUpError::Unanswered | LookUpError::Slow(_) => {
                (OutcomeClass::Local, format!("`{host}` could not be looked up: {self}"))
            }
        };
        failed_outcome(class, RESOLVE, text)
    }
}

/// Whether something came in place of an answer that is none of HTTP/1: a status line, a header or
/// a length that cannot be read, or more of them than anybody needs.
pub(super) fn is_garbled(error: &(dyn Error + 'static)) -> bool {
    cause::<hyper::Error>(error).is_some_and(hyper::Error::is_parse)
}

/// The first cause of that type, also where an [`io::Error`] is wrapped around it.
pub(super) fn cause<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        // The source of an `io::Error` is that of the error inside, not the error inside.
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = inner.map(|inner| inner as &(dyn Error + 'static)).or_else(|| error.source());
    }
    None
}

pub(super) const RESOLVE: &str = "resolve";
pub(super) const CONNECT: &str = "connect";
pub(super) const TLS: &str = "tls";
const TEXT_CHARS_MAX: usize = 160;

const EMFILE: i32 = 24;
const ENFILE: i32 = 23;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_ours_or_theirs() {
        let check = |error: io::Error, expected| {
            let outcome = not_connected("hooks.example.com", &error);
            assert_eq!((outcome.class, outcome.phase), (expected, CONNECT), "for {error:?}");
            assert!(outcome.error.unwrap().starts_with("`hooks.example.com` "));
        };
        check(io::ErrorKind::ConnectionRefused.into(), OutcomeClass::Retryable);
        check(io::ErrorKind::TimedOut.into(), OutcomeClass::Retryable);
        check(io::ErrorKind::NetworkUnreachable.into(), OutcomeClass::Local);
        check(io::Error::from_raw_os_error(EMFILE), OutcomeClass::Local);
        check(io::Error::other("odd"), OutcomeClass::Retryable);
    }

    #[test]
    fn a_look_up_that_failed_for_now_is_our_fault() {
        let check = |error, class, said: &str| {
            let outcome = ResolveError(error).outcome("h");
            assert_eq!((outcome.class, outcome.phase), (class, RESOLVE));
            assert_eq!(outcome.error.as_deref(), Some(said));
        };
        let slow = LookUpError::Slow(Duration::from_secs(7));
        let said = "`h` could not be looked up: the name servers did not answer within 7s";
        check(slow, OutcomeClass::Local, said);
        let said = "`h` could not be looked up: no name server answered";
        check(LookUpError::Unanswered, OutcomeClass::Local, said);
        let said = "`h` has no address: is it spelled right?";
        check(LookUpError::Unknown, OutcomeClass::Retryable, said);
    }

    #[test]
    fn a_cause_is_found_inside_an_io_error() {
        let unknown = ResolveError(LookUpError::Unknown);
        let wrapped = io::Error::other(io::Error::other(unknown));
        assert_eq!(cause::<ResolveError>(&wrapped), Some(&unknown));
        assert_eq!(cause::<std::fmt::Error>(&wrapped), None);
    }
}
