//! Why an avatar cannot be seen just now, and for how long that has been so.

use crate::domain::time::timestamp::Timestamp;

/// Why an avatar cannot be seen, and since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PollFailure {
    /// What kind of trouble.
    pub kind: FailureKind,
    /// When it began.
    pub since: Timestamp,
    /// What was said when it began, for people.
    pub reason: String,
}

/// The kinds of trouble in seeing an avatar: the observations that are no sight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The API knows no such avatar.
    Missing,
    /// The key is not accepted.
    Denied,
    /// The API asks for fewer requests.
    Throttled,
    /// No usable answer.
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

/// The looks in a row that showed no avatar, up to now. It is not kept over a restart: whoever
/// has just begun to look does not judge yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FailureStreak {
    /// How many there were.
    pub polls: u32,
    /// How many of them said that there is no such avatar.
    pub missing: u32,
    /// When the first of them was; `None` when there were none.
    pub since: Option<Timestamp>,
}

impl FailureStreak {
    /// The spell with one more look.
    #[must_use]
    pub fn and(self, kind: FailureKind, now: Timestamp) -> Self {
        Self {
            polls: self.polls.saturating_add(1),
            missing: self.missing.saturating_add(u32::from(kind == FailureKind::Missing)),
            since: self.since.or(Some(now)),
        }
    }
}

/// Looks in a row that confirm what one of them may have shown by accident.
pub const CONFIRMED_AFTER: u32 = 3;
