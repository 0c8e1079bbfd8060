//! The extensions in the reply to EHLO, case-insensitive (RFC 5321, section 4.1.1.1).

use std::collections::BTreeSet;

use crate::notify::email::smtp::reply::Reply;
use crate::text::sanitize::sanitize_line;

#[derive(Default)]
pub(in crate::notify::email) struct Extensions {
    words: BTreeSet<String>,
    mechanisms: BTreeSet<String>,
}

impl Extensions {
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
