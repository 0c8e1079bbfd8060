//! Classification of the failures of an SMTP session, with a text for people.
//!
//! `domain::mail::smtp_refusal` decides what a refusal refers to: the channel, the recipient or the
//! mail.

use std::io;

use crate::domain::delivery::{Outcome, OutcomeClass};
use crate::domain::mail::options::SmtpTls;
use crate::domain::mail::smtp_refusal::{RefusalClass, SmtpRefusal, SmtpStep};
use crate::network::error_chain::cause;
use crate::notify::email::smtp::reply::Reply;
use crate::notify::email::smtp::stream::StreamError;
use crate::notify::excerpt;
use crate::notify::transport_error::{self, failed_outcome};

/// A step of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::notify::email) enum SmtpPhase {
    Resolve,
    Connect,
    Tls,
    Hello,
    Auth,
    Mail,
    Rcpt,
    Data,
    Dot,
}

impl SmtpPhase {
    /// The phase of an outcome.
    pub(in crate::notify::email) const fn name(self) -> &'static str {
        self.terms().name
    }

    const fn terms(self) -> PhaseTerms {
        let (name, doing, command, step) = match self {
            Self::Resolve => {
                (transport_error::RESOLVE, "resolving its name", CONNECTION, SmtpStep::Hello)
            }
            Self::Connect => (transport_error::CONNECT, "connecting", CONNECTION, SmtpStep::Hello),
            Self::Tls => (transport_error::TLS, "starting TLS", "STARTTLS", SmtpStep::Tls),
            Self::Hello => ("hello", "greeting", "EHLO", SmtpStep::Hello),
            Self::Auth => ("auth", "logging in", "AUTH", SmtpStep::Auth),
            Self::Mail => ("mail", "sending MAIL FROM", "MAIL FROM", SmtpStep::Mail),
            Self::Rcpt => ("rcpt", "sending RCPT TO", "RCPT TO", SmtpStep::Rcpt),
            Self::Data => ("data", "sending the mail", "the mail", SmtpStep::Data),
            Self::Dot => ("dot", "waiting for the mail to be accepted", "the mail", SmtpStep::Dot),
        };
        PhaseTerms { name, doing, command, step }
    }
}

struct PhaseTerms {
    name: &'static str,
    /// The activity, for people.
    doing: &'static str,
    /// What a reply refers to, for people.
    command: &'static str,
    step: SmtpStep,
}

/// The names that the server knows and may mention in a reply.
#[derive(Clone, Debug, Default)]
pub(in crate::notify::email) struct SmtpEnvelope {
    /// Empty for the null path and before MAIL.
    pub(in crate::notify::email) sender: String,
    /// Empty before RCPT.
    pub(in crate::notify::email) recipient: String,
    pub(in crate::notify::email) hello_name: String,
}

impl SmtpEnvelope {
    /// Classifies a refusal (RFC 5321, RFC 3463).
    pub(in crate::notify::email) fn classify(
        &self,
        phase: SmtpPhase,
        code: u16,
        text: &str,
    ) -> RefusalClass {
        let Self { sender, recipient, hello_name } = self;
        SmtpRefusal { step: phase.terms().step, code, text, sender, recipient, hello_name }
            .classify()
    }
}

/// The outcome of a reply that the step does not expect: a refusal, or a reply out of sequence.
pub(in crate::notify::email) fn refused(
    host: &str,
    phase: SmtpPhase,
    reply: &Reply,
    known: &SmtpEnvelope,
    hidden: &[String],
) -> Outcome {
    let reply_text = reply.text();
    let outcome = if reply.is_of(400) || reply.is_of(500) {
        let text = format!("`{host}` answered {} to {}", reply.code, phase.terms().command);
        let RefusalClass { class, scope } = known.classify(phase, reply.code, &reply_text);
        Outcome { scope, ..failed_outcome(class, phase.name(), text) }
    } else {
        let what = format!("answered {} out of sequence while", reply.code);
        in_doubt(host, phase, &what)
    };
    let snippet = excerpt::redacted_excerpt(reply_text.as_bytes(), hidden);
    Outcome { code: Some(reply.code), snippet, ..outcome }
}

/// The outcome when the server does not offer what the settings require.
pub(in crate::notify::email) fn unsupported(host: &str, phase: SmtpPhase, what: &str) -> Outcome {
    failed_outcome(OutcomeClass::Misconfigured, phase.name(), format!("`{host}` {what}"))
}

/// The outcome of a step without a reply.
pub(in crate::notify::email) fn connection_lost(
    host: &str,
    phase: SmtpPhase,
    lost: &StreamError,
    hidden: &[String],
) -> Outcome {
    match lost {
        StreamError::TimedOut => in_doubt(host, phase, "did not respond while"),
        StreamError::Closed => in_doubt(host, phase, "closed the connection while"),
        StreamError::Flooded => in_doubt(host, phase, "sent a reply without an end while"),
        StreamError::Unreadable(noise) => Outcome {
            snippet: excerpt::redacted_excerpt(noise, hidden),
            ..in_doubt(host, phase, "sent something that is not an SMTP reply while")
        },
        StreamError::Broken(error) => match cause::<rustls::Error>(error) {
            Some(tls) => {
                let what =
                    format!("aborted TLS ({}) while", transport_error::tls_text(tls, hidden));
                in_doubt(host, phase, &what)
            }
            None => in_doubt(host, phase, "dropped the connection while"),
        },
    }
}

/// The outcome of a failed TLS handshake.
pub(in crate::notify::email) fn unsecured(
    host: &str,
    error: &io::Error,
    hidden: &[String],
) -> Outcome {
    match cause::<rustls::Error>(error) {
        Some(tls) if is_plain(tls) => {
            Outcome { help: None, ..transport_error::no_tls(host, tls, hidden) }
        }
        Some(tls) => transport_error::no_tls(host, tls, hidden),
        None if error.kind() == io::ErrorKind::Other => {
            let text = format!("TLS with `{host}` failed: {error}");
            failed_outcome(OutcomeClass::Retryable, SmtpPhase::Tls.name(), text)
        }
        None => in_doubt(host, SmtpPhase::Tls, "closed the connection while"),
    }
}

/// Whether the server sent plain text instead of TLS.
const fn is_plain(error: &rustls::Error) -> bool {
    matches!(error, rustls::Error::InvalidMessage(_) | rustls::Error::InappropriateMessage { .. })
}

/// How to fix a failure of TLS or of the greeting; `None` where the text says enough, or the fix is
/// unknown.
pub(in crate::notify::email) fn help(outcome: &Outcome, tls: SmtpTls) -> Option<&'static str> {
    let of_tls = outcome.phase == SmtpPhase::Tls.name();
    // A server with implicit TLS waits for the client, while the client waits for the greeting.
    let of_greeting = outcome.phase == SmtpPhase::Hello.name() && outcome.code.is_none();
    match tls {
        _ if outcome.class == OutcomeClass::Delivered || outcome.class == OutcomeClass::Local => {
            None
        }
        SmtpTls::Starttls if of_tls => Some(STARTTLS_HELP),
        SmtpTls::Implicit if of_tls => Some(IMPLICIT_HELP),
        SmtpTls::Starttls | SmtpTls::None if of_greeting => Some(GREETING_HELP),
        SmtpTls::Starttls | SmtpTls::Implicit | SmtpTls::None => None,
    }
}

/// The outcome of a panic.
pub(in crate::notify::email) fn broken_off(host: &str, phase: SmtpPhase) -> Outcome {
    in_doubt(host, phase, "was disconnected because of a bug in this program while")
}

/// The outcome of a lost connection: after the final dot, the mail may have been accepted.
fn in_doubt(host: &str, phase: SmtpPhase, what: &str) -> Outcome {
    let (class, doubt) = if phase == SmtpPhase::Dot {
        (OutcomeClass::Ambiguous, "; it may have accepted the mail")
    } else {
        (OutcomeClass::Retryable, "")
    };
    let PhaseTerms { name, doing, .. } = phase.terms();
    failed_outcome(class, name, format!("`{host}` {what} {doing}{doubt}"))
}

const CONNECTION: &str = "the connection";

const STARTTLS_HELP: &str = "does a virus scanner or a firewall in between answer for the server? \
    Try `tls = \"implicit\"` with the server's port for it, usually 465";
const IMPLICIT_HELP: &str = "is `port` one with implicit TLS, usually 465? Ports 587 and 25 begin \
    in plain text: `tls = \"starttls\"`";
const GREETING_HELP: &str = "are `host` and `port` right? A port with implicit TLS, usually \
    465, requires `tls = \"implicit\"`";
/// The text for a server without SMTPUTF8 when our own addresses need it.
pub(in crate::notify::email) const NO_SMTPUTF8_FOR_US: &str =
    "does not offer SMTPUTF8 with 8BITMIME, which `from`, `reply_to` or `bounce_to` needs";
