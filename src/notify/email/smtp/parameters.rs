//! What MAIL says about a mail (RFC 6152, RFC 6531), and what a server must offer for that.
//!
//! SMTPUTF8 is asked for only where an address, of the envelope or in a header, needs it.

use crate::domain::delivery::{Outcome, OutcomeClass, Scope};
use crate::domain::mail::address::MailAddress;
use crate::notify::email::smtp::error::{self, SmtpPhase};
use crate::notify::email::smtp::extensions::{EIGHT_BIT_MIME, Extensions};
use crate::notify::transport_error;

/// The parameters for a mail from there to there, or what the server lacks for it.
pub(in crate::notify::email) fn parameters(
    offers: &Extensions,
    from: Option<&MailAddress>,
    to: &MailAddress,
    message: &[u8],
) -> Result<Parameters, Unsupported> {
    let mut text = String::new();
    let is_ours = from.is_some_and(MailAddress::needs_smtputf8)
        || head(message).split(|byte| *byte == b'\n').any(is_of_ours);
    let is_international = is_ours || to.needs_smtputf8() || !head(message).is_ascii();
    if is_international {
        if !offers.take_international() {
            return Err(if is_ours { Unsupported::Sender } else { Unsupported::Recipient });
        }
        text.push_str(" SMTPUTF8");
    }
    if !message.is_ascii() {
        if !offers.has(EIGHT_BIT_MIME) {
            return Err(Unsupported::Body);
        }
        text.push_str(" BODY=8BITMIME");
    }
    Ok(Parameters { text, is_of_recipient: is_international && !is_ours })
}

/// What MAIL says beside the address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::notify::email) struct Parameters {
    /// Each with a blank before it.
    pub(in crate::notify::email) text: String,
    /// Whether SMTPUTF8 is asked for, and for this recipient alone.
    is_of_recipient: bool,
}

impl Parameters {
    /// The refusal of MAIL; where the parameters are refused (RFC 5321, section 4.2.3) that only
    /// this recipient needs, it keeps none of the others waiting.
    pub(in crate::notify::email) fn refused(&self, outcome: Outcome) -> Outcome {
        match outcome.code {
            Some(501 | 504 | 553 | 555) if self.is_of_recipient => {
                Outcome { class: OutcomeClass::Throttled, scope: Scope::Unclear, ..outcome }
            }
            _ => outcome,
        }
    }
}

/// What a server lacks for a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::notify::email) enum Unsupported {
    /// SMTPUTF8, for addresses of ours: no mail can be sent.
    Sender,
    /// SMTPUTF8, for this recipient alone.
    Recipient,
    /// 8BITMIME.
    Body,
}

impl Unsupported {
    /// What it means for the try.
    pub(in crate::notify::email) fn outcome(self, host: &str) -> Outcome {
        let rejected = |phase: SmtpPhase, what: &str| {
            let text = format!("`{host}` does not offer {what}");
            transport_error::failed_outcome(OutcomeClass::Rejected, phase.name(), text)
        };
        match self {
            Self::Sender => error::unsupported(host, SmtpPhase::Mail, error::NO_SMTPUTF8_FOR_US),
            Self::Recipient => {
                rejected(SmtpPhase::Rcpt, "SMTPUTF8 with 8BITMIME, which this recipient needs")
            }
            Self::Body => rejected(SmtpPhase::Mail, "8BITMIME, which this mail needs"),
        }
    }
}

/// Whether a line of the head needs SMTPUTF8, and not because of the recipient.
fn is_of_ours(line: &[u8]) -> bool {
    !line.is_ascii() && !line.get(..3).is_some_and(|name| name.eq_ignore_ascii_case(b"to:"))
}

/// The headers of a message.
fn head(message: &[u8]) -> &[u8] {
    let end = message.windows(HEAD_END.len()).position(|bytes| bytes == HEAD_END);
    end.and_then(|at| message.get(..at)).unwrap_or(message)
}

const HEAD_END: &[u8] = b"\r\n\r\n";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::email::smtp::extensions::SMTPUTF8;
    use crate::notify::email::smtp::reply::Reply;

    #[test]
    fn what_needs_smtputf8_is_told_from_the_head_alone() {
        let address = |text: &str| MailAddress::parse(text).unwrap();
        let (plain, script) = (address("a@example.com"), address("é@example.com"));
        let all: Vec<String> = ["m", SMTPUTF8, EIGHT_BIT_MIME].map(str::to_owned).into();
        let all = Extensions::of(&Reply { code: 250, lines: all });
        let check = |to: &MailAddress, message: &str, expected: &str, lack: Option<Unsupported>| {
            let with =
                |offers| parameters(offers, Some(&plain), to, message.as_bytes()).map(|it| it.text);
            assert_eq!(with(&all), Ok(expected.to_owned()), "for {message}");
            assert_eq!(with(&Extensions::default()).err(), lack, "for {message}");
        };
        let needed = " SMTPUTF8 BODY=8BITMIME";
        check(&plain, "To: a\r\n\r\nb", "", None);
        check(&plain, "To: a\r\n\r\né", " BODY=8BITMIME", Some(Unsupported::Body));
        check(&script, "To: é\r\n\r\nb", needed, Some(Unsupported::Recipient));
        check(&script, "to: é\r\nReply-To: é\r\n\r\nb", needed, Some(Unsupported::Sender));
        check(&plain, "From: é\r\nTo: a\r\n\r\nb", needed, Some(Unsupported::Sender));
        // The one without the other is not what RFC 6531 calls an offer.
        let half =
            Extensions::of(&Reply { code: 250, lines: ["m", SMTPUTF8].map(str::to_owned).into() });
        let lack = parameters(&half, Some(&plain), &script, b"To: \xc3\xa9\r\n\r\nb");
        assert_eq!(lack.err(), Some(Unsupported::Recipient));
    }

    #[test]
    fn parameters_that_one_recipient_needs_are_refused_for_that_one_alone() {
        let check = |message: &str, code: u16, expected| {
            let address = |text: &str| MailAddress::parse(text).unwrap();
            let all: Vec<String> = ["m", SMTPUTF8, EIGHT_BIT_MIME].map(str::to_owned).into();
            let offers = Extensions::of(&Reply { code: 250, lines: all });
            let (from, to) = (address("a@example.com"), address("é@example.com"));
            let found = parameters(&offers, Some(&from), &to, message.as_bytes()).unwrap();
            let of_us =
                Outcome { code: Some(code), ..Outcome::new(OutcomeClass::Misconfigured, "mail") };
            let ruled = found.refused(of_us);
            assert_eq!((ruled.class, ruled.scope), expected, "{code} for {message}");
        };
        let of_recipient = (OutcomeClass::Throttled, Scope::Unclear);
        let of_us = (OutcomeClass::Misconfigured, Scope::Channel);
        check("To: é\r\n\r\nb", 555, of_recipient);
        check("To: é\r\n\r\nb", 550, of_us);
        check("From: é\r\nTo: é\r\n\r\nb", 555, of_us);
    }
}
