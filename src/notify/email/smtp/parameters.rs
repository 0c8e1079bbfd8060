//! The parameters of MAIL (RFC 6152, RFC 6531), and the extensions that they require.
//!
//! SMTPUTF8 is used only when an address of the envelope or a header needs it. Bodies are ASCII.

use crate::domain::delivery::{Outcome, OutcomeClass, Scope};
use crate::domain::mail::address::MailAddress;
use crate::notify::email::smtp::error::{self, SmtpPhase};
use crate::notify::email::smtp::extensions::Extensions;
use crate::notify::transport_error::failed_outcome;

/// The parameters for a mail, or the outcome when `host` lacks an extension.
pub(in crate::notify::email) fn parameters(
    host: &str,
    offers: &Extensions,
    from: Option<&MailAddress>,
    to: &MailAddress,
    message: &[u8],
) -> Result<Parameters, Outcome> {
    let is_ours = from.is_some_and(MailAddress::needs_smtputf8)
        || head(message).split(|byte| *byte == b'\n').any(is_of_ours);
    let is_of_recipient = !is_ours && (to.needs_smtputf8() || !message.is_ascii());
    if !is_ours && !is_of_recipient {
        return Ok(Parameters { text: "", is_of_recipient });
    }
    match (offers.support_international(), is_ours) {
        (true, _) if message.is_ascii() => Ok(Parameters { text: " SMTPUTF8", is_of_recipient }),
        (true, _) => Ok(Parameters { text: " SMTPUTF8 BODY=8BITMIME", is_of_recipient }),
        (false, true) => Err(error::unsupported(host, SmtpPhase::Mail, error::NO_SMTPUTF8_FOR_US)),
        (false, false) => {
            let text = format!(
                "`{host}` does not offer SMTPUTF8 with 8BITMIME, which this recipient needs"
            );
            let phase = SmtpPhase::Rcpt.name();
            Err(failed_outcome(OutcomeClass::Rejected, phase, text))
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::notify::email) struct Parameters {
    /// Each with a leading space.
    pub(in crate::notify::email) text: &'static str,
    /// Whether SMTPUTF8 is used for this recipient only.
    is_of_recipient: bool,
}

impl Parameters {
    /// Adjusts a refusal of MAIL: when it refuses parameters (RFC 5321, section 4.2.3) that only
    /// this recipient needs, the other recipients are not affected.
    pub(in crate::notify::email) fn refused(&self, outcome: Outcome) -> Outcome {
        match outcome.code {
            Some(501 | 504 | 553 | 555) if self.is_of_recipient => Outcome {
                class: OutcomeClass::Throttled,
                scope: Scope::SenderOrRecipient,
                ..outcome
            },
            _ => outcome,
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
    use crate::notify::email::smtp::extensions::{EIGHT_BIT_MIME, SMTPUTF8};
    use crate::notify::email::smtp::reply::Reply;

    fn with(keywords: &[&str], to: &str, message: &str) -> Result<Parameters, Outcome> {
        let lines = keywords.iter().map(ToString::to_string).collect();
        let offers = Extensions::of(&Reply { code: 250, lines });
        let [from, to] = ["a@example.com", to].map(|text| MailAddress::parse(text).unwrap());
        parameters("h", &offers, Some(&from), &to, message.as_bytes())
    }

    const ALL: &[&str] = &["m", SMTPUTF8, EIGHT_BIT_MIME];

    #[test]
    fn the_headers_decide_whether_smtputf8_is_needed() {
        let check = |to: &str, message: &str, expected: &str, lack: Option<OutcomeClass>| {
            assert_eq!(with(ALL, to, message).unwrap().text, expected, "for {message}");
            // RFC 6531 requires both extensions.
            for some in [&["m"][..], &["m", SMTPUTF8], &["m", EIGHT_BIT_MIME]] {
                let found = with(some, to, message).err().map(|outcome| outcome.class);
                assert_eq!(found, lack, "for {message} with {some:?}");
            }
        };
        let needed = " SMTPUTF8 BODY=8BITMIME";
        let (of_recipient, of_us) = (OutcomeClass::Rejected, OutcomeClass::Misconfigured);
        check("a@example.com", "To: a\r\n\r\nb", "", None);
        check("é@example.com", "To: é\r\n\r\nb", needed, Some(of_recipient));
        check("é@example.com", "to: é\r\nReply-To: é\r\n\r\nb", needed, Some(of_us));
        check("a@example.com", "From: é\r\nTo: a\r\n\r\nb", needed, Some(of_us));
    }

    #[test]
    fn a_refused_parameter_of_one_recipient_affects_only_that_one() {
        let check = |message: &str, code: u16, expected| {
            let refused =
                Outcome { code: Some(code), ..Outcome::new(OutcomeClass::Misconfigured, "mail") };
            let found = with(ALL, "é@example.com", message).unwrap().refused(refused);
            assert_eq!((found.class, found.scope), expected, "{code} for {message}");
        };
        let of_recipient = (OutcomeClass::Throttled, Scope::SenderOrRecipient);
        let of_us = (OutcomeClass::Misconfigured, Scope::Channel);
        check("To: é\r\n\r\nb", 555, of_recipient);
        check("To: é\r\n\r\nb", 550, of_us);
        check("From: é\r\nTo: é\r\n\r\nb", 555, of_us);
    }
}
