//! How long the past is kept: what is so old that it may go.

use std::time::Duration;

use crate::domain::time::timestamp::Timestamp;

/// How long the past is kept; `None` is for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Changes of status, from when they were seen.
    pub transitions: Option<Duration>,
    /// Deliveries with their tries and events, from when they ended.
    pub deliveries: Option<Duration>,
}

/// What is so old that it may go; `None` is nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cutoffs {
    /// Changes of status that were seen before it.
    pub transitions_before: Option<Timestamp>,
    /// Deliveries that ended before it.
    pub deliveries_before: Option<Timestamp>,
}

impl Retention {
    /// What may go at that moment.
    pub fn cutoffs(self, now: Timestamp) -> Cutoffs {
        Cutoffs {
            transitions_before: self.transitions.map(|age| now.minus(age)),
            deliveries_before: self.deliveries.map(|age| now.minus(age)),
        }
    }
}

impl Cutoffs {
    /// Whether nothing may go.
    pub fn is_none(self) -> bool {
        self == Self::default()
    }
}
