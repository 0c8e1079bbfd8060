//! What the end of a step of an SMTP session means, and how it is said to people.
//!
//! Whom a refusal refuses is decided by `domain::refusal`.

use std::io;

use crate::domain::delivery::{Outcome, OutcomeClass};
use crate::domain::mail::smtp_refusal::{RefusalClass, SmtpRefusal, SmtpStep};
use crate::notify::email::config::SmtpTls;
use crate::notify::email::smtp::reply::Reply;
use crate::notify::email::smtp::stream::StreamError;
use crate::notify::excerpt;
use crate::notify::transport_error::{self, cause};

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
    /// The word for it in an outcome.
    pub(in crate::notify::email) const fn name(self) -> &'static str {
        match self {
            Self::Resolve => transport_error::RESOLVE,
            Self::Connect => transport_error::CONNECT,
            Self::Tls => transport_error::TLS,
            Self::Hello => "hello",
            Self::Auth => "auth",
            Self::Mail => "mail",
            Self::Rcpt => "rcpt",
            Self::Data => "data",
            Self::Dot => "dot",
        }
    }

    /// What was going on, for people.
    const fn doing(self) -> &'static str {
        match self {
            Self::Resolve => "looking its name up",
            Self::Connect => "connecting",
            Self::Tls => "turning to TLS",
            Self::Hello => "greeting",
            Self::Auth => "logging in",
            Self::Mail => "naming the sender",
            Self::Rcpt => "naming the recipient",
            Self::Data => "sending the mail",
            Self::Dot => "waiting for the mail to be taken",
        }
    }

    /// What an answer here is to, for people.
    const fn asked(self) -> &'static str {
        match self {
            Self::Resolve | Self::Connect => "our call",
            Self::Tls => "STARTTLS",
            Self::Hello => "our greeting",
            Self::Auth => "our login",
            Self::Mail => "the sender",
            Self::Rcpt => "the recipient",
            Self::Data | Self::Dot => "the mail",
        }
    }

    /// Losing the other side here means that it may have taken the mail.
    const fn lost(self) -> OutcomeClass {
        match self {
            Self::Dot => OutcomeClass::Ambiguous,
            Self::Resolve
            | Self::Connect
            | Self::Tls
            | Self::Hello
            | Self::Auth
            | Self::Mail
            | Self::Rcpt
            | Self::Data => OutcomeClass::Retryable,
        }
    }

    /// The step that a refusal here answers.
    const fn step(self) -> SmtpStep {
        match self {
            Self::Resolve | Self::Connect | Self::Hello => SmtpStep::Hello,
            Self::Tls => SmtpStep::Tls,
            Self::Auth => SmtpStep::Auth,
            Self::Mail => SmtpStep::Mail,
            Self::Rcpt => SmtpStep::Rcpt,
            Self::Data => SmtpStep::Data,
            Self::Dot => SmtpStep::Dot,
        }
    }
}

/// What the server was told of us, and may speak of.
#[derive(Clone, Debug, Default)]
pub(in crate::notify::email) struct SmtpEnvelope {
    /// The sender of the envelope; empty for the null path, and before there is one.
    pub(in crate::notify::email) sender: String,
    /// The recipient; empty before there is one.
    pub(in crate::notify::email) recipient: String,
    /// The name in EHLO.
    pub(in crate::notify::email) hello_name: String,
}

impl SmtpEnvelope {
    /// What a refusal means (RFC 5321, RFC 3463).
    pub(in crate::notify::email) fn ruling(
        &self,
        phase: SmtpPhase,
        code: u16,
        text: &str,
    ) -> RefusalClass {
        let Self { sender, recipient, hello_name } = self;
        SmtpRefusal { step: phase.step(), code, text, sender, recipient, hello_name }.classify()
    }
}

/// A reply that is not the one that the step waits for: a refusal, or one out of step.
pub(in crate::notify::email) fn refused(
    host: &str,
    phase: SmtpPhase,
    reply: &Reply,
    known: &SmtpEnvelope,
    hidden: &[String],
) -> Outcome {
    let said = reply.text();
    let outcome = if reply.is_of(400) || reply.is_of(500) {
        let text = format!("`{host}` answered {} to {}", reply.code, phase.asked());
        let RefusalClass { class, scope } = known.ruling(phase, reply.code, &said);
        Outcome { scope, ..transport_error::failed_outcome(class, phase.name(), text) }
    } else {
        let what = format!("answered {}, which does not fit, while", reply.code);
        in_doubt(host, phase, &what)
    };
    let snippet = excerpt::redacted_excerpt(said.as_bytes(), hidden);
    Outcome { code: Some(reply.code), snippet, ..outcome }
}

/// What the settings ask for, and the server does not offer.
pub(in crate::notify::email) fn unsupported(host: &str, phase: SmtpPhase, what: &str) -> Outcome {
    transport_error::failed_outcome(
        OutcomeClass::Misconfigured,
        phase.name(),
        format!("`{host}` {what}"),
    )
}

/// A step to which no reply came.
pub(in crate::notify::email) fn connection_lost(
    host: &str,
    phase: SmtpPhase,
    lost: &StreamError,
    hidden: &[String],
) -> Outcome {
    match lost {
        StreamError::TimedOut => timed_out(host, phase),
        StreamError::Closed => in_doubt(host, phase, "hung up while"),
        StreamError::Flooded => {
            in_doubt(host, phase, "had sent a reply without an end, so that it was left, while")
        }
        StreamError::Unreadable(noise) => Outcome {
            snippet: excerpt::redacted_excerpt(noise, hidden),
            ..in_doubt(host, phase, "said something that is no reply of a mail server while")
        },
        StreamError::Broken(error) => match cause::<rustls::Error>(error) {
            Some(tls) => {
                let what =
                    format!("broke TLS off ({}) while", transport_error::tls_text(tls, hidden));
                in_doubt(host, phase, &what)
            }
            None => in_doubt(host, phase, "was lost while"),
        },
    }
}

/// A connection that did not turn to TLS.
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
            let text = format!("no TLS with `{host}`: {error}");
            transport_error::failed_outcome(OutcomeClass::Retryable, SmtpPhase::Tls.name(), text)
        }
        None => in_doubt(host, SmtpPhase::Tls, "hung up while"),
    }
}

/// Whether the other side went on in the clear.
const fn is_plain(error: &rustls::Error) -> bool {
    matches!(error, rustls::Error::InvalidMessage(_) | rustls::Error::InappropriateMessage { .. })
}

/// What mends an end of a session at the turn to TLS, or before; `None` where its words say
/// enough, or nobody knows.
pub(in crate::notify::email) fn help(outcome: &Outcome, tls: SmtpTls) -> Option<&'static str> {
    let of_tls = outcome.phase == SmtpPhase::Tls.name();
    // Where TLS begins at once, the server waits for us, and we for it.
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

/// A step in which the server said nothing for too long.
pub(in crate::notify::email) fn timed_out(host: &str, phase: SmtpPhase) -> Outcome {
    in_doubt(host, phase, "said nothing while")
}

/// A step in which we broke off ourselves, by a bug of ours or of a library.
pub(in crate::notify::email) fn broken_off(host: &str, phase: SmtpPhase) -> Outcome {
    in_doubt(host, phase, "was left, because of a bug in this program, while")
}

fn in_doubt(host: &str, phase: SmtpPhase, what: &str) -> Outcome {
    let doubt = match phase.lost() {
        OutcomeClass::Ambiguous => "; it may have taken the mail",
        _ => "",
    };
    let text = format!("`{host}` {what} {}{doubt}", phase.doing());
    transport_error::failed_outcome(phase.lost(), phase.name(), text)
}

const STARTTLS_HELP: &str = "does something in between, such as a virus scanner or a firewall, \
    speak in the server's place? `tls = \"implicit\"` with the server's port for it, mostly 465, \
    begins with TLS";
const IMPLICIT_HELP: &str = "is `port` one where TLS begins at once, mostly 465? On 587 and 25 it \
    begins in the clear: `tls = \"starttls\"`";
const GREETING_HELP: &str = "are `host` and `port` right? A port where TLS begins at once, mostly \
    465, wants `tls = \"implicit\"`";
/// What is said of a server without SMTPUTF8 when our own addresses need it.
pub(in crate::notify::email) const NO_SMTPUTF8_FOR_US: &str =
    "does not offer SMTPUTF8 with 8BITMIME, which `from`, `reply_to` or `bounce_to` needs";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_loss_after_the_dot_leaves_a_doubt() {
        assert_eq!(timed_out("h", SmtpPhase::Data).class, OutcomeClass::Retryable);
        let dot = timed_out("h", SmtpPhase::Dot);
        assert_eq!(dot.class, OutcomeClass::Ambiguous);
        assert!(dot.error.unwrap().contains("may have taken"));
    }
}
