//! What the end of a step of an SMTP session means, and how it is said to people.
//!
//! Whom a refusal refuses is decided by `domain::refusal`.

use std::error::Error as _;

use lettre::transport::smtp::Error;

use crate::domain::delivery::{Outcome, OutcomeClass};
use crate::domain::refusal::{Refusal, Ruling, Step};
use crate::notify::fault::{self, cause};
use crate::notify::plain;

/// A step of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
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

impl Phase {
    /// The word for it in an outcome.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Resolve => fault::RESOLVE,
            Self::Connect => fault::CONNECT,
            Self::Tls => fault::TLS,
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
    const fn step(self) -> Step {
        match self {
            Self::Resolve | Self::Connect | Self::Hello => Step::Hello,
            Self::Tls => Step::Tls,
            Self::Auth => Step::Auth,
            Self::Mail => Step::Mail,
            Self::Rcpt => Step::Rcpt,
            Self::Data => Step::Data,
            Self::Dot => Step::Dot,
        }
    }
}

/// What the server was told of us, and may speak of.
#[derive(Clone, Debug, Default)]
pub(super) struct Introduction {
    /// The sender of the envelope; empty for the null path, and before there is one.
    pub(super) sender: String,
    /// The recipient; empty before there is one.
    pub(super) recipient: String,
    /// The name in EHLO.
    pub(super) hello_name: String,
}

impl Introduction {
    /// What a refusal means (RFC 5321, RFC 3463).
    pub(super) fn ruling(&self, phase: Phase, code: u16, text: &str) -> Ruling {
        let Self { sender, recipient, hello_name } = self;
        Refusal { step: phase.step(), code, text, sender, recipient, hello_name }.ruling()
    }
}

/// A step that the server refused, or in which it was lost.
pub(super) fn failed(
    host: &str,
    phase: Phase,
    error: &Error,
    known: &Introduction,
    hidden: &[String],
) -> Outcome {
    if let Some(code) = error.status() {
        let code = u16::from(code);
        let said = error.source().map(ToString::to_string).unwrap_or_default();
        let text = format!("`{host}` answered {code} to {}", phase.doing());
        let Ruling { class, scope } = known.ruling(phase, code, &said);
        return Outcome {
            code: Some(code),
            error: Some(text),
            snippet: plain::snippet(said.as_bytes(), hidden),
            scope,
            ..Outcome::new(class, phase.name())
        };
    }
    if let Some(tls) = cause::<rustls::Error>(error) {
        let text = format!("no TLS with `{host}`: {}", fault::tls_text(tls));
        return fault::stopped(phase.lost(), Phase::Tls.name(), text);
    }
    if error.is_client() && phase == Phase::Auth {
        return unoffered(host, phase, "offers no way of logging in that we know");
    }
    lost(host, phase, "was lost while")
}

/// What the settings ask for, and the server does not offer.
pub(super) fn unoffered(host: &str, phase: Phase, what: &str) -> Outcome {
    fault::stopped(OutcomeClass::Misconfigured, phase.name(), format!("`{host}` {what}"))
}

/// A step in which the server said nothing for too long.
pub(super) fn silent(host: &str, phase: Phase) -> Outcome {
    lost(host, phase, "said nothing while")
}

/// A step whose answer belongs to no such step: the talk is out of step.
pub(super) fn out_of_step(host: &str, phase: Phase, code: u16) -> Outcome {
    Outcome { code: Some(code), ..lost(host, phase, "gave an answer that does not fit to") }
}

fn lost(host: &str, phase: Phase, what: &str) -> Outcome {
    let doubt = match phase.lost() {
        OutcomeClass::Ambiguous => "; it may have taken the mail",
        _ => "",
    };
    let text = format!("`{host}` {what} {}{doubt}", phase.doing());
    fault::stopped(phase.lost(), phase.name(), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_loss_after_the_dot_leaves_a_doubt() {
        assert_eq!(silent("h", Phase::Data).class, OutcomeClass::Retryable);
        let dot = silent("h", Phase::Dot);
        assert_eq!(dot.class, OutcomeClass::Ambiguous);
        assert!(dot.error.unwrap().contains("may have taken"));
    }
}
