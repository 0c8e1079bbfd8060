//! Describes TLS failures, and how to fix them: for HTTPS and mail, for the API, channels and the
//! heartbeat.
//!
//! The kinds of failure are those of the TLS library; its own texts are shown only for kinds
//! without a text here. Text from a certificate is untrusted and sanitized.

use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};

use crate::domain::time::timestamp::Timestamp;
use crate::text::sanitize::sanitize_line;

/// A failure of TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFailure {
    /// The failure, as the end of a sentence.
    pub said: String,
    /// How to fix it.
    pub help: &'static str,
}

/// Describes the TLS failure of the peer.
pub fn explain(error: &Error) -> TlsFailure {
    match error {
        Error::InvalidCertificate(certificate) => of_certificate(certificate),
        Error::NoCertificatesPresented => failure("it presents no certificate", SERVER_SETTINGS),
        Error::InvalidMessage(_) | Error::InappropriateMessage { .. } => {
            failure("the other side does not speak TLS", NO_TLS)
        }
        Error::AlertReceived(alert) => of_alert(*alert),
        Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::Tls12NotOffered,
        ) => failure(OLD_VERSION, VERSION_HELP),
        Error::PeerIncompatible(_) => failure("there is no common cipher", CIPHER_HELP),
        other => failure(&sanitize_line(&other.to_string(), TEXT_CHARS_MAX), SERVER_SETTINGS),
    }
}

fn of_certificate(error: &CertificateError) -> TlsFailure {
    match error {
        CertificateError::Expired => {
            failure("its certificate has expired, or our clock is wrong", EXPIRED_HELP)
        }
        CertificateError::ExpiredContext { not_after, .. } => {
            let at = at_second(not_after.as_secs());
            failure(
                &format!("its certificate expired at {at}, or our clock is wrong"),
                EXPIRED_HELP,
            )
        }
        CertificateError::NotValidYet => {
            failure("its certificate is not valid yet, or our clock is wrong", CLOCK_HELP)
        }
        CertificateError::NotValidYetContext { not_before, .. } => {
            let at = at_second(not_before.as_secs());
            failure(
                &format!("its certificate is not valid before {at}, or our clock is wrong"),
                CLOCK_HELP,
            )
        }
        CertificateError::UnknownIssuer => failure(UNKNOWN_ISSUER, ISSUER_HELP),
        CertificateError::NotValidForName => {
            failure("its certificate is for another host", NAME_HELP)
        }
        CertificateError::NotValidForNameContext { presented, .. } if presented.is_empty() => {
            failure("its certificate contains no host name", NO_NAME_HELP)
        }
        CertificateError::NotValidForNameContext { presented, .. } => {
            let names: Vec<String> =
                presented.iter().take(NAMES_SHOWN).map(|it| bare(it)).collect();
            let names = sanitize_line(&names.join("`, `"), TEXT_CHARS_MAX);
            failure(&format!("its certificate is for another host: for `{names}`"), NAME_HELP)
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            failure(WRONG_PURPOSE, PURPOSE_HELP)
        }
        CertificateError::Revoked => failure("its certificate was revoked", NEW_CERTIFICATE),
        CertificateError::BadSignature => {
            failure("its certificate has a wrong signature", NEW_CERTIFICATE)
        }
        CertificateError::BadEncoding => failure("its certificate is damaged", NEW_CERTIFICATE),
        // The library has more kinds, which arrive without a type.
        CertificateError::Other(other) => {
            let inner = format!("{other:?}");
            let is = |word: &str| inner.contains(word);
            if is("CaUsedAsEndEntity") {
                failure(AUTHORITY_AS_SERVER, AUTHORITY_HELP)
            } else if is("Eku") || is("RequiredEkuNotFound") {
                failure(WRONG_PURPOSE, PURPOSE_HELP)
            } else if is("UnsupportedCertVersion") {
                failure("its certificate is of X.509 version 1, which is too old", NEW_CERTIFICATE)
            } else {
                unnamed(error)
            }
        }
        _ => unnamed(error),
    }
}

fn of_alert(alert: AlertDescription) -> TlsFailure {
    match alert {
        AlertDescription::ProtocolVersion => failure(OLD_VERSION, VERSION_HELP),
        AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity => {
            failure("there is no common cipher", CIPHER_HELP)
        }
        AlertDescription::UnrecognisedName => {
            failure("it knows no host of that name", "is the name of the host right?")
        }
        AlertDescription::CertificateRequired => failure(
            "it wants a certificate of ours, and we have none",
            "let it take clients without a certificate, or name another place",
        ),
        other => {
            let text = sanitize_line(&format!("{other:?}"), TEXT_CHARS_MAX);
            failure(&format!("it broke off with the alert `{text}`"), SERVER_SETTINGS)
        }
    }
}

fn unnamed(error: &CertificateError) -> TlsFailure {
    let text = sanitize_line(&error.to_string(), TEXT_CHARS_MAX);
    failure(&format!("its certificate is not trusted ({text})"), NEW_CERTIFICATE)
}

fn failure(said: &str, help: &'static str) -> TlsFailure {
    TlsFailure { said: said.to_owned(), help }
}

/// A name from a certificate; the library shows it as `DnsName("h.example")`.
fn bare(presented: &str) -> String {
    let inner = presented.split_once('(').map_or(presented, |(_, rest)| rest);
    inner.trim_end_matches(')').trim_matches(['"', '\\']).to_owned()
}

fn at_second(seconds: u64) -> Timestamp {
    Timestamp::from_millis(i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1000))
}

const UNKNOWN_ISSUER: &str = "its certificate was issued by an untrusted authority: it is \
    self-signed, from a private authority, or the server sends no intermediate certificate";
const ISSUER_HELP: &str = "name the authority, or the self-signed certificate itself, with \
    `ca_file`; from a public authority, let the server send its whole chain (`fullchain.pem`)";
const AUTHORITY_AS_SERVER: &str =
    "its certificate is that of an authority (`CA:TRUE`), used as the server's own";
const AUTHORITY_HELP: &str = "make the server a certificate with `CA:FALSE` and its name as \
    subjectAltName: `openssl req -x509 -addext basicConstraints=critical,CA:FALSE -addext \
    subjectAltName=DNS:…`; that one can stand in `ca_file`";
const WRONG_PURPOSE: &str = "its certificate is not meant for servers (its extended key usage)";
const PURPOSE_HELP: &str = "make the server a certificate with the usage `serverAuth`";
const NAME_HELP: &str =
    "use the host name of the certificate, or issue a certificate for this name";
const NO_NAME_HELP: &str = "make the server a certificate with its name as subjectAltName; a \
    common name alone counts for nothing";
const EXPIRED_HELP: &str =
    "renew the certificate of the server, and check the clock of this machine";
const CLOCK_HELP: &str = "check the clock of this machine";
const NEW_CERTIFICATE: &str = "replace the certificate of the server";
const SERVER_SETTINGS: &str = "check the TLS settings and the log of the server";
const NO_TLS: &str = "check that the port is right and expects TLS from the first byte";
const OLD_VERSION: &str = "it supports neither TLS 1.2 nor 1.3";
const VERSION_HELP: &str = "enable TLS 1.2 or 1.3 on the server";
const CIPHER_HELP: &str = "use a common certificate (ECDSA, or RSA of 2048 bits) and the common \
    ciphers of TLS 1.2 or 1.3 on the server";
const TEXT_CHARS_MAX: usize = 160;
const NAMES_SHOWN: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_shown_without_its_wrapping() {
        for (presented, expected) in [
            ("DnsName(\"other.example\")", "other.example"),
            ("IpAddress(127.0.0.2)", "127.0.0.2"),
            ("other.example", "other.example"),
        ] {
            assert_eq!(bare(presented), expected);
        }
    }

    #[test]
    fn what_the_other_side_says_has_words() {
        let check = |error: Error, expected: &str| {
            let found = explain(&error);
            assert!(found.said.contains(expected), "{found:?}");
            assert!(!found.help.is_empty());
        };
        check(Error::AlertReceived(AlertDescription::ProtocolVersion), "TLS 1.2 nor 1.3");
        check(Error::AlertReceived(AlertDescription::CertificateRequired), "certificate of ours");
        check(Error::AlertReceived(AlertDescription::InternalError), "`InternalError`");
        check(Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType), "speak TLS");
        check(Error::InvalidCertificate(CertificateError::NotValidForName), "another host");
        check(Error::General("odd".to_owned()), "odd");
    }
}
