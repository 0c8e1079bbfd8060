//! An open training: it is carried through unrecognized statuses and resets to `NOT_TRAINED`, until
//! one of the three outcomes ends it.

use crate::domain::avatar::status::Status;
use crate::domain::avatar::training::TrainingStart;
use crate::domain::avatar::transition::{Earlier, Previous};
use crate::domain::time::timestamp::Timestamp;

/// A training that started before the current status and has not reached one of the three outcomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenTraining {
    /// Observed, and followed by unrecognized statuses only.
    Observed {
        /// When it started.
        start: TrainingStart,
        /// When it was last observed in `TRAINING`.
        last_seen_at: Timestamp,
    },
    /// Assumed by the config (`assume`), or observed and then reset to `NOT_TRAINED`: its outcome
    /// is not that of an observed training.
    Assumed,
}

impl OpenTraining {
    /// The open training after a transition from `previous`, which started as `start` says, to
    /// `status`; `open` is the one before.
    pub fn after(
        open: Option<Self>,
        previous: &Previous,
        start: Option<TrainingStart>,
        status: &Status,
    ) -> Option<Self> {
        let open = match previous {
            Previous::Observed { status: Status::Training, at } => {
                let begun = match open {
                    Some(Self::Observed { start, .. }) => start,
                    Some(Self::Assumed) | None => {
                        start.unwrap_or(TrainingStart { after: None, before: *at })
                    }
                };
                Some(Self::Observed { start: begun, last_seen_at: *at })
            }
            Previous::Assumed(Status::Training) => Some(Self::Assumed),
            Previous::Observed { .. }
            | Previous::Assumed(_)
            | Previous::Absent
            | Previous::Unknown => open,
        };
        match (status, open) {
            (Status::Unrecognized(_), open) => open,
            // It continues; an observed training replaces an assumed one.
            (Status::Training, Some(Self::Observed { .. })) => open,
            (Status::NotTrained, Some(_)) => Some(Self::Assumed),
            (Status::Training | Status::NotTrained, Some(Self::Assumed) | None)
            | (Status::Idle | Status::TrainingFailed | Status::Refused, _) => None,
        }
    }

    /// The evidence that a transition records.
    pub const fn evidence(self) -> Earlier {
        match self {
            Self::Observed { .. } => Earlier::Observed,
            Self::Assumed => Earlier::Assumed,
        }
    }
}
