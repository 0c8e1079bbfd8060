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

/// The phase of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It starts, and lasts.
    Firing,
    /// It ends.
    Resolved,
}

impl Phase {
    /// The name in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Resolved => "resolved",
        }
    }
}

/// The subject of a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConditionSubject {
    /// One avatar.
    Avatar {
        /// The avatar.
        id: AvatarId,
        /// The name that the user gave it, else the one that the API last showed.
        name: Option<String>,
        /// Its account.
        account: AccountName,
        /// The last observed status, if any.
        status: Option<Status>,
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
