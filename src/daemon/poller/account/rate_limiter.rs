//! Rate limiter of one API key, in requests per second. The only file that uses `governor`.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::Quota;
use governor::clock::{Clock as GovernorClock, Reference as _};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};

use crate::daemon::ports::Clock;

/// Limits the rate of requests.
#[derive(Debug)]
pub struct RateLimiter<C: Clock> {
    limiter: governor::RateLimiter<NotKeyed, InMemoryState, SteadyClock<C>, NoOpMiddleware<Nanos>>,
    clock: SteadyClock<C>,
}

impl<C: Clock> RateLimiter<C> {
    /// Allows `per_second` requests in any second, a tenth of them as a burst.
    pub fn new(per_second: NonZeroU32, clock: C) -> Self {
        let clock = SteadyClock(clock);
        let burst = per_second.get().div_ceil(BURST_DIVISOR);
        // A burst counts towards the following second.
        let rate = per_second.get() - burst + 1;
        let [rate, burst] = [rate, burst].map(|it| NonZeroU32::new(it).unwrap_or(NonZeroU32::MIN));
        let quota = Quota::per_second(rate).allow_burst(burst);
        let limiter = governor::RateLimiter::direct_with_clock(quota, clock.clone());
        Self { limiter, clock }
    }

    /// Acquires a permit for one request.
    ///
    /// # Errors
    /// The delay until a permit is available.
    pub fn try_acquire(&self) -> Result<(), Duration> {
        self.limiter.check().map_err(|until| {
            let wait: Duration = until.earliest_possible().duration_since(self.clock.now()).into();
            wait.max(TICK)
        })
    }
}

/// Adapter from our monotonic clock to governor's clock.
#[derive(Clone, Debug)]
struct SteadyClock<C>(C);

impl<C: Clock> GovernorClock for SteadyClock<C> {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Duration::from_millis(self.0.monotonic().as_millis()).into()
    }
}

/// Divisor for the burst size: allows sleeping between requests without a large burst.
const BURST_DIVISOR: u32 = 10;
/// Resolution of the monotonic clock; a shorter delay would be zero.
const TICK: Duration = Duration::from_millis(1);
