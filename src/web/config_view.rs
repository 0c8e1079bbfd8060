//! Config view: what the web server knows of the active config.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::account::AccountName;
use crate::domain::avatar::AvatarId;
use crate::domain::delivery::channel_name::ChannelName;
use crate::domain::routing::facts::AvatarRouting;
use crate::domain::routing::table::RoutingTable;
use crate::web::http::auth::AccessPolicy;

/// The part of the active config that the web server shows or uses.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConfigView {
    /// The accounts.
    pub accounts: Vec<AccountName>,
    /// Whether `[discover]` is enabled.
    pub discovers: bool,
    /// The configured avatars.
    pub avatars: BTreeMap<AvatarId, AvatarConfig>,
    /// The channels and their kinds, such as `webhook, standard`.
    pub channels: BTreeMap<ChannelName, String>,
    /// Whether one of them is notified when polling or a channel fails.
    pub has_operator: bool,
    /// How events are routed.
    pub routing: RoutingTable,
    /// Whether pages embed pictures instead of linking to them.
    pub thumbnails: bool,
    /// The path below which a proxy serves the page: empty, or like `/argil`.
    pub path_prefix: String,
    /// The access rules.
    pub rules: AccessPolicy,
}

/// A configured avatar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AvatarConfig {
    /// `name` of the config.
    pub label: Option<String>,
    /// The account to poll it with, and what else routing knows of it.
    pub routing: Arc<AvatarRouting>,
}
