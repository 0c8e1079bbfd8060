//! The dispatcher: claims due deliveries from the outbox and attempts each.
//!
//! Invariants: an attempt is claimed on disk before it starts, and its result is recorded before
//! the next delivery of the same queue starts; a slow channel delays no other; deliveries in flight
//! at a crash are claimed again after the restart.

pub(crate) mod attempt;
pub(crate) mod operator_alerts;
pub(crate) mod local_fault;
pub(crate) mod clock_skew;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::select;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{Instrument as _, error_span, info};

use crate::daemon::config::runtime_config::RuntimeConfig;
use crate::daemon::context::{DaemonContext, STORE_RETRY_DELAY};
use crate::daemon::dispatcher::attempt::{Detectors, run_attempt};
use crate::daemon::logging::log::{log_write_failed, log_write_recovered};
use crate::daemon::ports::{Clock, Notifier};
use crate::daemon::stats::DaemonStats;
use crate::daemon::supervision::liveness::Loop;
use crate::daemon::supervision::shutdown::Shutdown;
use crate::domain::avatar::AvatarId;
use crate::domain::delivery::attempt_slots::{AttemptSlots, ChannelUse};
use crate::domain::delivery::channel_name::ChannelName;
use crate::domain::time::monotonic::Monotonic;
use crate::domain::time::timestamp::Timestamp;
use crate::store::error::{Recovery, StoreError};
use crate::store::tables::outbox::ClaimedDelivery;

/// State of the dispatcher.
#[derive(Debug)]
pub struct Dispatcher<S, N, C: Clock> {
    context: DaemonContext<C>,
    stats: Arc<DaemonStats>,
    config: Arc<RuntimeConfig<S, N>>,
    busy_slots: HashMap<ChannelName, usize>,
    in_flight: JoinSet<(ChannelName, Result<(), StoreError>)>,
    detectors: Detectors,
    /// When channels with a minimum interval may be used again.
    available_at: HashMap<ChannelName, Monotonic>,
    /// Both clocks at the last claim; their difference shows whether the wall clock was set.
    claimed_at: Option<(Timestamp, Monotonic)>,
    /// When pending deliveries were last counted.
    counted_at: Option<Monotonic>,
}

impl<S: Send + Sync + 'static, N: Notifier, C: Clock> Dispatcher<S, N, C> {
    /// Creates a dispatcher with nothing in flight.
    pub fn new(
        context: DaemonContext<C>,
        stats: Arc<DaemonStats>,
        config: Arc<RuntimeConfig<S, N>>,
    ) -> Self {
        Self {
            context,
            stats,
            config,
            busy_slots: HashMap::new(),
            in_flight: JoinSet::new(),
            detectors: Detectors::default(),
            available_at: HashMap::new(),
            claimed_at: None,
            counted_at: None,
        }
    }

    /// Delivers until a stop is requested; applies new configs.
    pub async fn run(
        mut self,
        mut configs: watch::Receiver<Arc<RuntimeConfig<S, N>>>,
        stop: Shutdown,
    ) -> Result<(), StoreError> {
        loop {
            let wake_at = self.claim_and_start().await?;
            let (clock, wakeup) = (self.context.clock.clone(), self.context.wakeup.clone());
            select! {
                biased;
                () = stop.graceful.cancelled() => break,
                Ok(()) = configs.changed() => self.config = configs.borrow_and_update().clone(),
                Some(done) = self.in_flight.join_next() => self.on_attempt_done(done)?,
                () = wakeup.notified() => {}
                () = clock.sleep_until(wake_at) => {}
            }
            while let Some(done) = self.in_flight.try_join_next() {
                self.on_attempt_done(done)?;
            }
        }
        self.drain(stop).await
    }

    /// Claims due deliveries and starts an attempt for each. Returns when to claim again, unless a
    /// wakeup comes first.
    async fn claim_and_start(&mut self) -> Result<Monotonic, StoreError> {
        let (now, monotonic) = (self.context.clock.now(), self.context.clock.monotonic());
        self.stats.liveness.tick(Loop::Dispatcher, monotonic);
        let claim_at = monotonic.plus(CLAIM_EVERY);
        if self.clock_was_set_back(now, monotonic) {
            return match self.context.store.reschedule_after_clock_step(now).await {
                Ok(_) => {
                    self.claimed_at = Some((now, monotonic));
                    // Claim again at once.
                    Ok(monotonic)
                }
                Err(failure) => self.retry_at_or_fail(DELIVERIES, failure, monotonic),
            };
        }
        self.claimed_at = Some((now, monotonic));
        let (slots, next_available_at) = self.slots(monotonic);
        let claim_at = next_available_at.map_or(claim_at, |at| at.min(claim_at));
        self.stats.liveness.store_request(monotonic);
        let claims = match self.context.store.claim(slots, self.config.alert_timing, now).await {
            Ok(claims) => claims,
            Err(failure) => return self.retry_at_or_fail(DELIVERIES, failure, monotonic),
        };
        self.stats.liveness.store_response();
        log_write_recovered(&self.context, DELIVERIES);
        for claimed in claims.claimed {
            self.start_attempt(claimed, monotonic);
        }
        for channel in &claims.resumed {
            info!(channel = %channel, "pause of channel `{channel}` has ended; its messages are \
                sent");
        }
        if claims.has_due_alerts {
            if let Err(failure) = operator_alerts::publish_due(&self.context, &self.config).await {
                return self.retry_at_or_fail(EVENTS, failure, monotonic);
            }
            log_write_recovered(&self.context, EVENTS);
        }
        if let Err(failure) = self.count_pending(monotonic).await {
            return self.retry_at_or_fail(DELIVERIES, failure, monotonic);
        }
        self.stats.sending.set(self.in_flight.len());
        let next_due_at = claims.next_due_at.map(|due_at| monotonic.plus(due_at.since(now)));
        Ok(next_due_at.map_or(claim_at, |due_at| due_at.min(claim_at)))
    }

    /// Counts pending deliveries for the status line; not at every claim, since a long queue takes
    /// long to count.
    async fn count_pending(&mut self, now: Monotonic) -> Result<(), StoreError> {
        if self.counted_at.is_none_or(|then| now.since(then) >= COUNT_EVERY) {
            self.stats.pending.set(self.context.store.pending_count().await?);
            self.counted_at = Some(now);
        }
        Ok(())
    }

    /// Whether the wall clock was set back since the last claim, or may have been before the first.
    fn clock_was_set_back(&self, now: Timestamp, monotonic: Monotonic) -> bool {
        self.claimed_at.is_none_or(|(then, before)| {
            now.plus(SET_BACK_MIN) < then.plus(monotonic.since(before))
        })
    }

    /// When to retry after a transient failure of the store; other failures are returned.
    fn retry_at_or_fail(
        &self,
        what: &'static str,
        failure: StoreError,
        now: Monotonic,
    ) -> Result<Monotonic, StoreError> {
        if failure.next_step() == Recovery::Fail {
            return Err(failure);
        }
        self.stats.liveness.store_failed(now);
        log_write_failed(&self.context, what, &failure);
        Ok(now.plus(STORE_RETRY_DELAY))
    }

    /// The attempts that may start, and when the first channel with a minimum interval may be used
    /// again.
    fn slots(&self, now: Monotonic) -> (AttemptSlots, Option<Monotonic>) {
        let uses: Vec<ChannelUse<'_>> = self
            .config
            .channels
            .iter()
            .map(|(channel, channel_runtime)| ChannelUse {
                channel,
                in_flight: self.busy_slots.get(channel).copied().unwrap_or(0),
                max: channel_runtime.max_concurrency,
            })
            .collect();
        let mut slots = AttemptSlots::new(IN_FLIGHT_MAX, &uses);
        let mut next_available_at: Option<Monotonic> = None;
        slots.channels.retain(|it| match self.available_at.get(&it.channel) {
            Some(until) if *until > now => {
                next_available_at = next_available_at.into_iter().chain([*until]).min();
                false
            }
            Some(_) | None => true,
        });
        (slots, next_available_at)
    }

    fn start_attempt(&mut self, claimed: ClaimedDelivery, now: Monotonic) {
        let Some(channel_runtime) = self.config.channels.get(&claimed.channel) else { return };
        let channel = claimed.channel.clone();
        if let Some(min_interval) = channel_runtime.min_interval {
            self.available_at.insert(channel.clone(), now.plus(min_interval));
        }
        *self.busy_slots.entry(channel.clone()).or_default() += 1;
        let (config, detectors) = (Arc::clone(&self.config), self.detectors.clone());
        let span = error_span!(
            "attempt",
            channel = %channel,
            avatar.id = claimed.ordering_key.avatar_id().map(AvatarId::as_str),
            event.id = %claimed.event_id,
            delivery.id = %claimed.id,
            attempt = claimed.attempt,
            request.id = self.context.requests.next(),
        );
        let task = run_attempt(self.context.clone(), config, detectors, claimed).instrument(span);
        self.in_flight.spawn(async move { (channel, task.await) });
    }

    fn on_attempt_done(
        &mut self,
        done: Result<(ChannelName, Result<(), StoreError>), tokio::task::JoinError>,
    ) -> Result<(), StoreError> {
        match done {
            Ok((channel, result)) => {
                if let Some(busy) = self.busy_slots.get_mut(&channel) {
                    *busy = busy.saturating_sub(1);
                }
                result
            }
            // Panics of notifiers are caught in the attempt. A panic of ours leaves the attempt
            // open and blocks its queue until a restart, so the process ends.
            Err(broken) if broken.is_panic() => std::panic::resume_unwind(broken.into_panic()),
            // Aborted during shutdown.
            Err(_) => Ok(()),
        }
    }

    /// Waits for attempts in flight, up to [`DRAIN`]. The next start claims the others again, with
    /// the same ids and bytes.
    async fn drain(mut self, stop: Shutdown) -> Result<(), StoreError> {
        let clock = self.context.clock.clone();
        let limit = clock.monotonic().plus(DRAIN);
        if !self.in_flight.is_empty() {
            self.stats.sending.set(self.in_flight.len());
            info!(count = self.in_flight.len(), "waiting for deliveries in flight");
        }
        loop {
            select! {
                biased;
                done = self.in_flight.join_next() => match done {
                    Some(done) => {
                        self.stats.sending.set(self.in_flight.len());
                        self.on_attempt_done(done)?;
                    }
                    None => break,
                },
                () = stop.immediate.cancelled() => break,
                () = clock.sleep_until(limit) => break,
            }
        }
        self.in_flight.shutdown().await;
        Ok(())
    }
}

/// The most attempts in flight over all channels, except that each channel may have one: as many
/// connections and files as the unit allows, with room for the others.
const IN_FLIGHT_MAX: usize = 256;
const DELIVERIES: &str = "deliveries";
const EVENTS: &str = "operator events";
/// Maximum time between two claims: the table may change without a wakeup, for example through a
/// command.
const CLAIM_EVERY: Duration = Duration::from_secs(2);
/// Minimum interval between two counts of pending deliveries.
const COUNT_EVERY: Duration = Duration::from_secs(5);
/// Smaller clock steps are ignored: they delay a delivery by no more than this.
const SET_BACK_MIN: Duration = Duration::from_secs(30);
/// How long attempts in flight may continue after a stop was requested.
const DRAIN: Duration = Duration::from_secs(20);
