//! The extensions in the reply to EHLO, case-insensitive (RFC 5321, section 4.1.1.1).

use std::collections::BTreeSet;

use crate::notify::email::smtp::reply::Reply;
use crate::text::sanitize::sanitize_line;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::notify::email) struct Extensions {
    words: BTreeSet<String>,
    mechanisms: BTreeSet<String>,
}

impl Extensions {
    /// Parses the reply.
    pub(in crate::notify::email) fn of(reply: &Reply) -> Self {
        let mut offers = Self::default();
        // Some servers omit their name in the first line; a name is not a keyword.
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

    pub(in crate::notify::email) fn has(&self, keyword: &str) -> bool {
        self.words.contains(keyword)
    }

    /// Whether internationalized mail is supported: SMTPUTF8 requires 8BITMIME (RFC 6531, section
    /// 3.1).
    pub(in crate::notify::email) fn support_international(&self) -> bool {
        self.has(SMTPUTF8) && self.has(EIGHT_BIT_MIME)
    }

    /// Whether a SASL mechanism is offered; `name` is in upper case.
    pub(in crate::notify::email) fn has_mechanism(&self, name: &str) -> bool {
        self.mechanisms.contains(name)
    }

    /// The SASL mechanisms, for people.
    pub(in crate::notify::email) fn mechanisms_shown(&self) -> String {
        let names: Vec<&str> = self.mechanisms.iter().map(String::as_str).collect();
        if names.is_empty() {
            "none".to_owned()
        } else {
            sanitize_line(&names.join(", "), SHOWN_MAX)
        }
    }
}

/// RFC 3207.
pub(in crate::notify::email) const STARTTLS: &str = "STARTTLS";
/// RFC 6531.
pub(in crate::notify::email) const SMTPUTF8: &str = "SMTPUTF8";
/// RFC 6152.
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
    fn keywords_are_parsed_in_any_case_and_auth_in_any_form() {
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
