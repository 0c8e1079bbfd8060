//! A condition: a state of affairs that is told once when it begins and once when it ends, and
//! is no change of an avatar's status.
//!
//! Conditions go to operators: to the channels that ask to be told about ourselves.

use crate::domain::account::AccountName;
use crate::domain::avatar::AvatarId;
use crate::domain::avatar::status::Status;
use crate::domain::delivery::channel::ChannelName;
use crate::domain::time::timestamp::Timestamp;

/// The beginning or the end of a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Which of the two.
    pub phase: Phase,
    /// When it began, as far as we know.
    pub started_at: Timestamp,
    /// What it is about.
    pub subject: ConditionSubject,
    /// Why it was told, for people; `None` when nobody said.
    pub reason: Option<String>,
}

/// Whether a condition begins or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It holds from now on.
    Started,
    /// It holds no more.
    Resolved,
}

impl Phase {
    /// The word that consumers see.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Started => "firing",
            Self::Resolved => "resolved",
        }
    }
}

/// What a condition is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConditionSubject {
    /// One avatar.
    Avatar {
        /// Which.
        id: AvatarId,
        /// The name that the user gave it, else the one that the API last showed.
        name: Option<String>,
        /// The account that it is watched with.
        account: AccountName,
        /// What it was last seen as; `None` when it never was.
        status: Option<Status>,
    },
    /// One account: everything that is watched with its key.
    Account {
        /// Which.
        name: AccountName,
        /// What keeps it from seeing.
        cause: OutageCause,
    },
    /// The config file and its drop-ins.
    Config,
    /// One channel, or one of its recipients.
    Channel {
        /// Which.
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

/// What keeps a key from seeing anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutageCause {
    /// The API rejects the key.
    KeyRejected,
    /// The API asks for fewer requests, again and again.
    Throttled,
    /// The API cannot be reached.
    Unreachable,
    /// The API answers, and not in a way that can be used.
    InvalidResponse,
    /// This machine lacks what a request takes.
    Local,
}

impl OutageCause {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::KeyRejected, Self::Throttled, Self::Unreachable, Self::InvalidResponse, Self::Local];

    /// The word that consumers see.
    pub const fn name(self) -> &'static str {
        match self {
            Self::KeyRejected => "key_rejected",
            Self::Throttled => "throttled",
            Self::Unreachable => "unreachable",
            Self::InvalidResponse => "unusable",
            Self::Local => "local",
        }
    }

    /// The cause of that word.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.name() == name)
    }
}
