//! The parameters of MAIL (RFC 6152, RFC 6531), and the extensions that they require.
//!
//! SMTPUTF8 is used only when an address of the envelope or a header needs it.

use crate::domain::delivery::{Outcome, OutcomeClass, Scope};
use crate::domain::mail::address::MailAddress;
use crate::notify::email::smtp::error::{self, SmtpPhase};
use crate::notify::email::smtp::extensions::{EIGHT_BIT_MIME, Extensions};
use crate::notify::transport_error;

/// The parameters for a mail, or the extension that the server lacks.
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
        if !offers.support_international() {
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

#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::notify::email) struct Parameters {
    /// Each with a leading space.
    pub(in crate::notify::email) text: String,
    /// Whether SMTPUTF8 is used for this recipient only.
    is_of_recipient: bool,
}

impl Parameters {
    /// Adjusts a refusal of MAIL: when it refuses parameters (RFC 5321, section 4.2.3) that only
    /// this recipient needs, the other recipients are not affected.
    pub(in crate::notify::email) fn refused(&self, outcome: Outcome) -> Outcome {
        match outcome.code {
            Some(501 | 504 | 553 | 555) if self.is_of_recipient => {
                Outcome { class: OutcomeClass::Throttled, scope: Scope::Unclear, ..outcome }
            }
            _ => outcome,
        }
    }
}

/// An extension that a server lacks for a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::notify::email) enum Unsupported {
    /// SMTPUTF8 for our own addresses: no mail can be sent.
    Sender,
    /// SMTPUTF8 for this recipient only.
    Recipient,
    /// 8BITMIME.
    Body,
}

impl Unsupported {
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

/// Whether a header other than `To` needs SMTPUTF8.
fn is_of_ours(line: &[u8]) -> bool {
    !line.is_ascii() && !line.get(..3).is_some_and(|name| name.eq_ignore_ascii_case(b"to:"))
}

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
    fn the_headers_decide_whether_smtputf8_is_needed() {
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
        // RFC 6531 requires both extensions.
        let half =
            Extensions::of(&Reply { code: 250, lines: ["m", SMTPUTF8].map(str::to_owned).into() });
        let lack = parameters(&half, Some(&plain), &script, b"To: \xc3\xa9\r\n\r\nb");
        assert_eq!(lack.err(), Some(Unsupported::Recipient));
    }

    #[test]
    fn a_refused_parameter_of_one_recipient_affects_only_that_one() {
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
