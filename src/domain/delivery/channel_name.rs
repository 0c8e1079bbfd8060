//! The name of a channel, as set in the config.

use std::fmt;
use std::sync::Arc;

use crate::domain::id::{NAME_LENGTH_MAX, is_name};

/// A channel's name: 1 to 64 of `a-z A-Z 0-9 _ -`. Clones share the text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelName(Arc<str>);

/// The text is not a channel name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a channel's name is 1 to {NAME_LENGTH_MAX} letters, digits, `_` or `-`")]
pub struct ChannelNameError;

impl ChannelName {
    /// Parses a name.
    pub fn parse(text: &str) -> Result<Self, ChannelNameError> {
        if is_name(text) { Ok(Self(text.into())) } else { Err(ChannelNameError) }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which responses of a chat service count as delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Accepts {
    /// The known responses of the service.
    #[default]
    Known,
    /// Every 2xx.
    AnySuccess,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_plain() {
        for good in ["ops", "studio-mail", "A_1"] {
            assert_eq!(ChannelName::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "a b", "a.b", "é", &"x".repeat(65)] {
            assert_eq!(ChannelName::parse(bad), Err(ChannelNameError), "for `{bad}`");
        }
    }
}
