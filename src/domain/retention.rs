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

/// The number of rows that a step of the retention removes at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepSize(usize);

impl Default for StepSize {
    fn default() -> Self {
        Self(ROWS_MAX / 2)
    }
}

impl StepSize {
    pub const fn rows(self) -> usize {
        self.0
    }

    /// The size of the next step: smaller after one that kept other writes waiting for long.
    #[must_use]
    pub fn after(self, took: Duration) -> Self {
        let rows = match took {
            _ if took > STEP_MAX => self.0 / 2,
            _ if took < STEP_MAX / 2 => self.0 + self.0 / 4,
            _ => self.0,
        };
        Self(rows.clamp(ROWS_MIN, ROWS_MAX))
    }
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

/// How long a step may take, with its wait for the writer and the disk.
const STEP_MAX: Duration = Duration::from_millis(20);
const ROWS_MAX: usize = 400;
/// Fewer would not be faster: most of the time is then that of the disk.
const ROWS_MIN: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_shrinks_while_the_disk_is_slow_and_grows_again() {
        let after = |size: StepSize, took: u64| size.after(Duration::from_millis(took));
        let normal = StepSize::default();
        assert_eq!(after(normal, 15), normal);
        let slow = (0..10).fold(normal, |size, _| after(size, 21));
        assert_eq!(slow.rows(), ROWS_MIN);
        assert_eq!((0..20).fold(slow, |size, _| after(size, 9)).rows(), ROWS_MAX);
    }
}
