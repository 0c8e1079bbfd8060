//! What a mail server offers: its reply to EHLO, read without regard to case (RFC 5321, section
//! 4.1.1.1).

use std::collections::BTreeSet;

use crate::notify::email::smtp::reply::Reply;
use crate::text::sanitize::sanitize_line;

/// The extensions that were offered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::notify::email) struct Extensions {
    words: BTreeSet<String>,
    mechanisms: BTreeSet<String>,
}

impl Extensions {
    /// Reads what stands behind the name of the server.
    pub(in crate::notify::email) fn of(reply: &Reply) -> Self {
        let mut offers = Self::default();
        // Nobody forbids a server to leave its name out, and a name is no keyword that we know.
        for line in &reply.lines {
            let mut words = line.split([' ', '\t', '=']).filter(|word| !word.is_empty());
            let Some(keyword) = words.next().map(str::to_ascii_uppercase) else { continue };
            if keyword == AUTH {
                offers.mechanisms.extend(words.map(str::to_ascii_uppercase));
            }
            offers.words.insert(keyword);
        }
        offers
    }

    /// Whether an extension is among them.
    pub(in crate::notify::email) fn has(&self, keyword: &str) -> bool {
        self.words.contains(keyword)
    }

    /// Whether mails with addresses or headers in other scripts are taken: whoever offers SMTPUTF8
    /// has to offer 8BITMIME too (RFC 6531, section 3.1), without which such a mail cannot be sent.
    pub(in crate::notify::email) fn take_international(&self) -> bool {
        self.has(SMTPUTF8) && self.has(EIGHT_BIT_MIME)
    }

    /// Whether a way of logging in is among them, by its name in capitals.
    pub(in crate::notify::email) fn has_mechanism(&self, name: &str) -> bool {
        self.mechanisms.contains(name)
    }

    /// The ways of logging in, for people.
    pub(in crate::notify::email) fn mechanisms_shown(&self) -> String {
        let names: Vec<&str> = self.mechanisms.iter().map(String::as_str).collect();
        if names.is_empty() {
            "none".to_owned()
        } else {
            sanitize_line(&names.join(", "), SHOWN_MAX)
        }
    }
}

/// The extension that turns to TLS (RFC 3207).
pub(in crate::notify::email) const STARTTLS: &str = "STARTTLS";
/// The extension for addresses in other scripts (RFC 6531).
pub(in crate::notify::email) const SMTPUTF8: &str = "SMTPUTF8";
/// The extension for bodies that are not ASCII (RFC 6152).
pub(in crate::notify::email) const EIGHT_BIT_MIME: &str = "8BITMIME";
const AUTH: &str = "AUTH";
const SHOWN_MAX: usize = 120;

#[cfg(test)]
mod tests {
    use super::*;

    fn offers(lines: &[&str]) -> Extensions {
        Extensions::of(&Reply {
            code: 250,
            lines: lines.iter().map(|&line| line.to_owned()).collect(),
        })
    }

    #[test]
    fn keywords_are_known_in_every_case_and_auth_in_every_form() {
        for lines in [
            &["mail.example", "STARTTLS", "AUTH PLAIN LOGIN", "SMTPUTF8"][..],
            &["mail.example", "starttls", "auth plain login", "smtputf8"],
            &["mail.example", "StartTLS", "AUTH=PLAIN", "Auth=Login", "SMTPUTF8"],
            &["STARTTLS", "AUTH\tPLAIN\t LOGIN ", "AUTH=LOGIN PLAIN", "SMTPUTF8 x"],
        ] {
            let offers = offers(lines);
            assert!(offers.has("STARTTLS") && offers.has("SMTPUTF8"), "{offers:?}");
            assert!(offers.has_mechanism("PLAIN") && offers.has_mechanism("LOGIN"), "{offers:?}");
            assert!(!offers.has("8BITMIME") && !offers.has_mechanism("XOAUTH2"));
            assert_eq!(offers.mechanisms_shown(), "LOGIN, PLAIN");
        }
        let none = offers(&["mail.example", "AUTH", "XSTARTTLS", "AUTHX PLAIN"]);
        assert!(!none.has("STARTTLS") && !none.has_mechanism("PLAIN"));
        assert_eq!(none.mechanisms_shown(), "none");
    }
}
