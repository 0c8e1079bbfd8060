//! The ordering key of a delivery: what its event is about, as text. Within one channel and
//! recipient, deliveries with the same key are sent in order.

use std::fmt;

use crate::domain::account::AccountName;
use crate::domain::avatar::AvatarId;
use crate::domain::delivery::channel_name::ChannelName;

/// The key; as text, an avatar's id or words with a blank, which no id has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OrderingKey {
    /// One avatar.
    Avatar(AvatarId),
    /// Anything else, such as `account argil`.
    Other(String),
}

impl OrderingKey {
    pub(crate) fn account(name: &AccountName) -> Self {
        Self::Other(format!("account {name}"))
    }

    pub(crate) fn channel(name: &ChannelName) -> Self {
        Self::Other(format!("channel {name}"))
    }

    pub(crate) fn recipient(channel: &ChannelName, address: &str) -> Self {
        Self::Other(format!("channel {channel} to {address}"))
    }

    pub(crate) fn config() -> Self {
        Self::Other("the config".to_owned())
    }

    /// The key with that text.
    pub fn from_text(text: &str) -> Self {
        AvatarId::parse(text).map_or_else(|_| Self::Other(text.to_owned()), Self::Avatar)
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Avatar(id) => id.as_str(),
            Self::Other(words) => words,
        }
    }

    /// The avatar, if it is the key of one.
    pub const fn avatar_id(&self) -> Option<&AvatarId> {
        match self {
            Self::Avatar(id) => Some(id),
            Self::Other(_) => None,
        }
    }
}

impl fmt::Display for OrderingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_keeps_its_meaning_as_text() {
        let channel = ChannelName::parse("ops").unwrap();
        for (key, text) in [
            (OrderingKey::Avatar(AvatarId::parse("a1").unwrap()), "a1"),
            (OrderingKey::account(&AccountName::default()), "account argil"),
            (OrderingKey::channel(&channel), "channel ops"),
            (OrderingKey::recipient(&channel, "jo@a.example"), "channel ops to jo@a.example"),
            (OrderingKey::config(), "the config"),
        ] {
            assert_eq!(key.as_str(), text);
            assert_eq!(OrderingKey::from_text(text), key);
        }
    }
}
