//! The handles that the loops share: store, clock, log throttle and the like.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::daemon::logging::failing_avatars::FailingAvatars;
use crate::daemon::logging::log_throttle::LogThrottle;
use crate::daemon::logging::request_id::RequestIds;
use crate::daemon::rng::Rng;
use crate::domain::random::RandomBits;
use crate::runtime::event_bus::EventBus;
use crate::runtime::last_seen::LastSeen;
use crate::runtime::metrics::Metrics;
use crate::store::handle::Store;

/// Shared handles of the daemon; clones refer to the same objects.
#[derive(Clone, Debug)]
pub struct DaemonContext<C> {
    /// The store, which commits changes.
    pub store: Store,
    /// The clock.
    pub clock: C,
    /// The random number generator.
    pub rng: Rng,
    /// Wakes the dispatcher: a delivery may be due earlier than it expects. Carries no data; one
    /// that comes before the dispatcher waits is not lost.
    pub wakeup: Arc<Notify>,
    /// Live events for the status page and the event stream.
    pub events: EventBus,
    /// The last poll of each avatar and account.
    pub last_seen: LastSeen,
    /// The metrics.
    pub metrics: Metrics,
    /// Suppresses repeated log lines.
    pub throttle: LogThrottle,
    /// The avatars that fail now.
    pub failing: FailingAvatars,
    /// Generates request ids.
    pub requests: RequestIds,
}

impl<C> DaemonContext<C> {
    /// The handles of a new process, which `boot` identifies.
    pub fn new(store: Store, clock: C, rng: Rng, events: EventBus, boot: RandomBits) -> Self {
        Self {
            store,
            clock,
            rng,
            wakeup: Arc::default(),
            events,
            last_seen: LastSeen::default(),
            metrics: Metrics::new(),
            throttle: LogThrottle::default(),
            failing: FailingAvatars::default(),
            requests: RequestIds::new(boot),
        }
    }
}

/// Delay before a store operation that failed is repeated.
pub(crate) const STORE_RETRY_DELAY: Duration = Duration::from_secs(5);
