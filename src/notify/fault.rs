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
use tokio::time::timeout;

use crate::domain::delivery::{Outcome, OutcomeClass};
use crate::domain::foreign_text::one_line;
use crate::tls_failure::{self, TlsFailure};

/// A try that came no further than `phase`.
pub(super) fn stopped(class: OutcomeClass, phase: &'static str, error: String) -> Outcome {
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
    stopped(class, CONNECT, format!("`{host}` {said}"))
}

/// A connection to the first of the addresses that takes one, each within `limit`.
///
/// # Errors
/// What the last refusal means.
pub(super) async fn connect(
    host: &str,
    addresses: &[SocketAddr],
    limit: Duration,
) -> Result<TcpStream, Outcome> {
    let mut refusal = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        refusal = match timeout(limit, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => error,
            Err(_) => io::ErrorKind::TimedOut.into(),
        };
    }
    Err(not_connected(host, &refusal))
}

/// What went wrong with TLS, for people.
pub(super) fn tls_text(error: &rustls::Error) -> String {
    tls_failure::explain(error).said
}

/// TLS with `host` failed before anything was sent.
pub(super) fn no_tls(host: &str, error: &rustls::Error) -> Outcome {
    let TlsFailure { said, help } = tls_failure::explain(error);
    let text = format!("no TLS with `{host}`: {said}");
    Outcome { help: Some(help), ..stopped(OutcomeClass::Retryable, TLS, text) }
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
        one_line(&deepest.to_string(), TEXT_CHARS_MAX)
    )
}

/// The addresses of `host`.
///
/// # Errors
/// When nobody knows the name, or nobody could be asked within `limit`.
pub(super) async fn resolve(
    host: &str,
    port: u16,
    limit: Duration,
) -> Result<Vec<SocketAddr>, ResolveError> {
    match timeout(limit, tokio::net::lookup_host((host, port))).await {
        Err(_) => Err(ResolveError::Unanswered),
        Ok(Err(error)) if is_passing(&error) => Err(ResolveError::Unanswered),
        Ok(Err(_)) => Err(ResolveError::Unknown),
        Ok(Ok(addresses)) => {
            let addresses: Vec<SocketAddr> = addresses.collect();
            if addresses.is_empty() { Err(ResolveError::Unknown) } else { Ok(addresses) }
        }
    }
}

/// Why a name has no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ResolveError {
    /// The name servers say that there is none.
    #[error("no such name")]
    Unknown,
    /// No name server answered.
    #[error("no name server answered")]
    Unanswered,
}

impl ResolveError {
    /// What it means for a try.
    pub(super) fn outcome(self, host: &str) -> Outcome {
        match self {
            Self::Unknown => stopped(
                OutcomeClass::Retryable,
                RESOLVE,
                format!("`{host}` has no address: is it spelled right?"),
            ),
            Self::Unanswered => stopped(
                OutcomeClass::Local,
                RESOLVE,
                format!("`{host}` could not be looked up: no name server answered"),
            ),
        }
    }
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

/// Whether a look-up failed only for now. The code of `getaddrinfo` is lost in the standard
/// library, so its words are all there is: those of glibc and the BSDs, and those of musl.
fn is_passing(error: &io::Error) -> bool {
    let said = error.to_string();
    error.raw_os_error().is_some() || PASSING.iter().any(|words| said.contains(words))
}

pub(super) const RESOLVE: &str = "resolve";
pub(super) const CONNECT: &str = "connect";
pub(super) const TLS: &str = "tls";
const TEXT_CHARS_MAX: usize = 160;

const PASSING: [&str; 4] = ["emporary failure", "Try again", "System error", "Out of memory"];
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
        let check = |said: &str, expected| {
            let error = io::Error::other(format!("failed to lookup address information: {said}"));
            assert_eq!(is_passing(&error), expected, "for `{said}`");
        };
        check("Temporary failure in name resolution", true);
        check("Try again", true);
        check("Name or service not known", false);
        check("No address associated with hostname", false);
        assert_eq!(ResolveError::Unanswered.outcome("h").class, OutcomeClass::Local);
        assert_eq!(ResolveError::Unknown.outcome("h").class, OutcomeClass::Retryable);
    }

    #[test]
    fn a_cause_is_found_inside_an_io_error() {
        let wrapped = io::Error::other(io::Error::other(ResolveError::Unknown));
        assert_eq!(cause::<ResolveError>(&wrapped), Some(&ResolveError::Unknown));
        assert_eq!(cause::<std::fmt::Error>(&wrapped), None);
    }
}
