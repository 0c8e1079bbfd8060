//! A training that ended before our eyes: what past ones tell about the next.

use std::time::Duration;

use crate::domain::status::Status;
use crate::domain::timestamp::Timestamp;

/// How long one training lasted, from our first sight of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Training {
    /// The model of the avatar, such as `ARGIL_ATOM`, as it came.
    pub model: Option<String>,
    /// At least so long: to our last sight of it.
    pub lasted_min: Duration,
    /// At most so long: to our first sight of its end.
    pub lasted_max: Duration,
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
            lasted_min: last_seen_at.since(since),
            lasted_max: now.since(since),
            status,
            ended_at: now,
        }
    }

    /// How long it lasted, if that is known well enough to learn from: nobody looked away for
    /// long before it ended.
    pub fn lesson(&self) -> Option<Duration> {
        let blurred = self.lasted_max.saturating_sub(self.lasted_min);
        let limit = (self.lasted_max / BLUR_DIVISOR).max(BLUR_ALWAYS_FINE);
        (blurred <= limit).then_some(self.lasted_max)
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
            assert_eq!(training.lesson(), expected.map(Duration::from_secs), "to {ended_s} s");
        };
        check(28, 30, Some(30));
        check(0, 10, Some(10));
        check(0, 30, None);
        check(35_940, 36_000, Some(36_000));
        check(20_000, 36_000, None);
    }
}
