//! The name of an additional header for the requests of a webhook.
//!
//! Names that the protocol, the signature or the HTTP client uses are rejected: such a header could
//! change how a request is interpreted.

use std::fmt;

/// A name in lower case, fit for a header (RFC 9110, section 5.1), and not reserved.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CustomHeaderName(String);

/// Why a name is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CustomHeaderNameError {
    /// Not a valid header name.
    #[error("a name has letters, digits and `-`, and at most {LENGTH_MAX} of them")]
    Malformed,
    /// Reserved.
    #[error("remove it: the request has its own")]
    Reserved,
}

impl CustomHeaderName {
    /// Parses a name; converts it to lower case.
    pub fn parse(text: &str) -> Result<Self, CustomHeaderNameError> {
        let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        if text.is_empty() || text.len() > LENGTH_MAX || !text.bytes().all(is_token) {
            return Err(CustomHeaderNameError::Malformed);
        }
        let name = text.to_ascii_lowercase();
        let begins = |prefix: &&str| name.starts_with(*prefix);
        if RESERVED.contains(&name.as_str()) || RESERVED_PREFIXES.iter().any(begins) {
            return Err(CustomHeaderNameError::Reserved);
        }
        Ok(Self(name))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CustomHeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

const LENGTH_MAX: usize = 64;
const RESERVED_PREFIXES: [&str; 3] = ["webhook-", "content-", "proxy-"];
const RESERVED: [&str; 9] = [
    "host",
    "connection",
    "transfer-encoding",
    "user-agent",
    "te",
    "trailer",
    "upgrade",
    "keep-alive",
    "expect",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_taken_in_lower_case_or_refused() {
        let check = |text: &str, expected: Result<&str, CustomHeaderNameError>| {
            let read = CustomHeaderName::parse(text);
            let read = read.as_ref().map(CustomHeaderName::as_str);
            assert_eq!(read.map_err(|error| *error), expected, "for {text:?}");
        };
        check("X-Team", Ok("x-team"));
        check("authorization", Ok("authorization"));
        check("te-am", Ok("te-am"));
        check("hosts", Ok("hosts"));
        for text in ["", "x team", "x:team", "x\r\ny", "täam", "x\0", &"x".repeat(65)] {
            check(text, Err(CustomHeaderNameError::Malformed));
        }
        for text in [
            "webhook-id",
            "Webhook-Anything",
            "content-type",
            "Content-Length",
            "proxy-authorization",
            "Host",
            "connection",
            "transfer-encoding",
            "user-agent",
            "TE",
            "trailer",
            "upgrade",
            "keep-alive",
            "expect",
        ] {
            check(text, Err(CustomHeaderNameError::Reserved));
        }
    }
}
