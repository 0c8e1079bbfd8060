//! A transition: an observed change of status; written once, never changed.
//!
//! Polls happen at intervals, so the change happened after [`Transition::last_seen_previous_at`]
//! and not after [`Transition::detected_at`].

use crate::domain::avatar::AvatarId;
use crate::domain::avatar::status::Status;
use crate::domain::avatar::training::Training;
use crate::domain::time::timestamp::Timestamp;

/// One observed change of an avatar's status, or its first poll.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The avatar.
    pub avatar_id: AvatarId,
    /// The sequence number among the transitions of the avatar, from one, without a gap.
    pub sequence: u64,
    /// The status before.
    pub previous: Previous,
    /// For an outcome that did not directly follow `TRAINING`: the evidence of an earlier training,
    /// if any.
    pub earlier: Option<Earlier>,
    /// The training that ended with it, if it was observed.
    pub training: Option<Training>,
    /// The new status.
    pub status: Status,
    /// When the new status was detected.
    pub detected_at: Timestamp,
    /// `updatedAt` of the response with the new status, unchanged.
    pub upstream_updated_at: Option<String>,
}

/// The state before a transition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Previous {
    /// None: the first poll, the baseline for later ones.
    Unknown,
    /// Not observed, but assumed by the config (`assume`).
    Assumed(Status),
    /// Known not to exist: a complete list of the account did not contain it.
    Absent,
    /// Observed.
    Observed {
        /// The status before.
        status: Status,
        /// When it was last observed; after a crash, when that was last written.
        at: Timestamp,
    },
}

/// The evidence of a training that an outcome ended, beyond the status directly before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Earlier {
    /// It was observed; only unrecognized statuses followed before the outcome.
    Observed,
    /// It was assumed by the config, or observed and then reset to `NOT_TRAINED`.
    Assumed,
}

impl Earlier {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Observed => "seen",
            Self::Assumed => "supposed",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
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
    /// Whether the training that ended with this transition was observed.
    pub fn training_observed(&self) -> bool {
        matches!(self.previous, Previous::Observed { status: Status::Training, .. })
            || self.earlier == Some(Earlier::Observed)
    }

    /// When the status before was last observed, if ever.
    pub fn last_seen_previous_at(&self) -> Option<Timestamp> {
        match self.previous {
            Previous::Unknown | Previous::Absent | Previous::Assumed(_) => None,
            Previous::Observed { at, .. } => Some(at),
        }
    }
}
