//! The name of an account: one API key at Argil, and the workspace that it opens.
//!
//! The account of `[argil]` has a name too, so that every avatar belongs to a named one.

use std::fmt;
use std::sync::Arc;

use crate::domain::id::{NAME_LENGTH_MAX, is_name};

/// An account's name: 1 to 64 of `a-z A-Z 0-9 _ -`. Clones share the text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountName(Arc<str>);

/// The text is not an account name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an account's name is 1 to {NAME_LENGTH_MAX} letters, digits, `_` or `-`")]
pub struct AccountNameError;

impl AccountName {
    /// The name of the default account, `[argil]`.
    pub const DEFAULT: &'static str = "argil";

    /// Parses a name.
    pub fn parse(text: &str) -> Result<Self, AccountNameError> {
        if is_name(text) { Ok(Self(text.into())) } else { Err(AccountNameError) }
    }

    /// Whether it is the default account.
    pub fn is_default(&self) -> bool {
        *self.0 == *Self::DEFAULT
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for AccountName {
    fn default() -> Self {
        Self(Self::DEFAULT.into())
    }
}

impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_plain() {
        for good in ["argil", "second-studio", "A_1"] {
            assert_eq!(AccountName::parse(good).unwrap().as_str(), good);
        }
        assert!(AccountName::default().is_default());
        for bad in ["", "a b", "a.b", "é", &"x".repeat(65)] {
            assert_eq!(AccountName::parse(bad), Err(AccountNameError), "for `{bad}`");
        }
    }
}
