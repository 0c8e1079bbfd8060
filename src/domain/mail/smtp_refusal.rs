//! Classifies the refusals of mail servers: what a refusal is about, and what it means for the
//! delivery.
//!
//! It uses the step, the reply code (RFC 5321), the enhanced status code (RFC 3463, RFC 5248, the
//! IANA registry, Microsoft's and Google's) and the text. A refusal of the sender is never a dead
//! letter, nor is an ambiguous one; both are reported at once. A decisive status code outweighs the
//! text, and a first digit of 4 outweighs everything.

use crate::domain::delivery::{OutcomeClass, Scope};
use crate::domain::mail::smtp_phrases::{Phrase, mentions};

/// A step of a mail transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SmtpStep {
    /// The greeting of the server, and EHLO or HELO.
    Hello,
    Tls,
    Auth,
    Mail,
    Rcpt,
    /// DATA, until its go-ahead.
    Data,
    /// The response to the message, after the final dot; also if the step is unknown.
    Dot,
}

/// A reply of 4yz or 5yz, and what the client sent before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SmtpRefusal<'a> {
    pub step: SmtpStep,
    pub code: u16,
    /// The text after the code; lines are joined by blanks.
    pub text: &'a str,
    /// The sender of the envelope; empty for the null path.
    pub sender: &'a str,
    /// The recipient; empty before there is one.
    pub recipient: &'a str,
    pub hello_name: &'a str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RefusalClass {
    pub class: OutcomeClass,
    pub scope: Scope,
}

/// What a permanent refusal is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::domain) enum Blame {
    /// The sender: its address, name, login or domain, or the right to relay.
    Us,
    /// The sender, until a limit is lifted.
    UsTemporarily,
    Recipient,
    Mail,
    Unclear,
}

impl Blame {
    const fn of(words: Phrase) -> Self {
        match words {
            Phrase::SurelyOfUs | Phrase::OfUs => Self::Us,
            Phrase::LimitOfOurs | Phrase::OfLimit => Self::UsTemporarily,
            Phrase::OfMail => Self::Mail,
            Phrase::OfRecipient => Self::Recipient,
            Phrase::OfPolicy => Self::Unclear,
        }
    }
}

impl SmtpRefusal<'_> {
    fn words(&self) -> Option<Phrase> {
        mentions(self.text, self.sender, self.recipient, self.hello_name)
    }

    pub(crate) fn classify(&self) -> RefusalClass {
        if self.code < 500 {
            return RefusalClass { class: self.class_for_now(), scope: self.scope_for_now() };
        }
        let (class, scope) = match (self.blame(), self.step) {
            (Blame::Us, SmtpStep::Tls | SmtpStep::Auth) => {
                (OutcomeClass::Misconfigured, Scope::Channel)
            }
            (Blame::Us, SmtpStep::Hello | SmtpStep::Mail) => {
                (OutcomeClass::Misconfigured, Scope::Sender)
            }
            (Blame::Us, SmtpStep::Rcpt | SmtpStep::Data | SmtpStep::Dot) => {
                (OutcomeClass::Misconfigured, Scope::Recipient)
            }
            (
                Blame::UsTemporarily,
                SmtpStep::Hello | SmtpStep::Tls | SmtpStep::Auth | SmtpStep::Mail,
            ) => (OutcomeClass::Throttled, Scope::Sender),
            (Blame::UsTemporarily, _) => (OutcomeClass::Throttled, Scope::Recipient),
            (Blame::Unclear, _) => (OutcomeClass::Throttled, Scope::SenderOrRecipient),
            (Blame::Recipient | Blame::Mail, _) => (OutcomeClass::Rejected, Scope::Recipient),
        };
        RefusalClass { class, scope }
    }

    /// The class of a transient reply (RFC 5321, section 4.2.1: the same may be accepted later).
    /// It spends no attempt where the server names a limit, a policy or a lack of its own.
    fn class_for_now(&self) -> OutcomeClass {
        let limits = self
            .words()
            .is_some_and(|words| matches!(words, Phrase::LimitOfOurs | Phrase::OfLimit));
        match (self.code, status(self.code, self.text)) {
            (421 | 450..=452, _) | (_, Some((7, _))) => OutcomeClass::Throttled,
            _ if limits => OutcomeClass::Throttled,
            _ => OutcomeClass::Retryable,
        }
    }

    /// A transient reply to RCPT is about the recipient, as is one that says so later on.
    fn scope_for_now(&self) -> Scope {
        match (self.step, status(self.code, self.text)) {
            (_, _) if self.code == 421 => Scope::Channel,
            (SmtpStep::Rcpt, _) | (SmtpStep::Data | SmtpStep::Dot, Some((1 | 2, _))) => {
                Scope::Recipient
            }
            _ => Scope::Channel,
        }
    }

    fn blame(&self) -> Blame {
        let status = status(self.code, self.text);
        let words = self.words();
        match self.step {
            SmtpStep::Hello | SmtpStep::Tls | SmtpStep::Auth => match words {
                Some(Phrase::LimitOfOurs | Phrase::OfLimit) => Blame::UsTemporarily,
                _ => Blame::Us,
            },
            SmtpStep::Mail => match (status.map(|(it, detail)| by_status(it, detail)), words) {
                (Some(Some(Blame::Mail)), _) | (None, Some(Phrase::OfMail)) => Blame::Mail,
                (Some(Some(Blame::UsTemporarily)), _)
                | (_, Some(Phrase::LimitOfOurs | Phrase::OfLimit)) => Blame::UsTemporarily,
                // A mailbox that is full before a recipient was named is that of the sender.
                _ if status == Some((2, 2)) => Blame::UsTemporarily,
                // The size that MAIL announced (RFC 1870, section 6).
                (None, None) if self.code == 552 => Blame::Mail,
                _ => Blame::Us,
            },
            SmtpStep::Rcpt | SmtpStep::Data | SmtpStep::Dot => match (words, status) {
                _ if matches!(self.code, 530 | 534 | 535 | 538) => Blame::Us,
                (Some(Phrase::SurelyOfUs), _) => Blame::Us,
                (Some(Phrase::LimitOfOurs), _) => Blame::UsTemporarily,
                // The mailbox that is full or disabled is that of the sender.
                (Some(Phrase::OfUs), Some((2, 2))) => Blame::UsTemporarily,
                (Some(Phrase::OfUs), Some((2, 1))) => Blame::Us,
                (words, Some((subject, detail))) => match by_status(subject, detail) {
                    Some(target) => target,
                    None => words.map_or(Blame::Unclear, Blame::of),
                },
                (Some(words), None) => Blame::of(words),
                (None, None) => self.by_code(),
            },
        }
    }

    /// Where there is nothing but the reply code, or words that we do not know.
    fn by_code(&self) -> Blame {
        let is_bare = !self.text.chars().any(char::is_alphabetic);
        // RFC 5321, section 4.2.3: 550 and 553 are also those of a policy, and a server may mean
        // the sender; 552 may be the quota of either.
        match (self.code, self.step) {
            // A user of another server; a domain that takes no mail (RFC 7504).
            (551 | 556, SmtpStep::Rcpt) => Blame::Recipient,
            (500..=504 | 521 | 555, _) => Blame::Unclear,
            (_, SmtpStep::Data | SmtpStep::Dot) if is_bare => Blame::Mail,
            _ => Blame::Unclear,
        }
    }
}

/// What the enhanced status of a permanent refusal says by itself, of a mail with one recipient.
/// The names of 5.7.5xx and above are those of "Email non-delivery reports in Exchange Online".
const fn by_status(subject: u16, detail: u16) -> Option<Blame> {
    Some(match (subject, detail) {
        // Other address status; other mailbox status: of the sender as well.
        (1 | 2, 0) => return None,
        (1, 7 | 8) | (2, 252) => Blame::Us,
        (1, 90) | (2, 121 | 122) | (4, 5) | (5, 3) => Blame::UsTemporarily,
        (2, 3) | (3, 4) | (6, _) | (7, 16 | 512) => Blame::Mail,
        // A loop: of the settings of the server, or of the recipient's.
        (4, 6 | 12 | 14) => Blame::Unclear,
        (1 | 2 | 4, _) | (7, 17 | 18 | 504 | 505) => Blame::Recipient,
        // Login, encryption, DKIM, SPF, reverse DNS, DMARC.
        (7, 4 | 8..=14 | 20..=27 | 29..=32) => Blame::Us,
        (7, 50 | 51 | 57 | 60 | 61 | 64 | 501..=503 | 506 | 509 | 511 | 514) => Blame::Us,
        (7, 606..=649 | 708 | 750) => Blame::Us,
        (7, 28 | 232 | 233 | 508 | 700..=749) => Blame::UsTemporarily,
        // The system or the protocol fails, the network of the server, or its policy.
        _ => return None,
    })
}

/// The enhanced status code in a reply: subject and detail. It is at the beginning (RFC 2034,
/// section 4), or as `(#5.1.1)` at the end, as in qmail; a code with another first digit than the
/// reply code is ignored.
pub(crate) fn status(code: u16, text: &str) -> Option<(u16, u16)> {
    let mut words = text.split_ascii_whitespace();
    let first = words.next()?;
    let marked = words.rev().find_map(|word| word.strip_prefix("(#")?.split(')').next());
    [first.trim_start_matches('#'), marked.unwrap_or_default()].into_iter().find_map(|word| {
        let mut parts = word.trim_end_matches([':', ';', ',']).split('.').map(|part| {
            let digits = part.len() <= 3 && part.bytes().all(|byte| byte.is_ascii_digit());
            part.parse::<u16>().ok().filter(|_| digits)
        });
        let (class, subject, detail) = (parts.next()??, parts.next()??, parts.next()??);
        (parts.next().is_none() && class == code / 100).then_some((subject, detail))
    })
}

#[cfg(test)]
#[path = "smtp_refusal_tests.rs"]
mod tests;
