//! Which channels get the events of an avatar, and why; which avatars a channel is for.

use crate::domain::account::AccountName;
use crate::domain::avatar::AvatarId;
use crate::domain::delivery::channel_name::ChannelName;
use crate::domain::routing::facts::{AvatarFacts, AvatarRouting};
use crate::domain::routing::filter::ChannelFilter;
use crate::domain::routing::subscription::RouteDecision;
use crate::domain::routing::table::RoutingTable;
use crate::domain::unreached_avatars::UnreachedAvatars;
use crate::web::route_view::RouteView;
use crate::web::views::{AvatarView, ChannelView};

/// An avatar with the decision of each channel; `configured` is what the config says of it. An
/// avatar that is not watched has none.
pub(crate) fn with_routes(
    avatar: AvatarView,
    configured: Option<&AvatarRouting>,
    table: &RoutingTable,
) -> AvatarView {
    let routes = routing_of(&avatar, configured, table).map(|routing| {
        let route = |(channel, decision): (&ChannelName, RouteDecision)| RouteView {
            channel: channel.to_string(),
            receives: decision.receives,
            reason: decision.reason,
        };
        table.explain(&facts(&avatar, routing)).into_iter().map(route).collect()
    });
    AvatarView { routes, ..avatar }
}

/// The polled avatars that reach none of the channels. One with an empty list of `channels` is
/// meant to, and does not count.
pub(crate) fn unreached<'c>(
    avatars: &[AvatarView],
    configured: impl Fn(&AvatarId) -> Option<&'c AvatarRouting>,
    table: &RoutingTable,
) -> UnreachedAvatars {
    let mut found = UnreachedAvatars::default();
    let mut asked = 0;
    let polled = avatars.iter().filter(|avatar| avatar.is_watched() && avatar.status.is_some());
    for avatar in polled.filter(|_| !table.channels.is_empty()) {
        let configured = AvatarId::parse(&avatar.id).ok().and_then(|id| configured(&id));
        let Some(routing) = routing_of(avatar, configured, table) else { continue };
        if routing.channels.as_ref().is_some_and(Vec::is_empty) {
            continue;
        }
        if asked > CHECKS_MAX {
            found.is_complete = false;
            break;
        }
        let (is_reached, count) = table.reaches(&facts(avatar, routing));
        asked += count;
        if is_reached {
            found.others_are_reached = true;
        } else {
            found.add(&avatar.id, avatar.name.as_deref());
        }
    }
    found
}

fn routing_of<'r>(
    avatar: &AvatarView,
    configured: Option<&'r AvatarRouting>,
    table: &'r RoutingTable,
) -> Option<&'r AvatarRouting> {
    let discovered = || {
        let account = avatar.account.as_deref().filter(|_| avatar.discovered)?;
        table.discovered.get(&AccountName::parse(account).ok()?)
    };
    configured.or_else(discovered)
}

fn facts<'a>(avatar: &'a AvatarView, routing: &'a AvatarRouting) -> AvatarFacts<'a> {
    let facts = routing.facts(avatar.name.as_deref(), avatar.model.as_deref());
    facts.polled(avatar.status.is_some())
}

/// A channel with its `only`.
pub(crate) fn with_only(channel: ChannelView, only: Option<&ChannelFilter>) -> ChannelView {
    let only = only.filter(|only| !only.is_empty()).map(ToString::to_string);
    ChannelView { only, ..channel }
}

/// The maximum number of decisions for one answer, so that it stays fast.
const CHECKS_MAX: usize = 100_000;
