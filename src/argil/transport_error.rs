//! Describes transport errors: finds the cause in a chain of errors of the system and of TLS.
//! Independent of the HTTP library. Never shows a URL.

use std::error::Error;
use std::io;

use crate::argil::excerpt::sanitize_excerpt;
use crate::domain::polling::observation::PollError;
use crate::mask::Mask;
use crate::network::error_chain::{cause, causes, is_out_of_handles};
use crate::tls_failure;

/// The stage of a request when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The name of the host was being resolved.
    Resolve,
    /// The connection was being established, including TLS.
    Connect,
    /// The request was sent, or being sent, without a response.
    Response,
    /// The head of the response was received, the body not completely.
    Body,
}

/// Classifies a failure by what may fix it.
pub(super) fn classify(error: &(dyn Error + 'static)) -> PollError {
    if causes(error).any(|cause| is_local(cause).is_some()) {
        PollError::Local
    } else if causes(error).any(is_about_trust) {
        PollError::Misrouted
    } else {
        PollError::Unreachable
    }
}

/// Whether TLS failed because of the peer, and not because the connection was closed.
fn is_about_trust(cause: &(dyn Error + 'static)) -> bool {
    cause.downcast_ref::<rustls::Error>().is_some_and(|error| {
        matches!(
            error,
            rustls::Error::InvalidCertificate(_)
                | rustls::Error::NoCertificatesPresented
                | rustls::Error::UnsupportedNameType
                | rustls::Error::PeerIncompatible(_)
        )
    })
}

pub(super) fn describe(
    error: &(dyn Error + 'static),
    stage: Stage,
    host: &str,
    mask: &Mask,
) -> String {
    if let Some(what) = causes(error).find_map(is_local) {
        return format!("{what} on our side");
    }
    if let Some(tls) = cause::<rustls::Error>(error) {
        return format!("TLS failed: {}", sanitize_excerpt(&tls_failure::explain(tls).said, mask));
    }
    match stage {
        Stage::Resolve => format!("cannot resolve `{host}`: {}", source_text(error, mask)),
        Stage::Connect => format!("no connection to `{host}`: {}", source_text(error, mask)),
        Stage::Response if has_text(error, CLOSED) => {
            format!("`{host}` closed the connection without an answer")
        }
        Stage::Response if closed_before_answer(error) => {
            format!("the connection to `{host}` broke: {}", source_text(error, mask))
        }
        Stage::Response => format!("no usable answer from `{host}`: {}", source_text(error, mask)),
        Stage::Body => format!("the answer broke off: {}", source_text(error, mask)),
    }
}

/// Describes why there is no HTTP client: the missing local resource, and how to fix it.
pub(super) fn not_built(error: &(dyn Error + 'static), mask: &Mask) -> String {
    if let Some(what) = causes(error).find_map(is_local) {
        return format!("{what} on our side");
    }
    format!(
        "TLS cannot be set up on this machine ({}): install its CA certificates (the package \
         `ca-certificates`), or name a file of them with `SSL_CERT_FILE`",
        source_text(error, mask)
    )
}

/// Whether the connection was closed or reset before the head of a response was complete, as when
/// the server closes a kept connection at the same time.
pub(super) fn closed_before_answer(error: &(dyn Error + 'static)) -> bool {
    let broken = causes(error).filter_map(|cause| cause.downcast_ref::<io::Error>()).any(|io| {
        matches!(
            io.kind(),
            io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::NotConnected
                | io::ErrorKind::UnexpectedEof
        )
    });
    broken || has_text(error, CLOSED) || has_text(error, CANCELED)
}

/// Whether a cause has exactly that text. The types of the HTTP library are private, so the text is
/// compared; a test with a real connection verifies it.
fn has_text(error: &(dyn Error + 'static), text: &str) -> bool {
    causes(error).any(|cause| cause.to_string() == text)
}

/// A missing local resource, which is not a failure of the API.
fn is_local(cause: &(dyn Error + 'static)) -> Option<&'static str> {
    let io = cause.downcast_ref::<io::Error>()?;
    match io.kind() {
        _ if is_out_of_handles(io) => Some("too many open files"),
        io::ErrorKind::OutOfMemory => Some("out of memory"),
        io::ErrorKind::AddrNotAvailable => Some("no free local address or port"),
        _ => None,
    }
}

/// The text of the deepest cause; a system error by its plain name.
fn source_text(error: &(dyn Error + 'static), mask: &Mask) -> String {
    let Some(last) = causes(error).last() else { return "unknown".to_owned() };
    match last.downcast_ref::<io::Error>() {
        Some(io) if io.raw_os_error().is_some() && is_named(io.kind()) => io.kind().to_string(),
        Some(_) | None => sanitize_excerpt(&last.to_string(), mask),
    }
}

/// Whether the kind is specific.
fn is_named(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::PermissionDenied
    )
}

/// The texts of hyper for a connection that ended before the response, and one that never accepted
/// the request.
const CLOSED: &str = "connection closed before message completed";
const CANCELED: &str = "operation was canceled";

#[cfg(test)]
mod tests {
    use rustls::CertificateError;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("error sending request for url (http://secret.example/)")]
    struct Outer(#[source] io::Error);

    #[test]
    fn the_cause_is_found_however_deep_it_sits() {
        let check = |io: io::Error, stage, expected: &str| {
            let error = Outer(io::Error::other(io));
            assert_eq!(describe(&error, stage, "api.test", &Mask::new(["k3y"])), expected);
        };
        let os = io::Error::from_raw_os_error;
        let tls = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        let bad = rustls::Error::InvalidCertificate;
        check(os(24), Stage::Connect, "too many open files on our side");
        check(os(23), Stage::Resolve, "too many open files on our side");
        check(
            io::Error::from(io::ErrorKind::AddrNotAvailable),
            Stage::Connect,
            "no free local address or port on our side",
        );
        check(
            io::Error::other("no such k3y"),
            Stage::Resolve,
            "cannot resolve `api.test`: no such ***",
        );
        check(
            tls(bad(CertificateError::Expired)),
            Stage::Connect,
            "TLS failed: its certificate has expired, or our clock is wrong",
        );
        check(
            tls(bad(CertificateError::NotValidForName)),
            Stage::Connect,
            "TLS failed: its certificate is for another host",
        );
    }

    #[test]
    fn only_a_closed_connection_counts_as_closed() {
        let check = |io: io::Error, expected| {
            let text = io.to_string();
            assert_eq!(closed_before_answer(&Outer(io)), expected, "for `{text}`");
        };
        check(io::Error::from(io::ErrorKind::ConnectionReset), true);
        check(io::Error::from(io::ErrorKind::BrokenPipe), true);
        check(io::Error::other(CLOSED), true);
        check(io::Error::other(CANCELED), true);
        check(io::Error::from(io::ErrorKind::ConnectionRefused), false);
        check(io::Error::other("invalid HTTP version parsed"), false);
    }
}
