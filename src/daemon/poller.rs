//! The poller: looks at each avatar when it is due, within the budget of the key.
//!
//! What always holds: no more looks under way than allowed, no look through a closed gate, one
//! look at an avatar at a time. What it knows of an avatar is a copy of its row; only what the disk
//! would not take yet is nowhere else, and is written before anything else is seen of that avatar.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::select;
use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinSet};
use tracing::{error, info, warn};

use crate::daemon::due::Due;
use crate::daemon::look::{Looked, Tools, Unwritten, look, write_again};
use crate::daemon::plan::Plan;
use crate::daemon::ports::{AvatarSource, Clock, Notifier};
use crate::daemon::pulse::Pulse;
use crate::daemon::stop::Stop;
use crate::domain::avatar::AvatarId;
use crate::domain::key_gate::{KeyGate, Welcome};
use crate::domain::moment::Moment;
use crate::domain::status::Status;
use crate::domain::watch::Watch;
use crate::store::error::{NextStep, StoreError};

/// The loop's state.
#[derive(Debug)]
pub struct Poller<S, N, C: Clock> {
    tools: Tools<C>,
    pulse: Arc<Pulse>,
    plan: Arc<Plan<S, N, C>>,
    idle: HashMap<AvatarId, Watch>,
    unwritten: HashMap<AvatarId, Box<Unwritten>>,
    looking: HashMap<Id, AvatarId>,
    in_flight: JoinSet<Looked>,
    due: Due,
    ready: VecDeque<AvatarId>,
    gate: KeyGate,
}

impl<S: AvatarSource, N: Notifier, C: Clock> Poller<S, N, C> {
    /// A poller with every registered avatar due now.
    ///
    /// # Errors
    /// When the watches cannot be read.
    pub async fn new(
        tools: Tools<C>,
        pulse: Arc<Pulse>,
        plan: Arc<Plan<S, N, C>>,
    ) -> Result<Self, StoreError> {
        let mut poller = Self {
            tools,
            pulse,
            plan,
            idle: HashMap::new(),
            unwritten: HashMap::new(),
            looking: HashMap::new(),
            in_flight: JoinSet::new(),
            due: Due::default(),
            ready: VecDeque::new(),
            gate: KeyGate::default(),
        };
        poller.admit_new().await?;
        Ok(poller)
    }

    /// Looks until told to stop; follows new plans.
    ///
    /// # Errors
    /// When the store fails for good.
    pub async fn run(
        mut self,
        mut plans: watch::Receiver<Arc<Plan<S, N, C>>>,
        mut stop: Stop,
    ) -> Result<(), StoreError> {
        loop {
            let wake_at = self.launch();
            let clock = self.tools.clock.clone();
            select! {
                biased;
                () = stop.soft() => break,
                Ok(()) = plans.changed() => {
                    let plan = plans.borrow_and_update().clone();
                    self.adopt(plan).await?;
                }
                Some(done) = self.in_flight.join_next_with_id() => self.take_back(done).await?,
                () = sleep_until(&clock, wake_at) => {}
            }
            while let Some(done) = self.in_flight.try_join_next_with_id() {
                self.take_back(done).await?;
            }
        }
        self.drain(stop).await
    }

    /// Starts the looks that are due and allowed; the moment to come back, unless a look that
    /// ends comes first.
    fn launch(&mut self) -> Option<Moment> {
        let now = self.tools.clock.moment();
        self.ready.extend(self.due.take(now));
        while let Some(id) = self.ready.front() {
            let busy = self.in_flight.len();
            if let Some(unwritten) = self.unwritten.remove(id) {
                let id = id.clone();
                self.ready.pop_front();
                self.idle.remove(&id);
                let handle = self.in_flight.spawn(write_again(self.tools.clone(), unwritten));
                self.looking.insert(handle.id(), id);
                continue;
            }
            if busy >= self.plan.max_concurrency || (self.gate.is_on_probation() && busy > 0) {
                return None;
            }
            if !self.gate.is_open(now) {
                return self.gate.opens_at();
            }
            let Some(watch) = self.idle.remove(id) else {
                self.ready.pop_front();
                continue;
            };
            if let Err(wait) = self.plan.budget.take() {
                self.idle.insert(watch.id.clone(), watch);
                return Some(now.plus(wait));
            }
            self.ready.pop_front();
            let id = watch.id.clone();
            let task = look(self.tools.clone(), Arc::clone(&self.plan), watch);
            let handle = self.in_flight.spawn(task);
            self.looking.insert(handle.id(), id);
        }
        self.due.next()
    }

    /// Takes up what came of a look.
    async fn take_back(&mut self, done: Result<(Id, Looked), JoinError>) -> Result<(), StoreError> {
        match done {
            Ok((task, looked)) => {
                self.looking.remove(&task);
                self.settle(looked)
            }
            Err(failed) => {
                let Some(id) = self.looking.remove(&failed.id()) else { return Ok(()) };
                error!(avatar.id = %id, "a look at avatar `{id}` broke off: this is a bug");
                let watches = self.tools.store.watches(vec![id]).await?;
                for watch in watches {
                    self.keep(watch, self.tools.clock.moment(), Some(BROKEN_WAIT));
                }
                Ok(())
            }
        }
    }

    fn settle(&mut self, looked: Looked) -> Result<(), StoreError> {
        let now = self.tools.clock.moment();
        let was_welcome = !self.gate.is_on_probation();
        let gate = std::mem::take(&mut self.gate);
        self.gate =
            gate.observe(looked.welcome, now, &self.plan.gate_waits, self.tools.chance.roll());
        self.log_gate(was_welcome, looked.welcome, now);
        if let Some((unwritten, failure)) = looked.unwritten {
            if failure.next_step() == NextStep::GiveUp {
                return Err(failure);
            }
            let id = looked.watch.id.clone();
            warn!(avatar.id = %id, "a change of avatar `{id}` is not written yet: {failure}");
            self.unwritten.insert(id.clone(), unwritten);
            self.due.set(id.clone(), now, looked.next_poll_in.unwrap_or_default());
            self.idle.insert(id, looked.watch);
            return Ok(());
        }
        // A pace counts from question to question; a wait after trouble, from the trouble on.
        let begin = match looked.welcome {
            Welcome::Answered => looked.asked_at,
            Welcome::Refused
            | Welcome::Forbidden
            | Welcome::Throttled { .. }
            | Welcome::NoAnswer => now,
        };
        self.keep(looked.watch, begin, looked.next_poll_in);
        if looked.changed {
            self.report();
        }
        Ok(())
    }

    fn log_gate(&self, was_welcome: bool, welcome: Welcome, now: Moment) {
        let closed = !self.gate.is_open(now);
        let closed_for = self.gate.opens_at().map(|until| until.since(now)).unwrap_or_default();
        let wait = humantime::format_duration(Duration::from_secs(closed_for.as_secs()));
        match welcome {
            Welcome::Refused | Welcome::Forbidden if was_welcome && closed => {
                warn!("the API refuses the key: all looks wait, the next is in {wait}");
            }
            Welcome::Throttled { .. } if was_welcome => {
                warn!("the API asks for fewer requests: all looks wait for {wait}");
            }
            Welcome::Answered if !was_welcome && !self.gate.is_on_probation() => {
                info!("the API accepts the key again");
            }
            Welcome::Answered
            | Welcome::Refused
            | Welcome::Forbidden
            | Welcome::Throttled { .. }
            | Welcome::NoAnswer => {}
        }
    }

    /// Keeps a watch until its next look, that long after `begin`; forgets one that is no longer
    /// registered.
    fn keep(&mut self, watch: Watch, begin: Moment, next_poll_in: Option<Duration>) {
        if !self.plan.avatars.contains_key(&watch.id) {
            return;
        }
        if let Some(wait) = next_poll_in {
            self.due.set(watch.id.clone(), begin, wait);
        }
        self.idle.insert(watch.id.clone(), watch);
    }

    /// Follows a new plan: new avatars are due now, those that cannot be seen are tried again,
    /// and nobody waits longer than the new pace says. The key gets another chance.
    async fn adopt(&mut self, plan: Arc<Plan<S, N, C>>) -> Result<(), StoreError> {
        self.plan = plan;
        self.gate = KeyGate::default();
        let registered = &self.plan.avatars;
        let unwritten = &self.unwritten;
        let kept = |id: &AvatarId| registered.contains_key(id) || unwritten.contains_key(id);
        let gone: Vec<AvatarId> = self.idle.keys().filter(|id| !kept(id)).cloned().collect();
        for id in &gone {
            self.idle.remove(id);
            self.due.remove(id);
        }
        self.ready.retain(kept);
        let (now, moment) = (self.tools.clock.now(), self.tools.clock.moment());
        for watch in self.idle.values() {
            let wait = match &watch.sight {
                Some(sight) if watch.trouble.is_none() && watch.failures == 0 => {
                    self.plan.cadence.wait(&sight.status, now.since(sight.since))
                }
                Some(_) | None => Some(Duration::ZERO),
            };
            match wait {
                _ if self.unwritten.contains_key(&watch.id) => {}
                Some(_) if self.ready.contains(&watch.id) => {}
                Some(wait) => self.due.hasten(&watch.id, moment, wait),
                None => self.due.remove(&watch.id),
            }
        }
        self.admit_new().await
    }

    /// Takes up the avatars that are registered and not yet known.
    async fn admit_new(&mut self) -> Result<(), StoreError> {
        let known = |id: &AvatarId| {
            self.idle.contains_key(id) || self.looking.values().any(|other| other == id)
        };
        let mut new: Vec<AvatarId> =
            self.plan.avatars.keys().filter(|id| !known(id)).cloned().collect();
        new.sort();
        for watch in self.tools.store.watches(new).await? {
            self.keep(watch, self.tools.clock.moment(), Some(Duration::ZERO));
        }
        self.report();
        Ok(())
    }

    fn report(&self) {
        let count = |test: fn(&Watch) -> bool| self.idle.values().filter(|w| test(w)).count();
        self.pulse.avatars.set(self.plan.avatars.len());
        self.pulse.training.set(count(is_training));
        self.pulse.troubled.set(count(|watch| watch.trouble.is_some()));
    }

    /// Lets the looks under way end for a short while, then notes what was last seen. A look
    /// that is cut off loses nothing: it is made again after the restart.
    async fn drain(mut self, mut stop: Stop) -> Result<(), StoreError> {
        let clock = self.tools.clock.clone();
        let limit = clock.moment().plus(DRAIN);
        loop {
            select! {
                biased;
                done = self.in_flight.join_next_with_id() => match done {
                    Some(done) => self.take_back(done).await?,
                    None => break,
                },
                () = stop.hard() => break,
                () = clock.sleep_until(limit) => break,
            }
        }
        self.in_flight.shutdown().await;
        for (id, unwritten) in std::mem::take(&mut self.unwritten) {
            let looked = write_again(self.tools.clone(), unwritten).await;
            if let Some((_, failure)) = looked.unwritten {
                error!(avatar.id = %id, "a change of avatar `{id}` was never written: {failure}");
            }
        }
        let seen = self
            .idle
            .into_values()
            .filter_map(|watch| watch.sight.map(|sight| (watch.id, sight.last_seen_at)))
            .collect();
        match self.tools.store.touch(seen).await {
            Err(failure) if failure.next_step() == NextStep::Retry => {
                // Only the windows of the next transitions become wider than they could be.
                warn!("when the avatars were last seen is not noted: {failure}");
                Ok(())
            }
            result => result,
        }
    }
}

fn is_training(watch: &Watch) -> bool {
    watch.sight.as_ref().is_some_and(|sight| sight.status == Status::Training)
}

async fn sleep_until<C: Clock>(clock: &C, wake_at: Option<Moment>) {
    match wake_at {
        Some(wake_at) => clock.sleep_until(wake_at).await,
        None => std::future::pending().await,
    }
}

/// The wait after a look that broke off by a bug of ours: pushed ahead, so that it cannot loop.
const BROKEN_WAIT: Duration = Duration::from_secs(60);
/// How long looks under way may go on after the order to stop.
const DRAIN: Duration = Duration::from_secs(2);
