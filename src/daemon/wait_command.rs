//! Polls avatars of one account until each has an outcome; used by `avatar-watch wait`. It has no
//! store and notifies no channel.
//!
//! Rate limit, circuit breaker and polling intervals are those of the poller. An avatar with an
//! outcome is not polled again.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::select;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::daemon::config::runtime_config::AccountRuntime;
use crate::daemon::poller::account::account_queue::{AccountQueue, NextAction, Priority};
use crate::daemon::poller::account::list_state::ListState;
use crate::daemon::poller::forecast_cache::ForecastCache;
use crate::daemon::poller::schedule::Schedule;
use crate::daemon::ports::{AvatarSource, Clock, sleep_until};
use crate::daemon::rng::Rng;
use crate::domain::account::AccountName;
use crate::domain::avatar::AvatarId;
use crate::domain::avatar::status::Status;
use crate::domain::polling::account_availability::AccountConnectivity;
use crate::domain::polling::circuit_breaker::{BreakerBackoff, KeySignal};
use crate::domain::polling::interval::PollIntervals;
use crate::domain::polling::observation::Observation;
use crate::domain::polling::policy::Policy;
use crate::domain::polling::wait::{AvatarWait, WaitOutcome};
use crate::domain::polling::watch::Watch;
use crate::domain::time::monotonic::Monotonic;
use crate::domain::time::timestamp::Timestamp;

#[derive(Debug)]
pub(crate) struct WaitRequest<S> {
    pub account: AccountName,
    pub runtime: AccountRuntime<S>,
    pub intervals: PollIntervals,
    pub breaker_backoff: BreakerBackoff,
    /// The stored watch of each avatar; no duplicates.
    pub watches: Vec<Watch>,
    pub forecasts: ForecastCache,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WaitUpdate {
    pub id: AvatarId,
    pub name: Option<String>,
    pub model: Option<String>,
    /// Its status and since when; `None` before the first successful poll.
    pub status: Option<(Status, Timestamp)>,
    /// The outcome, once there is one.
    pub outcome: Option<WaitOutcome>,
    /// Why the last poll failed, if it did.
    pub reason: Option<String>,
}

#[derive(Debug)]
pub(crate) struct WaitLoop<S, C: Clock> {
    request: WaitRequest<S>,
    clock: C,
    rng: Rng,
    queue: AccountQueue<C>,
    schedule: Schedule,
    waits: HashMap<AvatarId, AvatarWait>,
    reported: HashMap<AvatarId, WaitUpdate>,
    in_flight: JoinSet<(AvatarId, Observation, Monotonic)>,
    reports: mpsc::Sender<WaitUpdate>,
}

impl WaitUpdate {
    pub(crate) fn begin(known: &Watch) -> Self {
        Self::of(AvatarWait::new(known.clone()).watch(), None, None)
    }

    fn of(watch: &Watch, outcome: Option<WaitOutcome>, reason: Option<String>) -> Self {
        let status =
            watch.observed.as_ref().map(|observed| (observed.status.clone(), observed.since));
        let (id, name, model) = (watch.id.clone(), watch.name.clone(), watch.model.clone());
        Self { id, name, model, status, outcome, reason }
    }
}

impl<S: AvatarSource, C: Clock> WaitLoop<S, C> {
    /// Creates a wait that reports the first poll of each avatar, changes and outcomes.
    pub(crate) fn new(
        mut request: WaitRequest<S>,
        clock: C,
        rng: Rng,
        reports: mpsc::Sender<WaitUpdate>,
    ) -> Self {
        let now = clock.monotonic();
        let list_state = ListState::new(None, false, now);
        let queue = AccountQueue::new(
            request.runtime.max_per_second,
            AccountConnectivity::after(None),
            list_state,
            clock.clone(),
        );
        let mut schedule = Schedule::default();
        let known = std::mem::take(&mut request.watches);
        let waits: HashMap<AvatarId, AvatarWait> =
            known.into_iter().map(|watch| (watch.id.clone(), AvatarWait::new(watch))).collect();
        waits.keys().for_each(|id| schedule.set(id.clone(), now, Duration::ZERO));
        Self {
            request,
            clock,
            rng,
            queue,
            schedule,
            waits,
            reported: HashMap::new(),
            in_flight: JoinSet::new(),
            reports,
        }
    }

    /// Polls until every avatar has an outcome, or the receiver is dropped.
    pub(crate) async fn run(mut self) {
        while !self.waits.is_empty() && !self.reports.is_closed() {
            let wake_at = self.start_due_polls();
            select! {
                Some(done) = self.in_flight.join_next() => match done {
                    Ok((id, observation, asked_at)) => {
                        self.on_poll_done(&id, observation, asked_at).await;
                    }
                    // A panicked task; the receiver notices that the channel is closed.
                    Err(_) => return,
                },
                () = sleep_until(&self.clock, wake_at) => {}
                () = self.reports.closed() => break,
            }
        }
    }

    /// Starts polls that are due and allowed. Returns when to wake up, unless a poll completes
    /// earlier.
    fn start_due_polls(&mut self) -> Option<Monotonic> {
        let now = self.clock.monotonic();
        for id in self.schedule.take_due(now) {
            self.queue.enqueue(id, Priority::High, now);
        }
        let next = self.schedule.next_due_at();
        self.queue.charge_reconnects(self.request.runtime.source.reconnects());
        loop {
            match self.queue.next_action(now, self.request.runtime.max_concurrency) {
                NextAction::Wait(until) => return [next, until].into_iter().flatten().min(),
                // Unreachable: no avatar waits for a list.
                NextAction::List => self.queue.in_flight = self.queue.in_flight.saturating_sub(1),
                NextAction::Poll(id) => {
                    let (source, clock) =
                        (Arc::clone(&self.request.runtime.source), self.clock.clone());
                    self.in_flight.spawn(async move {
                        let observation = source.poll(&id, clock.now()).await;
                        (id, observation, now)
                    });
                }
            }
        }
    }

    async fn on_poll_done(&mut self, id: &AvatarId, observation: Observation, asked_at: Monotonic) {
        self.queue.in_flight = self.queue.in_flight.saturating_sub(1);
        let (now, monotonic, random) =
            (self.clock.now(), self.clock.monotonic(), self.rng.next_bits());
        let key_signal = KeySignal::from(&observation);
        let breaker = std::mem::take(&mut self.queue.breaker);
        self.queue.breaker =
            breaker.observe(key_signal, monotonic, &self.request.breaker_backoff, random);
        let Some(avatar_wait) = self.waits.get_mut(id) else { return };
        let reason = observation.reason().map(str::to_owned);
        let intervals = &self.request.intervals;
        let forecast =
            self.request.forecasts.forecast(avatar_wait.watch().model.as_ref(), intervals.training);
        let asked = now.minus(monotonic.since(asked_at));
        let policy = Policy {
            forecast: forecast.as_deref(),
            ..Policy::new(intervals, &self.request.account, asked)
        };
        let outcome = match avatar_wait.observe(observation, now, &policy, random) {
            Ok(outcome) => Some(outcome),
            Err(wait) => {
                let begin = if key_signal == KeySignal::Success { asked_at } else { monotonic };
                self.schedule.set(id.clone(), begin, wait);
                None
            }
        };
        let report = WaitUpdate::of(avatar_wait.watch(), outcome.clone(), reason);
        if outcome.is_some() {
            self.waits.remove(id);
        }
        if self.reported.insert(id.clone(), report.clone()).as_ref() != Some(&report) {
            self.send(report).await;
        }
        if let (KeySignal::Unauthorized, Some(outcome)) = (key_signal, outcome) {
            // The key is refused, so the other avatars need no poll.
            let others: BTreeMap<AvatarId, AvatarWait> = self.waits.drain().collect();
            for avatar_wait in others.into_values() {
                self.send(WaitUpdate::of(avatar_wait.watch(), Some(outcome.clone()), None)).await;
            }
        }
    }

    async fn send(&self, report: WaitUpdate) {
        // A dropped receiver needs no update.
        drop(self.reports.send(report).await);
    }
}
