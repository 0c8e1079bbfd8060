//! Which channels get the events of an avatar, and why; which avatars a channel is for.

use crate::domain::account::AccountName;
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

/// The polled avatars that reach none of the channels.
pub(crate) fn unreached<'c>(
    avatars: &[AvatarView],
    configured: impl Fn(&str) -> Option<&'c AvatarRouting>,
    table: &RoutingTable,
) -> UnreachedAvatars {
    let mut search = UnreachedSearch::new(table);
    for avatar in avatars.iter().filter(|it| it.is_watched() && it.status.is_some()) {
        if let Some(routing) = routing_of(avatar, configured(&avatar.id), table) {
            search.check(&avatar.id, avatar.name.as_deref(), avatar.model.as_deref(), routing);
        }
    }
    search.found
}

/// Searches the polled avatars that reach none of the channels.
pub(super) struct UnreachedSearch<'t> {
    table: &'t RoutingTable,
    asked: usize,
    pub(super) found: UnreachedAvatars,
}

impl<'t> UnreachedSearch<'t> {
    pub(super) fn new(table: &'t RoutingTable) -> Self {
        Self { table, asked: 0, found: UnreachedAvatars::default() }
    }

    /// Checks one avatar. One with an empty list of `channels` is meant to reach none, and does not
    /// count.
    pub(super) fn check(
        &mut self,
        id: &str,
        name: Option<&str>,
        model: Option<&str>,
        routing: &AvatarRouting,
    ) {
        let is_intended = routing.channels.as_ref().is_some_and(Vec::is_empty);
        if is_intended || self.table.channels.is_empty() {
            return;
        }
        if self.asked > CHECKS_MAX {
            self.found.is_complete = false;
            return;
        }
        let (is_reached, count) = self.table.reaches(&routing.facts(name, model).polled(true));
        self.asked += count;
        if is_reached {
            self.found.others_are_reached = true;
        } else {
            self.found.add(id, name);
        }
    }
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
