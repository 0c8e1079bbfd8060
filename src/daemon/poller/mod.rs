//! The poller: polls each avatar when it is due, within the rate limit of its account.
//!
//! Invariants: at most one poll per avatar is in flight; an account that is refused, rate-limited
//! or slow delays no other. The state is a copy of the database, except for pending writes, which
//! are stored before the avatar is polled again.

pub mod poll;
pub mod task;
pub mod completion;
pub mod enrollment;
pub mod schedule;
pub mod hints;
pub mod checkpoint;
pub mod forecast_cache;
pub mod watch_list;
pub mod idle_avatars;
pub mod failure_log;
pub mod account;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::select;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{error_span, warn};

use crate::daemon::config::runtime_config::RuntimeConfig;
use crate::daemon::context::DaemonContext;
use crate::daemon::logging::log_throttle::Key;
use crate::daemon::poller::account::account_queue::{AccountQueue, NextAction, Priority};
use crate::daemon::poller::forecast_cache::{ForecastCache, SAMPLES_MAX};
use crate::daemon::poller::hints::HintedAvatars;
use crate::daemon::poller::idle_avatars::{DueAvatar, IdleAvatars};
use crate::daemon::poller::poll::{PendingWrite, PollInput, poll_avatar, retry_write};
use crate::daemon::poller::task::{TaskInfo, TaskResult, Tasks};
use crate::daemon::poller::watch_list::WatchList;
use crate::daemon::ports::{AvatarSource, Clock, Notifier};
use crate::daemon::stats::DaemonStats;
use crate::daemon::supervision::liveness::Loop;
use crate::daemon::supervision::shutdown::Shutdown;
use crate::domain::account::AccountName;
use crate::domain::avatar::AvatarId;
use crate::domain::polling::account_availability::AccountConnectivity;
use crate::domain::polling::strategy::Strategy;
use crate::domain::polling::watch::Watch;
use crate::domain::time::monotonic::Monotonic;
use crate::store::error::{Recovery, StoreError};

/// State of the poller.
#[derive(Debug)]
pub struct Poller<S, N, C: Clock> {
    pub(super) context: DaemonContext<C>,
    pub(super) stats: Arc<DaemonStats>,
    pub(super) config: Arc<RuntimeConfig<S, N>>,
    pub(super) queues: BTreeMap<AccountName, AccountQueue<C>>,
    pub(super) watched: WatchList,
    pub(super) idle: IdleAvatars,
    pub(super) tasks: Tasks,
    pub(super) hinted: HintedAvatars,
    pub(super) hints: mpsc::Receiver<AvatarId>,
    pub(super) forecasts: ForecastCache,
    pub(super) checkpoint_at: Monotonic,
    /// Cancels requests; writes continue.
    pub(super) cancel: CancellationToken,
}

impl<S: AvatarSource, N: Notifier, C: Clock> Poller<S, N, C> {
    /// Creates a poller with the stored state. An avatar that arrives through `hints` is polled
    /// soon.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn new(
        context: DaemonContext<C>,
        stats: Arc<DaemonStats>,
        config: Arc<RuntimeConfig<S, N>>,
        hints: mpsc::Receiver<AvatarId>,
    ) -> Result<Self, StoreError> {
        let samples = context.store.training_samples(SAMPLES_MAX).await?;
        let checkpoint_at = context.clock.monotonic();
        let mut poller = Self {
            context,
            stats,
            config,
            queues: BTreeMap::new(),
            watched: WatchList::default(),
            idle: IdleAvatars::default(),
            tasks: Tasks::default(),
            hinted: HintedAvatars::default(),
            hints,
            forecasts: ForecastCache::new(samples),
            checkpoint_at,
            cancel: CancellationToken::new(),
        };
        let state = poller.load_state(&Arc::clone(&poller.config)).await?;
        poller.watched.replace(state.watched);
        poller.create_queues(state.account_states);
        poller.schedule_initial(state.unloaded).await?;
        Ok(poller)
    }

    /// Polls until a stop is requested; applies new configs.
    ///
    /// # Errors
    /// When the store fails for good.
    pub async fn run(
        mut self,
        mut configs: watch::Receiver<Arc<RuntimeConfig<S, N>>>,
        stop: Shutdown,
    ) -> Result<(), StoreError> {
        let polled = self.poll_until_stopped(&mut configs, &stop).await;
        // Whatever the result, pending observations are written if possible.
        let drained = self.drain(stop).await;
        polled.and(drained)
    }

    /// Polls until a stop is requested or the store fails for good.
    async fn poll_until_stopped(
        &mut self,
        configs: &mut watch::Receiver<Arc<RuntimeConfig<S, N>>>,
        stop: &Shutdown,
    ) -> Result<(), StoreError> {
        // When to apply a config that could not be applied at once.
        let mut apply_at = None;
        loop {
            let wake_at = self.launch();
            let clock = self.context.clock.clone();
            select! {
                biased;
                () = stop.graceful.cancelled() => return Ok(()),
                Ok(()) = configs.changed() => apply_at = Some(clock.monotonic()),
                Some(done) = self.tasks.join_next() => self.on_task_done(done).await?,
                Some(id) = self.hints.recv() => self.on_hint(&id),
                () = clock.sleep_until(apply_at.map_or(wake_at, |at| wake_at.min(at))) => {}
            }
            if apply_at.is_some_and(|at| at <= clock.monotonic()) {
                let config = Arc::clone(&configs.borrow_and_update());
                apply_at = self.try_apply_config(config).await?;
            }
            while let Some(done) = self.tasks.try_join_next() {
                self.tick();
                self.on_task_done(done).await?;
            }
            self.publish_account_events().await?;
        }
    }

    /// Applies a new config. Returns when to retry if the store is busy.
    async fn try_apply_config(
        &mut self,
        config: Arc<RuntimeConfig<S, N>>,
    ) -> Result<Option<Monotonic>, StoreError> {
        let applied = self.apply_config(config).await;
        let (throttle, now) = (&self.context.throttle, self.context.clock.monotonic());
        match applied {
            Err(failure) if failure.next_step() == Recovery::Retry => {
                if let Some(emission) = throttle.record(Key::Store(CONFIG), CONFIG, now) {
                    warn!(
                        suppressed = emission.suppressed(),
                        "cannot read the avatars of the new config yet; will retry: {failure}"
                    );
                }
                Ok(Some(now.plus(APPLY_RETRY_DELAY)))
            }
            applied => {
                throttle.resolve(&Key::Store(CONFIG), now);
                applied.map(|()| None)
            }
        }
    }

    /// Starts polls that are due and allowed. Returns when to wake up, unless a task completes
    /// earlier.
    fn launch(&mut self) -> Monotonic {
        let now = self.tick();
        for id in self.idle.take_due(now) {
            self.enqueue(id, now);
        }
        for id in self.hinted.take_due(now) {
            self.enqueue_hinted(id, now);
        }
        let mut wake_at = earliest(self.idle.next_due_at(), self.hinted.next_due_at());
        self.stats.next_poll_at.set(wake_at);
        self.update_account_gauges();
        let accounts: Vec<AccountName> = self.queues.keys().cloned().collect();
        for name in accounts {
            let queue_at = self.launch_queue(&name, now);
            wake_at = earliest(wake_at, queue_at);
        }
        let idle_wake_at = now.plus(WAKE_EVERY);
        wake_at.map_or(idle_wake_at, |wake_at| wake_at.min(idle_wake_at))
    }

    /// Reports that the loop is alive; returns the current time.
    pub(super) fn tick(&self) -> Monotonic {
        let now = self.context.clock.monotonic();
        self.stats.liveness.tick(Loop::Poller, now);
        now
    }

    /// Enqueues an avatar that is due: for a pending write, a poll or the list.
    pub(super) fn enqueue(&mut self, id: AvatarId, now: Monotonic) {
        let watch = match self.idle.take_action(&id) {
            None => return,
            Some(DueAvatar::Write(pending)) => return self.spawn_retry_write(id, pending),
            Some(DueAvatar::Poll(watch)) => watch,
        };
        let Some(watched_avatar) = self.watched.get(&id) else { return };
        let Some(queue) = self.queues.get_mut(&watched_avatar.account) else { return };
        let singly =
            watch.streak.polls > 0 || queue.list.is_absent(&id) || !queue.list.is_open(now);
        if self.config.strategy == Strategy::List && !singly {
            queue.enqueue_for_list(id);
        } else {
            let wall = self.context.clock.now();
            queue.enqueue(id, Priority::of(self.watched.status_and_age(watch, wall)), now);
        }
    }

    /// Starts the requests of one account. Returns when to call it again.
    fn launch_queue(&mut self, name: &AccountName, now: Monotonic) -> Option<Monotonic> {
        loop {
            let account = self.config.accounts.get(name)?;
            let queue = self.queues.get_mut(name)?;
            let evaluate_at = queue.connectivity.evaluate_at(account.unavailable_after);
            let source = Arc::clone(&account.source);
            queue.charge_reconnects(source.reconnects());
            match queue.next_action(now, account.max_concurrency) {
                NextAction::Wait(until) => return earliest(until, evaluate_at),
                NextAction::List => self.spawn_list_poll(name, source),
                NextAction::Poll(id) => self.spawn_poll(id, name, source, now),
            }
        }
    }

    fn spawn_list_poll(&mut self, account: &AccountName, source: Arc<S>) {
        let (clock, cancel) = (self.context.clock.clone(), self.cancel.clone());
        let request_id = self.context.requests.next();
        let span = error_span!("list", account = %account, request.id = request_id);
        let task_info = TaskInfo { account: Some(account.clone()), span, ..TaskInfo::default() };
        self.tasks.spawn(task_info, async move {
            let asked_at = clock.monotonic();
            select! {
                biased;
                listing = source.list(clock.now()) => TaskResult::Listed(listing, asked_at),
                () = cancel.cancelled() => TaskResult::Cancelled,
            }
        });
    }

    fn spawn_poll(&mut self, id: AvatarId, account: &AccountName, source: Arc<S>, now: Monotonic) {
        let (Some(watch), Some(input)) = (self.idle.take(&id), self.poll_input(&id)) else {
            // Unreachable, since a ready avatar is idle; the queue must not count it as in flight.
            self.release_slot(account);
            return;
        };
        self.hinted.on_poll(&id, now);
        let input = self.with_past_trainings(&watch, input);
        let stale = Arc::<AtomicBool>::default();
        let task = poll_avatar(
            self.context.clone(),
            Arc::clone(&self.config),
            source,
            input,
            watch,
            Arc::clone(&stale),
            self.cancel.clone(),
        );
        let request_id = self.context.requests.next();
        let span = error_span!(
            "poll", avatar.id = %id, account = %account, request.id = request_id
        );
        let task_info = TaskInfo { avatar: Some(id), account: Some(account.clone()), stale, span };
        self.tasks.spawn(task_info, async { TaskResult::Polled(Box::new(task.await)) });
    }

    fn spawn_retry_write(&mut self, id: AvatarId, pending: Box<PendingWrite>) {
        let span = pending.span.clone();
        let task = retry_write(self.context.clone(), pending);
        let task_info = TaskInfo { avatar: Some(id), span, ..TaskInfo::default() };
        self.tasks.spawn(task_info, async { TaskResult::Polled(Box::new(task.await)) });
    }

    /// Makes a hinted avatar due now, unless its last observation is not written yet.
    fn on_hint(&mut self, id: &AvatarId) {
        let Some(id) = self.watched.resolve(id).cloned() else { return };
        if self.idle.has_pending_write(&id) {
            return;
        }
        self.hinted.add(id.clone());
        if self.idle.contains(&id) {
            self.hinted.expedite(&id, self.context.clock.monotonic());
        }
    }

    /// Enqueues a hinted avatar, in addition to its scheduled polls.
    fn enqueue_hinted(&mut self, id: AvatarId, now: Monotonic) {
        let Some(watched_avatar) = self.watched.get(&id) else { return };
        if self.idle.get(&id).is_none() {
            return;
        }
        if let Some(queue) = self.queues.get_mut(&watched_avatar.account) {
            queue.enqueue_hinted(id, now);
        }
    }

    /// Input for a poll of that avatar; `None` when it is not watched.
    pub(super) fn poll_input(&self, id: &AvatarId) -> Option<PollInput> {
        let watched_avatar = Arc::clone(self.watched.get(id)?);
        let queue = self.queues.get(&watched_avatar.account)?;
        Some(PollInput {
            watched_avatar,
            is_new: false,
            discovered: false,
            account_last_success_at: queue.connectivity.last_success_at(),
            forecast: None,
            usual: None,
        })
    }

    /// Adds what past trainings of its model say.
    pub(super) fn with_past_trainings(&mut self, watch: &Watch, input: PollInput) -> PollInput {
        let model = watch.model.as_ref();
        let forecast = self.forecasts.forecast(model, self.config.intervals.training);
        PollInput { forecast, usual: self.forecasts.usual(model), ..input }
    }

    pub(super) fn update_gauges(&self) {
        self.stats.avatars.set(self.watched.len());
        self.stats.training.set(self.idle.training_count());
        self.stats.failing.set(self.idle.failing_count());
        self.stats.accounts.set(self.queues.len());
        self.stats
            .accounts_unavailable
            .set(self.queues.values().filter(|queue| queue.connectivity.is_reported()).count());
    }

    fn update_account_gauges(&self) {
        let count = |test: fn(&AccountConnectivity) -> bool| {
            self.queues.values().filter(|queue| test(&queue.connectivity)).count()
        };
        self.stats.accounts_failing.set(count(AccountConnectivity::is_failing));
        self.stats.accounts_ok.set(count(|connectivity| {
            connectivity.last_success_at().is_some() && !connectivity.is_failing()
        }));
    }
}

fn earliest(one: Option<Monotonic>, other: Option<Monotonic>) -> Option<Monotonic> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// Maximum time between two iterations, so that the liveness check sees the loop move.
const WAKE_EVERY: Duration = Duration::from_secs(30);
/// Name of a config in the log.
const CONFIG: &str = "avatars of a new config";
/// Delay before a config is applied again after a failure.
const APPLY_RETRY_DELAY: Duration = Duration::from_secs(1);
