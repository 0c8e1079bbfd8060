//! A training: one that ended before our eyes, with what it tells about the next; and one that is
//! still open while its avatar is shown in a status that nobody knows.

use std::time::Duration;

use crate::domain::avatar::status::Status;
use crate::domain::avatar::transition::{Earlier, Previous};
use crate::domain::time::timestamp::Timestamp;

/// A training that began before the status of now and has not ended in one of the three outcomes,
/// as far as was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenTraining {
    /// Seen by us, and followed by statuses that nobody knows, and no other.
    Observed {
        /// When it was first seen.
        since: Timestamp,
        /// When it was last seen in `TRAINING`.
        last_seen_at: Timestamp,
    },
    /// Only registered as under way (`assume`), or seen and then reset to `NOT_TRAINED`: whatever
    /// it leads to was not seen being trained.
    Assumed,
}

impl OpenTraining {
    /// What is open once an avatar has gone from `previous`, first seen at `since`, to `status`;
    /// `open` is what was open before.
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
            // It goes on; what was only supposed is superseded by what is seen.
            (Status::Training, Some(Self::Observed { .. })) => open,
            (Status::NotTrained, Some(_)) => Some(Self::Assumed),
            (Status::Training | Status::NotTrained, Some(Self::Assumed) | None)
            | (Status::Idle | Status::TrainingFailed | Status::Refused, _) => None,
        }
    }

    /// What a transition records of it.
    pub const fn evidence(self) -> Earlier {
        match self {
            Self::Observed { .. } => Earlier::Observed,
            Self::Assumed => Earlier::Assumed,
        }
    }
}

/// How long one training lasted, from our first sight of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Training {
    /// The model of the avatar, such as `ARGIL_ATOM`, as it came.
    pub model: Option<String>,
    /// At least so long: to our last sight of it.
    pub duration_min: Duration,
    /// At most so long: to our first sight of its end.
    pub duration_max: Duration,
    /// What it became.
    pub status: Status,
    /// When we saw the end.
    pub ended_at: Timestamp,
}

impl Training {
    /// The training that lay between the first sight of it at `since`, the last one at
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

    /// How long it lasted, if that is known well enough to learn from: nobody looked away for
    /// long before it ended.
    pub fn sample(&self) -> Option<Duration> {
        let blurred = self.duration_max.saturating_sub(self.duration_min);
        let limit = (self.duration_max / BLUR_DIVISOR).max(BLUR_ALWAYS_FINE);
        (blurred <= limit).then_some(self.duration_max)
    }
}

/// A length may be unsure by this part of itself, …
const BLUR_DIVISOR: u32 = 4;
/// … or by this much, whichever is more.
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
