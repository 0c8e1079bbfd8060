//! The system clock; the only file that reads the time.
//!
//! The wall clock is for what people read. The monotonic clock is for every delay; it counts
//! suspended time and cannot be set.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::daemon::ports::Clock;
use crate::domain::time::monotonic::Monotonic;
use crate::domain::time::timestamp::Timestamp;

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let time = clock_gettime(ClockId::Realtime);
        let millis = time.tv_sec.saturating_mul(1000).saturating_add(time.tv_nsec / 1_000_000);
        Timestamp::from_millis(millis)
    }

    fn monotonic(&self) -> Monotonic {
        let time = clock_gettime(ClockId::Boottime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        let millis = u64::try_from(time.tv_nsec / 1_000_000).unwrap_or(0);
        Monotonic::from_millis(seconds.saturating_mul(1000).saturating_add(millis))
    }

    /// Tokio's timers stop while the machine is suspended, so a long sleep is split into slices of
    /// `SLICE` and the monotonic clock is read after each.
    async fn sleep_until(&self, until: Monotonic) {
        loop {
            let left = until.since(self.monotonic());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(SLICE)).await;
        }
    }
}

const SLICE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_sleep_ends_at_its_time() {
        let clock = SystemClock;
        let until = clock.monotonic().plus(Duration::from_millis(20));
        clock.sleep_until(until).await;
        assert!(clock.monotonic() >= until);
        clock.sleep_until(Monotonic::from_millis(0)).await;
        assert!(clock.now() > Timestamp::from_millis(1_700_000_000_000));
    }
}
