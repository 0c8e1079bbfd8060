//! What routing knows of an avatar.

use std::collections::BTreeSet;

use crate::domain::account::AccountName;
use crate::domain::delivery::channel_name::ChannelName;
use crate::domain::routing::tag::Tag;

/// What the config says of an avatar.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct AvatarRouting {
    /// Its account.
    pub account: AccountName,
    /// Its tags, with those of its account.
    pub tags: BTreeSet<Tag>,
    /// The channels that it names; `None` for all.
    pub channels: Option<Vec<ChannelName>>,
}

/// What is known of an avatar at this time.
#[derive(Clone, Copy, Debug)]
pub struct AvatarFacts<'a> {
    /// Its account.
    pub account: &'a AccountName,
    /// Its tags, with those of its account.
    pub tags: &'a BTreeSet<Tag>,
    /// The channels that it names; `None` for all.
    pub channels: Option<&'a [ChannelName]>,
    /// The name in messages; `None` when it is not known.
    pub name: Option<&'a str>,
    /// The model in the last response; `None` when it is not known.
    pub model: Option<&'a str>,
    /// Whether a poll showed it: then, what is not known was not in the response.
    pub is_polled: bool,
}

impl AvatarRouting {
    /// The facts of an avatar with this name and model.
    pub fn facts<'a>(&'a self, name: Option<&'a str>, model: Option<&'a str>) -> AvatarFacts<'a> {
        let Self { account, tags, channels } = self;
        AvatarFacts { account, tags, channels: channels.as_deref(), name, model, is_polled: false }
    }
}

impl AvatarFacts<'_> {
    /// The same, and whether a poll showed the avatar.
    #[must_use]
    pub const fn polled(self, is_polled: bool) -> Self {
        Self { is_polled, ..self }
    }

    /// Whether it names a channel; `None` when it names none.
    pub fn names(&self, channel: &ChannelName) -> Option<bool> {
        self.channels.map(|channels| channels.contains(channel))
    }
}
