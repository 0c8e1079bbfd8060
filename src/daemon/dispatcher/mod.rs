//! The dispatcher: takes due deliveries from the table and makes one try at each.
//!
//! What always holds: a try is claimed on disk before it begins, and its end is on disk before
//! the next one of its line begins; a slow channel holds up no other; whatever is under way
//! when the process dies is found again by the next one.

pub mod attempt;
pub mod operator_alerts;
pub mod local_fault;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::select;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{Instrument as _, error_span, info};

use crate::daemon::background::liveness::Loop;
use crate::daemon::background::stats::DaemonStats;
use crate::daemon::context::DaemonContext;
use crate::daemon::dispatcher::attempt::{STORE_RETRY_DELAY, run_attempt};
use crate::daemon::dispatcher::local_fault::LocalFaultDetector;
use crate::daemon::poller::poll::{log_write_failed, log_write_recovered};
use crate::daemon::ports::{Clock, Notifier};
use crate::daemon::runtime_config::RuntimeConfig;
use crate::daemon::shutdown::Shutdown;
use crate::domain::delivery::channel::ChannelName;
use crate::domain::time::monotonic::Monotonic;
use crate::domain::time::timestamp::Timestamp;
use crate::store::error::{Recovery, StoreError};
use crate::store::tables::outbox::{Claim, Claimed};

/// The loop's state.
#[derive(Debug)]
pub struct Dispatcher<S, N, C: Clock> {
    context: DaemonContext<C>,
    stats: Arc<DaemonStats>,
    config: Arc<RuntimeConfig<S, N>>,
    in_use: HashMap<ChannelName, usize>,
    in_flight: JoinSet<(ChannelName, Result<(), StoreError>)>,
    local_fault: Arc<LocalFaultDetector>,
    /// When the channels that must not be told too fast may be told again.
    rested: HashMap<ChannelName, Monotonic>,
    /// Both clocks when the table was last looked at; they part when the wall's is set.
    claimed_at: Option<(Timestamp, Monotonic)>,
    /// When what waits was last counted.
    counted_at: Option<Monotonic>,
}

impl<S: Send + Sync + 'static, N: Notifier, C: Clock> Dispatcher<S, N, C> {
    /// A dispatcher with nothing under way.
    pub fn new(
        context: DaemonContext<C>,
        stats: Arc<DaemonStats>,
        config: Arc<RuntimeConfig<S, N>>,
    ) -> Self {
        Self {
            context,
            stats,
            config,
            in_use: HashMap::new(),
            in_flight: JoinSet::new(),
            local_fault: Arc::default(),
            rested: HashMap::new(),
            claimed_at: None,
            counted_at: None,
        }
    }

    /// Delivers until told to stop; follows new plans.
    ///
    /// # Errors
    /// When the store fails for good.
    pub async fn run(
        mut self,
        mut configs: watch::Receiver<Arc<RuntimeConfig<S, N>>>,
        stop: Shutdown,
    ) -> Result<(), StoreError> {
        loop {
            let wake_at = self.launch().await?;
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

    /// Claims what is due and begins a try at each; the moment to look at the table again,
    /// unless something happens before.
    async fn launch(&mut self) -> Result<Monotonic, StoreError> {
        let (now, monotonic) = (self.context.clock.now(), self.context.clock.monotonic());
        self.stats.liveness.tick(Loop::Dispatcher, monotonic);
        let idle_wake_at = monotonic.plus(CLAIM_EVERY);
        if self.clock_was_set_back(now, monotonic) {
            return match self.context.store.reschedule_after_clock_step(now).await {
                Ok(_) => {
                    self.claimed_at = Some((now, monotonic));
                    // Back at once, for what is due now.
                    Ok(monotonic)
                }
                Err(failure) => self.wait_for_store(DELIVERIES, failure, monotonic),
            };
        }
        self.claimed_at = Some((now, monotonic));
        let (slots, rested_at) = self.slots(monotonic);
        let idle_wake_at = rested_at.map_or(idle_wake_at, |at| at.min(idle_wake_at));
        let claim = Claim { slots, now };
        self.stats.liveness.store_request(monotonic);
        let claims = match self.context.store.claim(claim).await {
            Ok(claims) => claims,
            Err(failure) => return self.wait_for_store(DELIVERIES, failure, monotonic),
        };
        self.stats.liveness.store_response();
        log_write_recovered(&self.context, DELIVERIES);
        for claimed in claims.claimed {
            self.begin(claimed, monotonic);
        }
        if claims.has_pending_alerts {
            if let Err(failure) =
                operator_alerts::publish_pending(&self.context, &self.config).await
            {
                return self.wait_for_store(EVENTS, failure, monotonic);
            }
            log_write_recovered(&self.context, EVENTS);
        }
        if let Err(failure) = self.count_pending(monotonic).await {
            return self.wait_for_store(DELIVERIES, failure, monotonic);
        }
        self.stats.sending.set(self.in_flight.len());
        let next_due_at = claims.next_due_at.map(|due_at| monotonic.plus(due_at.since(now)));
        Ok(next_due_at.map_or(idle_wake_at, |due_at| due_at.min(idle_wake_at)))
    }

    /// Counts what waits, for the status line: not at every look, since a long queue takes long.
    async fn count_pending(&mut self, now: Monotonic) -> Result<(), StoreError> {
        if self.counted_at.is_none_or(|then| now.since(then) >= COUNT_EVERY) {
            self.stats.pending.set(self.context.store.pending_counts().await?);
            self.counted_at = Some(now);
        }
        Ok(())
    }

    /// Whether the wall clock lost time on the steady one since the last look, or may have before
    /// the first.
    fn clock_was_set_back(&self, now: Timestamp, monotonic: Monotonic) -> bool {
        self.claimed_at.is_none_or(|(then, before)| {
            now.plus(SET_BACK_MIN) < then.plus(monotonic.since(before))
        })
    }

    /// When to try again after a failure of the store that can pass.
    fn wait_for_store(
        &self,
        what: &'static str,
        failure: StoreError,
        now: Monotonic,
    ) -> Result<Monotonic, StoreError> {
        if failure.next_step() == Recovery::GiveUp {
            return Err(failure);
        }
        self.stats.liveness.store_failed(now);
        log_write_failed(&self.context, what, &failure);
        Ok(now.plus(STORE_RETRY_DELAY))
    }

    /// The room that each channel has; and when the next of those that must rest has rested.
    fn slots(&self, now: Monotonic) -> (Vec<(ChannelName, usize)>, Option<Monotonic>) {
        let mut slots = Vec::with_capacity(self.config.channels.len());
        let mut rested_at = None;
        for (name, channel_runtime) in &self.config.channels {
            let busy = self.in_use.get(name).copied().unwrap_or(0);
            let rests_until = self.rested.get(name).copied().filter(|until| *until > now);
            let room = channel_runtime.max_concurrency.saturating_sub(busy);
            match rests_until {
                Some(until) => {
                    rested_at = Some(rested_at.map_or(until, |at: Monotonic| at.min(until)));
                }
                None if room > 0 => slots.push((name.clone(), room)),
                None => {}
            }
        }
        (slots, rested_at)
    }

    fn begin(&mut self, claimed: Claimed, now: Monotonic) {
        let Some(channel_runtime) = self.config.channels.get(&claimed.channel) else { return };
        let channel = claimed.channel.clone();
        if let Some(spacing) = channel_runtime.min_interval {
            self.rested.insert(channel.clone(), now.plus(spacing));
        }
        *self.in_use.entry(channel.clone()).or_default() += 1;
        let (config, local_fault) = (Arc::clone(&self.config), Arc::clone(&self.local_fault));
        let span = error_span!(
            "attempt",
            channel = %channel,
            avatar.id = (!claimed.avatar_id.contains(' ')).then_some(claimed.avatar_id.as_str()),
            event.id = %claimed.event_id,
            delivery.id = %claimed.id,
            attempt = claimed.attempt,
            request.id = self.context.requests.next(),
        );
        let task = run_attempt(self.context.clone(), config, local_fault, claimed).instrument(span);
        self.in_flight.spawn(async move { (channel, task.await) });
    }

    fn on_attempt_done(
        &mut self,
        done: Result<(ChannelName, Result<(), StoreError>), tokio::task::JoinError>,
    ) -> Result<(), StoreError> {
        match done {
            Ok((channel, result)) => {
                if let Some(busy) = self.in_use.get_mut(&channel) {
                    *busy = busy.saturating_sub(1);
                }
                result
            }
            // A try catches the panics of whoever sends. One of ours leaves it open in the table,
            // and its line blocked, until the next process takes it back: so we end.
            Err(broken) if broken.is_panic() => std::panic::resume_unwind(broken.into_panic()),
            // It was cut off, at the end.
            Err(_) => Ok(()),
        }
    }

    /// Lets the tries under way end, for a while; those that do not are found again by the next
    /// process, with the same id and bytes.
    async fn drain(mut self, stop: Shutdown) -> Result<(), StoreError> {
        let clock = self.context.clock.clone();
        let limit = clock.monotonic().plus(DRAIN);
        if !self.in_flight.is_empty() {
            self.stats.sending.set(self.in_flight.len());
            info!(count = self.in_flight.len(), "waiting for the deliveries under way");
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

/// What the log calls deliveries that wait for the store.
const DELIVERIES: &str = "tries at deliveries";
/// What it calls the events that operators are told.
const EVENTS: &str = "events of channels and dead letters";
/// The table is looked at this often even if nobody rings: a hand may have changed it.
const CLAIM_EVERY: Duration = Duration::from_secs(2);
/// The least wait between two counts of what waits.
const COUNT_EVERY: Duration = Duration::from_secs(5);
/// Clocks are set back by less than this all the time, and waits may last as much longer.
const SET_BACK_MIN: Duration = Duration::from_secs(30);
/// How long tries under way may go on after the order to stop.
const DRAIN: Duration = Duration::from_secs(20);
