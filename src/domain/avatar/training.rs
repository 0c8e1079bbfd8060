//! Trainings: a finished one with its observed duration, and an open one, which is carried through
//! unrecognized statuses and resets to `NOT_TRAINED`.

use std::time::Duration;

use crate::domain::avatar::status::Status;
use crate::domain::avatar::transition::{Earlier, Previous};
use crate::domain::time::timestamp::Timestamp;

/// A training that started before the current status and has not reached one of the three outcomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenTraining {
    /// Observed, and followed by unrecognized statuses only.
    Observed {
        /// When it was first observed.
        since: Timestamp,
        /// When it was last observed in `TRAINING`.
        last_seen_at: Timestamp,
    },
    /// Assumed by the config (`assume`), or observed and then reset to `NOT_TRAINED`: its outcome
    /// is not that of an observed training.
    Assumed,
}

impl OpenTraining {
    /// The open training after a transition from `previous`, first observed at `since`, to
    /// `status`; `open` is the one before.
    pub fn after(
        open: Option<Self>,
        previous: &Previous,
        since: Option<Timestamp>,
        status: &Status,
    ) -> Option<Self> {
        let open = match previous {
            Previous::Observed { status: Status::Training, at } => {
                let begun = match open {
                    Some(Self::Observed { since, .. }) => since,
                    Some(Self::Assumed) | None => since.unwrap_or(*at),
                };
                Some(Self::Observed { since: begun, last_seen_at: *at })
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

/// The duration of one finished training.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Training {
    /// The model of the avatar, such as `ARGIL_ATOM`, as it came.
    pub model: Option<String>,
    /// The minimum: to the last poll that showed it.
    pub duration_min: Duration,
    /// The maximum: to the first poll that showed its end.
    pub duration_max: Duration,
    /// What it became.
    pub status: Status,
    pub(crate) ended_at: Timestamp,
}

impl Training {
    /// The training between the first poll that showed it at `since`, the last one at
    /// `last_seen_at`, and its end.
    pub fn between(
        since: Timestamp,
        last_seen_at: Timestamp,
        now: Timestamp,
        status: Status,
        model: Option<String>,
    ) -> Self {
        Self {
            model,
            duration_min: last_seen_at.since(since),
            duration_max: now.since(since),
            status,
            ended_at: now,
        }
    }

    /// The duration, if it is known precisely enough to learn from.
    pub fn sample(&self) -> Option<Duration> {
        let blurred = self.duration_max.saturating_sub(self.duration_min);
        let limit = (self.duration_max / BLUR_DIVISOR).max(BLUR_ALWAYS_FINE);
        (blurred <= limit).then_some(self.duration_max)
    }
}

/// The maximum uncertainty of a duration, as a fraction of it, …
const BLUR_DIVISOR: u32 = 4;
/// … or absolute, whichever is more.
const BLUR_ALWAYS_FINE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_length_that_is_known_well_teaches() {
        let check = |last_seen_s: i64, ended_s: i64, expected: Option<u64>| {
            let at = |seconds: i64| Timestamp::from_millis(seconds * 1_000);
            let training =
                Training::between(at(0), at(last_seen_s), at(ended_s), Status::Idle, None);
            assert_eq!(training.sample(), expected.map(Duration::from_secs), "to {ended_s} s");
        };
        check(28, 30, Some(30));
        check(0, 10, Some(10));
        check(0, 30, None);
        check(35_940, 36_000, Some(36_000));
        check(20_000, 36_000, None);
    }
}
