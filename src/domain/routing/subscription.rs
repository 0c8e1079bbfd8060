//! What a channel asks for, and the decision whether it gets an event.

use crate::domain::condition::ConditionSubject;
use crate::domain::delivery::channel_name::ChannelName;
use crate::domain::event::{Event, EventKind, Subject};
use crate::domain::routing::facts::AvatarFacts;
use crate::domain::routing::filter::{ChannelFilter, FilterKey};

/// What a channel asks for.
#[derive(Clone, Copy, Debug)]
pub struct Subscription<'a> {
    /// The channel.
    pub channel: &'a ChannelName,
    /// The kinds of events that it receives.
    pub events: &'a [EventKind],
    /// Whether it receives conditions as well.
    pub operator: bool,
    /// The avatars that it is for.
    pub only: &'a ChannelFilter,
}

/// The same as a value of its own, without the name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChannelRouting {
    /// The kinds of events that it receives.
    pub events: Vec<EventKind>,
    /// Whether it receives conditions as well.
    pub operator: bool,
    /// The avatars that it is for.
    pub only: ChannelFilter,
}

impl ChannelRouting {
    /// The subscription of the channel with that name.
    pub fn of<'a>(&'a self, channel: &'a ChannelName) -> Subscription<'a> {
        let Self { events, operator, only } = self;
        Subscription { channel, events, operator: *operator, only }
    }
}

/// Whether a channel gets the events of an avatar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteDecision {
    /// Whether it gets them.
    pub receives: bool,
    /// Why, in a few words.
    pub reason: String,
}

/// Why a channel does not get the events of an avatar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RouteRefusal {
    /// It gets no events of avatars.
    NoEvents,
    /// The avatar names others.
    NotNamed,
    /// This key of its `only` does not match.
    Only(FilterKey),
}

impl Subscription<'_> {
    /// Whether it gets an event; `avatars` are those that the event is about, none if they are not
    /// known. A condition of several goes to a channel that is for one of them, or may be: the
    /// model is not known then.
    pub fn receives(&self, event: &Event, avatars: &[AvatarFacts<'_>]) -> bool {
        let is_for_one = |matches: &dyn Fn(&AvatarFacts<'_>) -> bool| {
            avatars.is_empty() || avatars.iter().any(matches)
        };
        match &event.subject {
            Subject::Condition(condition) => {
                self.operator
                    && match &condition.subject {
                        ConditionSubject::Avatar { .. } => {
                            is_for_one(&|avatar| self.only.exclusion(avatar).is_none())
                        }
                        // The failure of a channel is reported through the others.
                        ConditionSubject::Channel { name, .. } => name != self.channel,
                        ConditionSubject::Account { .. } | ConditionSubject::Config => true,
                    }
            }
            Subject::DeadLetter(letters) => self.operator && letters.first.channel != *self.channel,
            Subject::Transition { .. } | Subject::Ping { .. } => {
                self.events.contains(&event.kind)
                    && is_for_one(&|avatar| {
                        avatar.names(self.channel) != Some(false) && self.only.accepts(avatar)
                    })
            }
        }
    }

    /// Whether it gets the events of an avatar, and why.
    pub fn explain(&self, avatar: &AvatarFacts<'_>) -> RouteDecision {
        if let Some(refusal) = self.refusal(avatar) {
            return RouteDecision { receives: false, reason: self.reason(refusal, avatar) };
        }
        let named = avatar.names(self.channel).map(|_| "named by the avatar".to_owned());
        let matched = self.only.matched(avatar);
        let reasons: Vec<String> = named.into_iter().chain(matched).collect();
        let reason =
            if reasons.is_empty() { "every avatar".to_owned() } else { reasons.join(", ") };
        RouteDecision { receives: true, reason }
    }

    /// Why it does not get the events of an avatar; `None` when it does.
    pub fn refusal(&self, avatar: &AvatarFacts<'_>) -> Option<RouteRefusal> {
        let only = || self.only.mismatches(avatar).next().map(RouteRefusal::Only);
        self.refusal_by_channels(avatar).or_else(only)
    }

    /// Why it never gets an event of an avatar, as far as the config says. What only a poll shows,
    /// such as the model, may still match.
    pub fn certain_refusal(&self, avatar: &AvatarFacts<'_>) -> Option<RouteRefusal> {
        let only = || self.only.certain_mismatch(avatar).map(RouteRefusal::Only);
        self.refusal_by_channels(avatar).or_else(only)
    }

    fn refusal_by_channels(&self, avatar: &AvatarFacts<'_>) -> Option<RouteRefusal> {
        let is_excluded = avatar.names(self.channel) == Some(false);
        match (self.events.is_empty(), is_excluded) {
            (true, _) => Some(RouteRefusal::NoEvents),
            (false, true) => Some(RouteRefusal::NotNamed),
            (false, false) => None,
        }
    }

    /// A refusal in a few words.
    pub fn reason(&self, refusal: RouteRefusal, avatar: &AvatarFacts<'_>) -> String {
        match refusal {
            RouteRefusal::NoEvents => "gets no events of avatars: its `events` is empty".to_owned(),
            RouteRefusal::NotNamed => "not among the `channels` of the avatar".to_owned(),
            RouteRefusal::Only(key) => self.only.refusal(key, avatar),
        }
    }
}

#[cfg(test)]
#[path = "subscription_tests.rs"]
mod tests;
