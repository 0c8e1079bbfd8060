//! Which channels get the events of an avatar, and why; which avatars a channel is for.

use crate::domain::account::AccountName;
use crate::domain::delivery::channel_name::ChannelName;
use crate::domain::routing::facts::AvatarRouting;
use crate::domain::routing::filter::ChannelFilter;
use crate::domain::routing::subscription::RouteDecision;
use crate::domain::routing::table::RoutingTable;
use crate::web::route_view::RouteView;
use crate::web::views::{AvatarView, ChannelView};

/// An avatar with the decision of each channel; `configured` is what the config says of it. An
/// avatar that is not watched has none.
pub(crate) fn with_routes(
    avatar: AvatarView,
    configured: Option<&AvatarRouting>,
    table: &RoutingTable,
) -> AvatarView {
    let account = avatar.account.as_deref().and_then(|name| AccountName::parse(name).ok());
    let discovered = account.as_ref().and_then(|name| table.discovered.get(name));
    let routes = configured.or(discovered.filter(|_| avatar.discovered)).map(|routing| {
        let facts = routing.facts(avatar.name.as_deref(), avatar.model.as_deref());
        let route = |(channel, decision): (&ChannelName, RouteDecision)| RouteView {
            channel: channel.to_string(),
            receives: decision.receives,
            reason: decision.reason,
        };
        table.explain(&facts).into_iter().map(route).collect()
    });
    AvatarView { routes, ..avatar }
}

/// A channel with its `only`.
pub(crate) fn with_only(channel: ChannelView, only: Option<&ChannelFilter>) -> ChannelView {
    let only = only.filter(|only| !only.is_empty()).map(ToString::to_string);
    ChannelView { only, ..channel }
}
