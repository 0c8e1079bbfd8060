//! The waiter: looks at some avatars of one account until each is decided. What `avatar-watch
//! wait` runs; it has no store and tells no channel.
//!
//! What always holds: the same budget, gate and pace as the poller; an avatar that is decided is
//! not looked at again.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::select;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::daemon::poller::account_queue::{AccountQueue, NextAction, Priority};
use crate::daemon::poller::forecast_cache::ForecastCache;
use crate::daemon::poller::list_state::ListState;
use crate::daemon::poller::schedule::Schedule;
use crate::daemon::ports::{AvatarSource, Clock, sleep_until};
use crate::daemon::rng::Rng;
use crate::daemon::runtime_config::AccountRuntime;
use crate::domain::account::AccountName;
use crate::domain::avatar::AvatarId;
use crate::domain::avatar::status::Status;
use crate::domain::polling::circuit_breaker::{ApiSignal, BreakerBackoff};
use crate::domain::polling::connectivity::AccountConnectivity;
use crate::domain::polling::interval::PollIntervals;
use crate::domain::polling::observation::Observation;
use crate::domain::polling::wait::{AvatarWait, WaitOutcome};
use crate::domain::polling::watch::{Policy, Watch};
use crate::domain::time::monotonic::Monotonic;
use crate::domain::time::timestamp::Timestamp;

/// What to wait for, and with what.
#[derive(Debug)]
pub struct WaitRequest<S> {
    /// The account that the avatars are looked at with.
    pub account: AccountName,
    /// How it is asked.
    pub asked: AccountRuntime<S>,
    /// The waits between looks.
    pub cadence: PollIntervals,
    /// The waits of a key that is throttled.
    pub gate_waits: BreakerBackoff,
    /// What others know of each avatar; none twice.
    pub known: Vec<Watch>,
    /// What past trainings tell about when to look.
    pub experience: ForecastCache,
}

/// What is known of an avatar that is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitUpdate {
    /// Which avatar.
    pub id: AvatarId,
    /// Its name.
    pub name: Option<String>,
    /// Its model.
    pub model: Option<String>,
    /// What it was last seen as, and since when; `None` before the first sight.
    pub status: Option<(Status, Timestamp)>,
    /// What ended the wait for it, if anything did.
    pub verdict: Option<WaitOutcome>,
    /// Why it was not seen, if the last look did not show it.
    pub reason: Option<String>,
}

/// The waiter's state.
#[derive(Debug)]
pub struct WaitLoop<S, C: Clock> {
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
    /// What is known when the wait begins.
    pub fn begin(known: &Watch) -> Self {
        Self::of(AvatarWait::new(known.clone()).watch(), None, None)
    }

    fn of(watch: &Watch, verdict: Option<WaitOutcome>, reason: Option<String>) -> Self {
        let status =
            watch.observed.as_ref().map(|observed| (observed.status.clone(), observed.since));
        let (id, name, model) = (watch.id.clone(), watch.name.clone(), watch.model.clone());
        Self { id, name, model, status, verdict, reason }
    }
}

impl<S: AvatarSource, C: Clock> WaitLoop<S, C> {
    /// A waiter that reports the first look at each avatar, what changes, and what is decided.
    pub fn new(
        mut request: WaitRequest<S>,
        clock: C,
        rng: Rng,
        reports: mpsc::Sender<WaitUpdate>,
    ) -> Self {
        let now = clock.monotonic();
        let list_state = ListState::new(None, false, now);
        let queue = AccountQueue::new(
            request.asked.max_per_second,
            AccountConnectivity::after(None),
            list_state,
            clock.clone(),
        );
        let mut schedule = Schedule::default();
        let known = std::mem::take(&mut request.known);
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

    /// Looks until every avatar is decided, or nobody listens any more.
    pub async fn run(mut self) {
        while !self.waits.is_empty() && !self.reports.is_closed() {
            let wake_at = self.launch();
            select! {
                Some(done) = self.in_flight.join_next() => match done {
                    Ok((id, seen, asked_at)) => self.take_back(&id, seen, asked_at).await,
                    // A bug of ours: whoever listens is told by the silence.
                    Err(_) => return,
                },
                () = sleep_until(&self.clock, wake_at) => {}
                () = self.reports.closed() => break,
            }
        }
    }

    /// Starts the looks that are due and allowed; when to come back, unless one ends before.
    fn launch(&mut self) -> Option<Monotonic> {
        let now = self.clock.monotonic();
        for id in self.schedule.take(now) {
            self.queue.ready(id, Priority::High, now);
        }
        let next = self.schedule.next();
        self.queue.charge_reconnects(self.request.asked.source.reconnects());
        loop {
            match self.queue.next_action(now, self.request.asked.max_concurrency) {
                NextAction::Wait(until) => return [next, until].into_iter().flatten().min(),
                // Nobody asked for a list, and nobody waits for one.
                NextAction::List => self.queue.in_flight = self.queue.in_flight.saturating_sub(1),
                NextAction::Poll(id) => {
                    let (source, clock) =
                        (Arc::clone(&self.request.asked.source), self.clock.clone());
                    self.in_flight.spawn(async move {
                        let seen = source.poll(&id, clock.now()).await;
                        (id, seen, now)
                    });
                }
            }
        }
    }

    async fn take_back(&mut self, id: &AvatarId, seen: Observation, asked_at: Monotonic) {
        self.queue.in_flight = self.queue.in_flight.saturating_sub(1);
        let (now, monotonic, random) =
            (self.clock.now(), self.clock.monotonic(), self.rng.next_bits());
        let api_signal = ApiSignal::from(&seen);
        let breaker = std::mem::take(&mut self.queue.breaker);
        self.queue.breaker =
            breaker.observe(api_signal, monotonic, &self.request.gate_waits, random);
        let Some(avatar_wait) = self.waits.get_mut(id) else { return };
        let reason = seen.reason().map(str::to_owned);
        let cadence = &self.request.cadence;
        let forecast =
            self.request.experience.forecast(avatar_wait.watch().model.as_ref(), cadence.training);
        let asked = now.minus(monotonic.since(asked_at));
        let policy = Policy {
            forecast: forecast.as_deref(),
            ..Policy::new(cadence, &self.request.account, asked)
        };
        let verdict = match avatar_wait.observe(seen, now, &policy, random) {
            Ok(verdict) => Some(verdict),
            Err(wait) => {
                let begin = if api_signal == ApiSignal::Success { asked_at } else { monotonic };
                self.schedule.set(id.clone(), begin, wait);
                None
            }
        };
        let report = WaitUpdate::of(avatar_wait.watch(), verdict.clone(), reason);
        if verdict.is_some() {
            self.waits.remove(id);
        }
        if self.reported.insert(id.clone(), report.clone()).as_ref() != Some(&report) {
            self.tell(report).await;
        }
        if let (ApiSignal::Unauthorized, Some(verdict)) = (api_signal, verdict) {
            // It is the key that is refused, so the others need not try it.
            let others: BTreeMap<AvatarId, AvatarWait> = self.waits.drain().collect();
            for avatar_wait in others.into_values() {
                self.tell(WaitUpdate::of(avatar_wait.watch(), Some(verdict.clone()), None)).await;
            }
        }
    }

    async fn tell(&self, report: WaitUpdate) {
        // Whoever does not listen any more has seen enough.
        drop(self.reports.send(report).await);
    }
}
