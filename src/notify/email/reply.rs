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
    const fn class_of(self, code: u16, enhanced: Option<Enhanced>) -> OutcomeClass {
        match (code, enhanced, self) {
            (421 | 450 | 451 | 452, _, _) | (400..=499, Some((4, 7, _)), _) => {
                OutcomeClass::Throttled
            }
            (500..=599, Some((5, 7, 8 | 9 | 11 | 13)), _) | (530 | 534 | 535 | 538, _, _) => {
                OutcomeClass::Misconfigured
            }
            // Many servers judge the sender only when they know the recipient.
            (500..=599, Some((5, 1, 7 | 8)), _) => OutcomeClass::Misconfigured,
            (552, _, Self::Mail) | (500..=599, Some((5, 3, 4)), Self::Mail) => {
                OutcomeClass::Rejected
            }
            (500..=599, _, Self::Tls | Self::Hello | Self::Auth | Self::Mail) => {
                OutcomeClass::Misconfigured
            }
            (500..=599, _, Self::Rcpt | Self::Data | Self::Dot) => OutcomeClass::Rejected,
            _ => OutcomeClass::Retryable,
        }
    }
}

/// The enhanced status code of an answer: class, subject, detail (RFC 3463).
pub(super) type Enhanced = (u16, u16, u16);

/// The enhanced status code at the beginning of an answer's text, if there is one.
fn enhanced(text: &str) -> Option<Enhanced> {
    let word = text.split_ascii_whitespace().next()?;
    let mut parts = word.split('.').map(|part| {
        let digits = part.len() <= 3 && part.bytes().all(|byte| byte.is_ascii_digit());
        part.parse().ok().filter(|_| digits)
    });
    let code = (parts.next()??, parts.next()??, parts.next()??);
    (parts.next().is_none() && matches!(code.0, 2 | 4 | 5)).then_some(code)
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
            ..Outcome::new(phase.class_of(code, enhanced(&said)), phase.name())
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

    const ALL: [Phase; 7] =
        [Phase::Tls, Phase::Hello, Phase::Auth, Phase::Mail, Phase::Rcpt, Phase::Data, Phase::Dot];

    #[test]
    fn every_code_means_one_thing_in_each_phase() {
        let check = |phase: Phase, codes: &[u16], expected| {
            for &code in codes {
                assert_eq!(phase.class_of(code, None), expected, "for {code} in {phase:?}");
            }
        };
        for phase in ALL {
            check(phase, &[421, 450, 451, 452], OutcomeClass::Throttled);
            check(phase, &[454, 471], OutcomeClass::Retryable);
            check(phase, &[530, 534, 535, 538], OutcomeClass::Misconfigured);
        }
        for phase in [Phase::Rcpt, Phase::Data, Phase::Dot] {
            check(phase, &[550, 551, 552, 553, 554], OutcomeClass::Rejected);
        }
        for phase in [Phase::Tls, Phase::Hello, Phase::Auth, Phase::Mail] {
            check(phase, &[502, 550, 553, 554], OutcomeClass::Misconfigured);
        }
        check(Phase::Mail, &[552], OutcomeClass::Rejected);
    }

    #[test]
    fn an_enhanced_code_decides_where_the_code_alone_does_not() {
        let check = |phase: Phase, code: u16, text: &str, expected| {
            let found = phase.class_of(code, enhanced(text));
            assert_eq!(found, expected, "for {code} {text} in {phase:?}");
        };
        for phase in ALL {
            check(phase, 454, "4.7.0 later", OutcomeClass::Throttled);
            check(phase, 454, "4.3.0 later", OutcomeClass::Retryable);
            check(phase, 550, "5.7.8 who are you?", OutcomeClass::Misconfigured);
        }
        check(Phase::Rcpt, 553, "5.1.8 no such sender", OutcomeClass::Misconfigured);
        check(Phase::Rcpt, 550, "5.1.1 no such user", OutcomeClass::Rejected);
        check(Phase::Rcpt, 550, "5.7.1 not for you", OutcomeClass::Rejected);
        check(Phase::Mail, 550, "5.3.4 too big", OutcomeClass::Rejected);
        check(Phase::Dot, 554, "5.7.1 no", OutcomeClass::Rejected);
        // One that contradicts its code does not decide.
        check(Phase::Rcpt, 550, "4.7.1 odd", OutcomeClass::Rejected);
    }

    #[test]
    fn an_enhanced_code_is_three_numbers_at_the_beginning() {
        assert_eq!(enhanced("5.1.1 no such user"), Some((5, 1, 1)));
        assert_eq!(enhanced("4.7.500"), Some((4, 7, 500)));
        for text in ["", "no", "see 5.1.1", "5.1", "5.1.1.1 x", "3.1.1", "5.+1.1", "5.1.1234"] {
            assert_eq!(enhanced(text), None, "for `{text}`");
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
