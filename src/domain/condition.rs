//! A condition: a state that is reported once when it starts and once when it is resolved, and is
//! not a transition. Conditions are sent to operator channels.

use crate::domain::account::AccountName;
use crate::domain::avatar::AvatarId;
use crate::domain::avatar::status::Status;
use crate::domain::delivery::channel_name::ChannelName;
use crate::domain::time::timestamp::Timestamp;

/// The start or the end of a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Whether it starts or ends.
    pub phase: Phase,
    /// When it started.
    pub started_at: Timestamp,
    /// The subject.
    pub subject: ConditionSubject,
    /// The reason, for people, if known.
    pub reason: Option<String>,
}

/// An avatar of a condition: its id, name, status, and the start of its condition.
pub type ListedAvatar<'a> = (&'a AvatarId, Option<&'a str>, Option<&'a Status>, Timestamp);

impl Condition {
    /// The avatars that its event lists; none if it is not about avatars.
    pub fn listed(&self) -> impl Iterator<Item = ListedAvatar<'_>> {
        let (first, others) = match &self.subject {
            ConditionSubject::Avatar { id, name, status, group, .. } => {
                let since = group.first_started_at.unwrap_or(self.started_at);
                (Some((id, name.as_deref(), status.as_ref(), since)), group.others.as_slice())
            }
            ConditionSubject::Account { .. }
            | ConditionSubject::Config
            | ConditionSubject::Channel { .. } => (None, [].as_slice()),
        };
        let others = others.iter().map(|other| {
            (&other.id, other.name.as_deref(), other.status.as_ref(), other.started_at)
        });
        first.into_iter().chain(others)
    }
}

/// The phase of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It starts, and lasts.
    Firing,
    /// It lasts, and is notified again.
    Reminder,
    /// It ends.
    Resolved,
}

impl Phase {
    /// The name in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Firing | Self::Reminder => "firing",
            Self::Resolved => "resolved",
        }
    }
}

/// The subject of a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConditionSubject {
    /// One avatar, or several of an account, with the first of them.
    Avatar {
        /// The avatar.
        id: AvatarId,
        /// The name that the user gave it, else the one that the API last showed.
        name: Option<String>,
        /// Its account.
        account: AccountName,
        /// The last observed status, if any.
        status: Option<Status>,
        /// The other avatars that it concerns for the same cause.
        group: AvatarGroup,
    },
    /// One account: everything that is watched with its key.
    Account {
        /// The account.
        name: AccountName,
        /// The cause of the outage.
        cause: OutageCause,
    },
    /// The config file and its drop-ins.
    Config,
    /// One channel, or one of its recipients.
    Channel {
        /// The channel.
        name: ChannelName,
        /// The recipient that it is about, if not about all of them.
        recipient: Option<String>,
    },
}

impl ConditionSubject {
    /// The channel that it is about, if it is about one.
    pub const fn channel(&self) -> Option<&ChannelName> {
        match self {
            Self::Channel { name, .. } => Some(name),
            Self::Avatar { .. } | Self::Account { .. } | Self::Config => None,
        }
    }
}

/// What an avatar's condition has in common with those of other avatars, and the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AvatarGroup {
    /// The cause, in addition to the kind: conditions with another one are not in the group.
    pub cause: Option<String>,
    /// When the condition of the first avatar started; `None` is the start of the whole.
    pub first_started_at: Option<Timestamp>,
    /// The others that are listed, at most [`LISTED_MAX`] with the first.
    pub others: Vec<AffectedAvatar>,
    /// The number of others, also of those that are not listed.
    pub other_count: usize,
}

/// Another avatar of a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AffectedAvatar {
    /// The avatar.
    pub id: AvatarId,
    /// Its name.
    pub name: Option<String>,
    /// Its last observed status.
    pub status: Option<Status>,
    /// When the condition of this avatar started.
    pub started_at: Timestamp,
}

/// The most avatars or deliveries that one event lists.
pub const LISTED_MAX: usize = 20;

/// The cause of an outage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutageCause {
    /// The API rejects the key.
    KeyRejected,
    /// The API limits the rate repeatedly.
    Throttled,
    /// The API cannot be reached.
    Unreachable,
    /// The responses of the API are not usable.
    InvalidResponse,
    /// A local resource is missing.
    Local,
}

impl OutageCause {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::KeyRejected, Self::Throttled, Self::Unreachable, Self::InvalidResponse, Self::Local];

    /// The name in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::KeyRejected => "key_rejected",
            Self::Throttled => "throttled",
            Self::Unreachable => "unreachable",
            Self::InvalidResponse => "unusable",
            Self::Local => "local",
        }
    }

    /// The cause as a clause, before the reason in parentheses.
    pub(crate) const fn sentence(self) -> &'static str {
        match self {
            Self::KeyRejected => "Argil rejects its API key",
            Self::Throttled => "Argil limits its requests",
            Self::Unreachable => "the API cannot be reached",
            Self::InvalidResponse => "the API sends no usable responses",
            Self::Local => "this machine lacks a resource",
        }
    }

    /// The cause of that word.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.name() == name)
    }
}
