//! What a channel asks for, and the decision whether it gets an event.

use crate::domain::condition::ConditionSubject;
use crate::domain::delivery::channel_name::ChannelName;
use crate::domain::event::{Event, EventKind, Subject};
use crate::domain::routing::facts::AvatarFacts;
use crate::domain::routing::filter::ChannelFilter;

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
        let no = |reason: String| RouteDecision { receives: false, reason };
        if self.events.is_empty() {
            return no("gets no events of avatars: its `events` is empty".to_owned());
        }
        let named = avatar.names(self.channel);
        if named == Some(false) {
            return no("not among the `channels` of the avatar".to_owned());
        }
        if let Some(key) = self.only.mismatches(avatar).next() {
            return no(self.only.refusal(key, avatar));
        }
        let named = named.is_some().then(|| "named by the avatar".to_owned());
        let matched = self.only.matched(avatar);
        let reasons: Vec<String> = named.into_iter().chain(matched).collect();
        let reason =
            if reasons.is_empty() { "every avatar".to_owned() } else { reasons.join(", ") };
        RouteDecision { receives: true, reason }
    }

    /// Whether it never gets an event of an avatar, as far as the config says. What only a poll
    /// shows, such as the model, may still match.
    pub fn never_receives(&self, avatar: &AvatarFacts<'_>) -> bool {
        self.events.is_empty()
            || avatar.names(self.channel) == Some(false)
            || self.only.exclusion(avatar).is_some()
    }
}

#[cfg(test)]
#[path = "subscription_tests.rs"]
mod tests;
