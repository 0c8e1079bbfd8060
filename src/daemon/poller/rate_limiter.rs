//! The budget of one API key: requests per second. The one home of `governor`.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::Quota;
use governor::clock::{Clock as GovernorClock, Reference as _};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};

use crate::daemon::ports::Clock;

/// Hands out requests, at most so many a second.
#[derive(Debug)]
pub struct RateLimiter<C: Clock> {
    limiter: governor::RateLimiter<NotKeyed, InMemoryState, SteadyClock<C>, NoOpMiddleware<Nanos>>,
    clock: SteadyClock<C>,
}

impl<C: Clock> RateLimiter<C> {
    /// A budget of `per_second` requests in any second, of which a tenth may go out at once.
    pub fn new(per_second: NonZeroU32, clock: C) -> Self {
        let clock = SteadyClock(clock);
        let burst = per_second.get().div_ceil(BURST_DIVISOR);
        // What goes out at once counts for the second that follows.
        let rate = per_second.get() - burst + 1;
        let [rate, burst] = [rate, burst].map(|it| NonZeroU32::new(it).unwrap_or(NonZeroU32::MIN));
        let quota = Quota::per_second(rate).allow_burst(burst);
        let limiter = governor::RateLimiter::direct_with_clock(quota, clock.clone());
        Self { limiter, clock }
    }

    /// Takes one request out of the budget.
    ///
    /// # Errors
    /// How long to wait until there is one.
    pub fn try_acquire(&self) -> Result<(), Duration> {
        self.limiter.check().map_err(|until| {
            let wait: Duration = until.earliest_possible().duration_since(self.clock.now()).into();
            wait.max(TICK)
        })
    }
}

/// Our steady clock, as governor reads clocks.
#[derive(Clone, Debug)]
struct SteadyClock<C>(C);

impl<C: Clock> GovernorClock for SteadyClock<C> {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Duration::from_millis(self.0.monotonic().as_millis()).into()
    }
}

/// The part of a second's requests that may go out at once: enough to sleep in between, and
/// little enough to be no burst.
const BURST_DIVISOR: u32 = 10;
/// The steady clock's own step: a shorter wait would be none.
const TICK: Duration = Duration::from_millis(1);
