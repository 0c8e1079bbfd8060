//! A bare e-mail address, checked once at the edge.
//!
//! Only the form is checked (RFC 5321, section 4.1.2, with a domain): nobody is asked whether
//! it exists. Display names do not belong here.

use std::fmt;
use std::str::FromStr as _;

use email_address::EmailAddress;

/// An address such as `studio@example.com`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MailAddress(EmailAddress);

/// Why a text is no address; the text says what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct MailAddressError(String);

impl MailAddress {
    /// Checks and takes an address.
    ///
    /// # Errors
    /// When the text is not `local@domain`, or carries a display name or control characters.
    pub fn parse(text: &str) -> Result<Self, MailAddressError> {
        if text.chars().any(char::is_control) || text.contains('<') || text.contains('>') {
            return Err(MailAddressError(BARE.to_owned()));
        }
        let address = EmailAddress::from_str(text)
            .map_err(|error| MailAddressError(format!("not an e-mail address: {error}")))?;
        Ok(Self(address))
    }

    /// The whole address.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// What stands behind the `@`.
    pub fn domain(&self) -> &str {
        self.0.domain()
    }
}

impl fmt::Display for MailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

const BARE: &str = "it has a name, brackets or control characters in it";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bare_addresses_are_taken() {
        let check = |text: &str, good: bool| {
            assert_eq!(MailAddress::parse(text).is_ok(), good, "for `{text}`");
        };
        check("studio@example.com", true);
        check("a.b+c@mail.example", true);
        check("studio@localhost", true);
        check("studio", false);
        check("@example.com", false);
        check("Studio <studio@example.com>", false);
        check("a@example.com\r\nBcc: b@example.com", false);
        check("", false);
    }
}
