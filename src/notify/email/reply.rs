//! What the end of a step of an SMTP session means: the table of delivery.md, section 4.3.
//!
//! A refusal of this recipient or this message is final; a refusal of us (login, sender,
//! greeting) is a matter of settings, which a human mends, and no mail is lost over it.

use std::error::Error as _;

use lettre::transport::smtp::Error;

use crate::domain::delivery::{Outcome, OutcomeClass};
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

    /// What an answer of 4yz or 5yz means here.
    const fn class_of(self, code: u16) -> OutcomeClass {
        match (code, self) {
            (421 | 450 | 451, _) => OutcomeClass::Throttled,
            (530 | 534 | 535, _) => OutcomeClass::Retryable,
            (500..=599, Self::Rcpt | Self::Data | Self::Dot) => OutcomeClass::Rejected,
            _ => OutcomeClass::Retryable,
        }
    }
}

/// A step that the server refused, or in which it was lost.
pub(super) fn failed(host: &str, phase: Phase, error: &Error, hidden: &[String]) -> Outcome {
    if let Some(code) = error.status() {
        let code = u16::from(code);
        let said = error.source().map(ToString::to_string).unwrap_or_default();
        let text = format!("`{host}` answered {code} to {}", phase.doing());
        return Outcome {
            code: Some(code),
            error: Some(text),
            snippet: plain::snippet(said.as_bytes(), hidden),
            ..Outcome::new(phase.class_of(code), phase.name())
        };
    }
    if let Some(tls) = cause::<rustls::Error>(error) {
        let text = format!("no TLS with `{host}`: {}", fault::tls_text(tls));
        return fault::stopped(phase.lost(), Phase::Tls.name(), text);
    }
    lost(host, phase, if error.is_client() { "offers no way of" } else { "was lost while" })
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
    fn every_code_means_one_thing_in_each_phase() {
        let check = |phase: Phase, codes: &[u16], expected| {
            for &code in codes {
                assert_eq!(phase.class_of(code), expected, "for {code} in {phase:?}");
            }
        };
        let all = [Phase::Hello, Phase::Auth, Phase::Mail, Phase::Rcpt, Phase::Data, Phase::Dot];
        for phase in all {
            check(phase, &[421, 450, 451], OutcomeClass::Throttled);
            check(phase, &[452, 454, 471, 530, 534, 535], OutcomeClass::Retryable);
        }
        for phase in [Phase::Rcpt, Phase::Data, Phase::Dot] {
            check(phase, &[550, 551, 552, 553, 554], OutcomeClass::Rejected);
        }
        for phase in [Phase::Hello, Phase::Auth, Phase::Mail] {
            check(phase, &[502, 550, 553, 554], OutcomeClass::Retryable);
        }
    }

    #[test]
    fn only_a_loss_after_the_dot_leaves_a_doubt() {
        assert_eq!(silent("h", Phase::Data).class, OutcomeClass::Retryable);
        let dot = silent("h", Phase::Dot);
        assert_eq!(dot.class, OutcomeClass::Ambiguous);
        assert!(dot.error.unwrap().contains("may have taken"));
    }
}
