//! An event: a notification about a transition or a condition. This file decides which transitions
//! are events, and their names. One transition makes at most one event, so an id belongs to one
//! message.

use std::fmt;

use crate::domain::avatar::status::Status;
use crate::domain::avatar::transition::{Previous, Transition};
use crate::domain::avatar::{Avatar, AvatarId};
use crate::domain::condition::{Condition, ConditionSubject};
use crate::domain::delivery::channel_name::ChannelName;
use crate::domain::delivery::dead_letter::DeadLetterGroup;
use crate::domain::delivery::recipient_health::masked;
use crate::domain::id::EventId;
use crate::domain::ordering_key::OrderingKey;
use crate::domain::time::timestamp::Timestamp;

/// The kind of an event; the `type` of its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventKind {
    /// `avatar.ready`: it became `IDLE`.
    AvatarReady,
    /// `avatar.training_failed`: it became `TRAINING_FAILED`.
    AvatarTrainingFailed,
    /// `avatar.refused`: it became `REFUSED`.
    AvatarRefused,
    /// `avatar.status_changed`: any other change; only for channels that ask for it.
    AvatarStatusChanged,
    /// `avatar.missing`: the API says that there is no such avatar.
    AvatarMissing,
    /// `avatar.unreachable`: polls of this avatar fail, while others of the account succeed.
    AvatarUnreachable,
    /// `avatar.training_overdue`: it has been in training for longer than it should.
    AvatarTrainingOverdue,
    /// `avatar.status_unrecognized`: the API shows it in a status that this version does not know.
    AvatarStatusUnrecognized,
    /// `account.unavailable`: no poll with the key succeeds.
    AccountUnavailable,
    /// `config.rejected`: a reload was rejected.
    ConfigRejected,
    /// `channel.failing`: deliveries to a channel fail.
    ChannelFailing,
    /// `channel.disabled`: nothing is sent to a channel until an operator enables it.
    ChannelDisabled,
    /// `delivery.exhausted`: a delivery became a dead letter.
    DeliveryExhausted,
    /// `test.ping`: a test, sent manually.
    TestPing,
}

impl EventKind {
    /// All kinds that a channel can ask for in its `events`, in reading order.
    pub const SELECTABLE: [Self; 4] = [
        Self::AvatarReady,
        Self::AvatarTrainingFailed,
        Self::AvatarRefused,
        Self::AvatarStatusChanged,
    ];

    /// The kinds that are sent only to operator channels.
    pub const OPERATIONAL: [Self; 9] = [
        Self::AvatarMissing,
        Self::AvatarUnreachable,
        Self::AvatarTrainingOverdue,
        Self::AvatarStatusUnrecognized,
        Self::AccountUnavailable,
        Self::ConfigRejected,
        Self::ChannelFailing,
        Self::ChannelDisabled,
        Self::DeliveryExhausted,
    ];

    /// The kinds that a channel gets without `events`.
    pub const DEFAULT: [Self; 3] =
        [Self::AvatarReady, Self::AvatarTrainingFailed, Self::AvatarRefused];

    /// The dotted name that consumers see.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AvatarReady => "avatar.ready",
            Self::AvatarTrainingFailed => "avatar.training_failed",
            Self::AvatarRefused => "avatar.refused",
            Self::AvatarStatusChanged => "avatar.status_changed",
            Self::AvatarMissing => "avatar.missing",
            Self::AvatarUnreachable => "avatar.unreachable",
            Self::AvatarTrainingOverdue => "avatar.training_overdue",
            Self::AvatarStatusUnrecognized => "avatar.status_unrecognized",
            Self::AccountUnavailable => "account.unavailable",
            Self::ConfigRejected => "config.rejected",
            Self::ChannelFailing => "channel.failing",
            Self::ChannelDisabled => "channel.disabled",
            Self::DeliveryExhausted => "delivery.exhausted",
            Self::TestPing => "test.ping",
        }
    }

    /// The condition of that name; `None` for a name that is no condition.
    pub(crate) fn condition_from_name(name: &str) -> Option<Self> {
        Self::OPERATIONAL.into_iter().find(|kind| kind.name() == name)
    }

    /// The event of a transition, if any; `None` for the first poll.
    ///
    /// With `infer_unseen_training`, a settled avatar is an event even if its training was not
    /// observed: short trainings begin and end between two polls. Without it, only an observed
    /// training counts, directly before or with unrecognized statuses in between.
    pub fn of(transition: &Transition, infer_unseen_training: bool) -> Option<Self> {
        let trained = match &transition.previous {
            Previous::Unknown => return None,
            Previous::Absent => false,
            Previous::Assumed(status) | Previous::Observed { status, .. } => {
                *status == Status::Training || transition.earlier.is_some()
            }
        };
        let settled = match transition.status {
            Status::Idle => Some(Self::AvatarReady),
            Status::TrainingFailed => Some(Self::AvatarTrainingFailed),
            Status::Refused => Some(Self::AvatarRefused),
            Status::NotTrained | Status::Training | Status::Unrecognized(_) => None,
        };
        let counts = infer_unseen_training || trained;
        Some(settled.filter(|_| counts).unwrap_or(Self::AvatarStatusChanged))
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An event with its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The id, the same in every attempt and every channel.
    pub id: EventId,
    /// Its kind.
    pub kind: EventKind,
    /// When it happened: for a transition, when it was detected.
    pub occurred_at: Timestamp,
    /// What it is about.
    pub subject: Subject,
}

impl Event {
    /// The ordering key of its deliveries; a recipient is masked.
    pub fn ordering_key(&self) -> OrderingKey {
        match &self.subject {
            Subject::Transition { transition, .. } => {
                OrderingKey::Avatar(transition.avatar_id.clone())
            }
            Subject::Condition(condition) => match &condition.subject {
                // The members of a group may be resolved in another one.
                ConditionSubject::Avatar { account, .. } => OrderingKey::account(account),
                ConditionSubject::Account { name, .. } => OrderingKey::account(name),
                ConditionSubject::Config => OrderingKey::config(),
                ConditionSubject::Channel { name, recipient: None } => OrderingKey::channel(name),
                ConditionSubject::Channel { name, recipient: Some(to) } => {
                    OrderingKey::recipient(name, &masked(to))
                }
            },
            Subject::DeadLetter(letter) => OrderingKey::channel(&letter.first.channel),
            Subject::Ping { channel } => OrderingKey::channel(channel),
        }
    }

    /// The avatar that it is about, if it is about one.
    pub fn avatar_id(&self) -> Option<&AvatarId> {
        match &self.subject {
            Subject::Transition { transition, .. } => Some(&transition.avatar_id),
            Subject::Condition(condition) => match &condition.subject {
                ConditionSubject::Avatar { id, group, .. } if group.other_count == 0 => Some(id),
                ConditionSubject::Avatar { .. }
                | ConditionSubject::Account { .. }
                | ConditionSubject::Config
                | ConditionSubject::Channel { .. } => None,
            },
            Subject::DeadLetter(_) | Subject::Ping { .. } => None,
        }
    }

    /// As [`Self::avatar_id`]; of a dead letter, the avatar of the event that was not delivered.
    pub fn related_avatar(&self) -> Option<&str> {
        match &self.subject {
            Subject::DeadLetter(letters) if letters.other_count == 0 => {
                letters.first.avatar_id.as_deref()
            }
            Subject::DeadLetter(_) => None,
            Subject::Transition { .. } | Subject::Condition(_) | Subject::Ping { .. } => {
                self.avatar_id().map(AvatarId::as_str)
            }
        }
    }
}

/// What an event is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A transition of an avatar.
    Transition {
        /// The avatar as the response showed it, with the name that the user gave it, if any.
        avatar: Box<Avatar>,
        /// What changed.
        transition: Box<Transition>,
    },
    /// The start or the end of a condition.
    Condition(Box<Condition>),
    /// Failed deliveries of one channel.
    DeadLetter(Box<DeadLetterGroup>),
    /// A test of a channel.
    Ping {
        /// The channel under test.
        channel: ChannelName,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUSES: [&str; 6] =
        ["NOT_TRAINED", "TRAINING", "TRAINING_FAILED", "IDLE", "REFUSED", "SOMETHING_NEW"];

    fn transition(previous: Previous, status: &str) -> Transition {
        Transition {
            avatar_id: AvatarId::parse("a").unwrap(),
            sequence: 2,
            previous,
            earlier: None,
            training: None,
            status: Status::from_name(status),
            detected_at: Timestamp::from_millis(2),
            upstream_updated_at: None,
        }
    }

    fn seen(status: &str) -> Previous {
        Previous::Observed { status: Status::from_name(status), at: Timestamp::from_millis(1) }
    }

    #[test]
    fn every_pair_of_statuses_has_its_event() {
        for from in STATUSES {
            for to in STATUSES.into_iter().filter(|to| *to != from) {
                let settled = match to {
                    "IDLE" => "avatar.ready",
                    "TRAINING_FAILED" => "avatar.training_failed",
                    "REFUSED" => "avatar.refused",
                    _ => "avatar.status_changed",
                };
                let strict = if from == "TRAINING" { settled } else { "avatar.status_changed" };
                let change = transition(seen(from), to);
                let check = |infer, expected: &str| {
                    let kind = EventKind::of(&change, infer).unwrap();
                    assert_eq!(kind.name(), expected, "{from} to {to}, infer {infer}");
                };
                check(true, settled);
                check(false, strict);
                assert_eq!(change.training_observed(), from == "TRAINING");
            }
        }
    }

    #[test]
    fn the_first_poll_makes_no_event() {
        for status in STATUSES {
            assert_eq!(EventKind::of(&transition(Previous::Unknown, status), true), None);
        }
    }

    #[test]
    fn an_assumed_training_is_an_event_but_not_observed() {
        let change = transition(Previous::Assumed(Status::Training), "IDLE");
        assert_eq!(EventKind::of(&change, false), Some(EventKind::AvatarReady));
        assert!(!change.training_observed());
        assert_eq!(change.last_seen_previous_at(), None);
    }
}
