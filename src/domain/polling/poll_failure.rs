//! The failure of polls of an avatar, and the streak of failed polls.

use crate::domain::time::timestamp::Timestamp;

/// The failure of an avatar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PollFailure {
    /// Its kind.
    pub kind: FailureKind,
    /// When it started.
    pub since: Timestamp,
    /// The error text when it started, for people.
    pub reason: String,
}

/// The kinds of failures: the observations without an avatar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The API knows no such avatar.
    Missing,
    /// The key is not accepted.
    Denied,
    /// The API limits the rate.
    Throttled,
    /// No usable response.
    Failed,
}

impl FailureKind {
    /// The word for it in rows and tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Denied => "denied",
            Self::Throttled => "throttled",
            Self::Failed => "failed",
        }
    }

    /// The kind of that word.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Missing, Self::Denied, Self::Throttled, Self::Failed]
            .into_iter()
            .find(|kind| kind.name() == name)
    }
}

/// The consecutive failed polls. It is not kept over a restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FailureStreak {
    /// Their number.
    pub polls: u32,
    /// The number of them that said that there is no such avatar.
    pub missing: u32,
    /// The time of the first; `None` without any.
    pub since: Option<Timestamp>,
}

impl FailureStreak {
    /// The streak with one more failed poll.
    #[must_use]
    pub fn and(self, kind: FailureKind, now: Timestamp) -> Self {
        Self {
            polls: self.polls.saturating_add(1),
            missing: self.missing.saturating_add(u32::from(kind == FailureKind::Missing)),
            since: self.since.or(Some(now)),
        }
    }
}

/// The number of consecutive polls that confirm a failure which may be transient.
pub const CONFIRMED_AFTER: u32 = 3;
