//! A transition: a change of status that was observed; written once, never changed.
//!
//! We look from time to time, so a transition knows an interval, not an instant: it happened
//! after [`Transition::last_seen_previous_at`] and not after [`Transition::detected_at`].

use crate::domain::avatar::AvatarId;
use crate::domain::avatar::status::Status;
use crate::domain::time::timestamp::Timestamp;

/// One observed change of one avatar's status, or the first sight of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// Whose status changed.
    pub avatar_id: AvatarId,
    /// The number of this transition among those of the avatar, from one, without a gap.
    pub sequence: u64,
    /// What it was before.
    pub previous: Previous,
    /// For an outcome that did not come straight from `TRAINING`: the training before, if one is
    /// known of.
    pub earlier: Option<Earlier>,
    /// What it is now.
    pub status: Status,
    /// When we saw the new status.
    pub detected_at: Timestamp,
    /// `updatedAt` of the answer that showed the new status, as it came.
    pub upstream_updated_at: Option<String>,
}

/// Where a transition came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Previous {
    /// First sight: the baseline that later looks are compared with.
    Unknown,
    /// Never seen by us: the registration said so (`assume`).
    Assumed(Status),
    /// Known not to have been there: a whole list of the account lacked it.
    Absent,
    /// Seen by us.
    Observed {
        /// The status before.
        status: Status,
        /// When we last saw it; after a hard stop, when we last wrote that down.
        at: Timestamp,
    },
}

/// What is known of a training that an outcome ended, beyond the status right before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Earlier {
    /// We saw it; between it and the outcome were only statuses that nobody knows.
    Observed,
    /// It was registered as under way, or seen and then reset to `NOT_TRAINED`.
    Assumed,
}

impl Earlier {
    /// The word for it in rows.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Observed => "seen",
            Self::Assumed => "supposed",
        }
    }

    /// What that word says.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Observed, Self::Assumed].into_iter().find(|it| it.name() == name)
    }
}

impl Previous {
    /// The status before, if there was one.
    pub fn status(&self) -> Option<&Status> {
        match self {
            Self::Unknown | Self::Absent => None,
            Self::Assumed(status) | Self::Observed { status, .. } => Some(status),
        }
    }
}

impl Transition {
    /// Whether we ourselves saw the training that ended with this transition.
    pub fn training_observed(&self) -> bool {
        matches!(self.previous, Previous::Observed { status: Status::Training, .. })
            || self.earlier == Some(Earlier::Observed)
    }

    /// When we last saw the status before, if we ever did.
    pub fn last_seen_previous_at(&self) -> Option<Timestamp> {
        match self.previous {
            Previous::Unknown | Previous::Absent | Previous::Assumed(_) => None,
            Previous::Observed { at, .. } => Some(at),
        }
    }
}
