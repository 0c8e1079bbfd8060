//! Retention: how long rows are kept, and which are old enough to be removed.

use std::time::Duration;

use crate::domain::time::timestamp::Timestamp;

/// The retention periods; `None` is forever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Transitions, since they were detected.
    pub transitions: Option<Duration>,
    /// Deliveries with their attempts and events, since they finished.
    pub deliveries: Option<Duration>,
}

/// The limits for removal; `None` removes nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cutoffs {
    /// Transitions that were detected before it.
    pub transitions_before: Option<Timestamp>,
    /// Deliveries that finished before it.
    pub deliveries_before: Option<Timestamp>,
}

impl Retention {
    pub fn cutoffs(self, now: Timestamp) -> Cutoffs {
        Cutoffs {
            transitions_before: self.transitions.map(|age| now.minus(age)),
            deliveries_before: self.deliveries.map(|age| now.minus(age)),
        }
    }
}

impl Cutoffs {
    pub fn is_none(self) -> bool {
        self == Self::default()
    }
}
