//! All channels of a config, to explain which of them an avatar reaches.

use std::collections::BTreeMap;

use crate::domain::account::AccountName;
use crate::domain::delivery::channel_name::ChannelName;
use crate::domain::routing::facts::{AvatarFacts, AvatarRouting};
use crate::domain::routing::subscription::{ChannelRouting, RouteDecision};

/// What a config says about routing, besides what it says of each configured avatar.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoutingTable {
    /// The channels.
    pub channels: BTreeMap<ChannelName, ChannelRouting>,
    /// What it says of the avatars that are discovered in an account.
    pub discovered: BTreeMap<AccountName, AvatarRouting>,
}

impl RoutingTable {
    /// Whether a channel gets the events of an avatar, and how many channels were asked.
    pub fn reaches(&self, avatar: &AvatarFacts<'_>) -> (bool, usize) {
        let mut asked = 0;
        let is_reached = self.channels.iter().any(|(name, it)| {
            asked += 1;
            it.of(name).refusal(avatar).is_none()
        });
        (is_reached, asked)
    }

    /// The decision of each channel about an avatar, in the order of their names.
    pub fn explain(&self, avatar: &AvatarFacts<'_>) -> Vec<(&ChannelName, RouteDecision)> {
        let decision = |(name, it): (_, &ChannelRouting)| (name, it.of(name).explain(avatar));
        self.channels.iter().map(decision).collect()
    }
}
