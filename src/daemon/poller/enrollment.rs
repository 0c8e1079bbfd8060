//! Adds accounts and avatars to the poller: at startup, from a new config, from a list.
//!
//! A start causes no burst: avatars that are due later stay due later, and avatars that are due now
//! are polled within the rate limit, high priority first.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::daemon::config::runtime_config::{RuntimeConfig, WatchedAvatar};
use crate::daemon::poller::Poller;
use crate::daemon::poller::account::account_queue::{AccountQueue, Priority};
use crate::daemon::poller::account::list_state::ListState;
use crate::daemon::ports::{AvatarSource, Clock, Notifier};
use crate::domain::account::AccountName;
use crate::domain::avatar::AvatarId;
use crate::domain::polling::account_availability::AccountConnectivity;
use crate::domain::polling::watch::Watch;
use crate::domain::time::monotonic::Monotonic;
use crate::domain::time::timestamp::Timestamp;
use crate::store::error::StoreError;
use crate::store::tables::accounts::AccountState;

/// What the store contains about the accounts and avatars of a config.
#[derive(Debug)]
pub(in crate::daemon) struct StoredState {
    /// State of each account.
    pub(in crate::daemon) account_states: BTreeMap<AccountName, AccountState>,
    /// All avatars to watch, including discovered ones.
    pub(in crate::daemon) watched: HashMap<AvatarId, Arc<WatchedAvatar>>,
    /// The watches of avatars that the poller does not hold yet.
    pub(in crate::daemon) unloaded: Vec<Watch>,
}

impl<S: AvatarSource, N: Notifier, C: Clock> Poller<S, N, C> {
    /// Reads the stored state for a config; changes nothing.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(in crate::daemon) async fn load_state(
        &self,
        config: &RuntimeConfig<S, N>,
    ) -> Result<StoredState, StoreError> {
        let mut account_states = BTreeMap::new();
        let mut watched = config.avatars.clone();
        for name in config.accounts.keys() {
            let account_state = self.context.store.account(name.clone()).await?;
            if let Some(watched_avatar) = config.discovered(name).map(Arc::new) {
                let fresh = self.watched.discovered_in(name);
                for id in account_state.discovered.iter().chain(fresh) {
                    let watched_avatar = || Arc::clone(&watched_avatar);
                    watched.entry(id.clone()).or_insert_with(watched_avatar);
                }
            }
            account_states.insert(name.clone(), account_state);
        }
        let in_flight: HashSet<&AvatarId> =
            self.tasks.infos().filter_map(|task_info| task_info.avatar.as_ref()).collect();
        let known = |id: &AvatarId| self.idle.contains(id) || in_flight.contains(id);
        let mut ids: Vec<AvatarId> = watched.keys().filter(|id| !known(id)).cloned().collect();
        ids.sort();
        let unloaded = self.context.store.watches(ids).await?;
        Ok(StoredState { account_states, watched, unloaded })
    }

    /// Creates a queue for each account of the config, and removes the others.
    pub(in crate::daemon) fn create_queues(
        &mut self,
        mut account_states: BTreeMap<AccountName, AccountState>,
    ) {
        let config = Arc::clone(&self.config);
        self.queues.retain(|name, _| config.accounts.contains_key(name));
        for (name, account) in &config.accounts {
            let every = config.discovered(name).and(config.discovery.as_ref()).map(|it| it.every);
            let monotonic = self.context.clock.monotonic();
            if let Some(queue) = self.queues.get_mut(name) {
                queue.renew(account.max_per_second, self.context.clock.clone());
                queue.list.renew(every, monotonic);
            } else {
                let account_state = account_states.remove(name).unwrap_or_default();
                let connectivity = AccountConnectivity::after(account_state.outage);
                let list_state =
                    ListState::new(every, account_state.listed_at.is_some(), monotonic);
                let clock = self.context.clock.clone();
                let queue =
                    AccountQueue::new(account.max_per_second, connectivity, list_state, clock);
                self.queues.insert(name.clone(), queue);
            }
        }
    }

    /// Schedules every watched avatar for when it is due.
    pub(in crate::daemon) async fn schedule_initial(
        &mut self,
        watches: Vec<Watch>,
    ) -> Result<(), StoreError> {
        let ids: Vec<AvatarId> = self.watched.ids().cloned().collect();
        let next_polls = self.context.store.next_polls(ids).await?;
        let (now, monotonic) = (self.context.clock.now(), self.context.clock.monotonic());
        let mut due_now: BTreeMap<AccountName, Vec<Watch>> = BTreeMap::new();
        for watch in watches {
            match self.initial_delay(&watch, next_polls.get(&watch.id), now) {
                Some(wait) if !wait.is_zero() => self.reschedule(watch, monotonic, Some(wait)),
                Some(_) | None => {
                    let Some(watched_avatar) = self.watched.get(&watch.id) else { continue };
                    due_now.entry(watched_avatar.account.clone()).or_default().push(watch);
                }
            }
        }
        for (account, watches) in due_now {
            self.spread(&account, watches, now, monotonic);
        }
        self.update_gauges();
        Ok(())
    }

    /// Delay until the next poll; `None` when the due time is unknown.
    fn initial_delay(
        &self,
        watch: &Watch,
        next_poll_at: Option<&Timestamp>,
        now: Timestamp,
    ) -> Option<Duration> {
        if watch.failure.is_some() {
            return None;
        }
        let usual = self.usual_delay(watch, now)?;
        // Whatever the wall clock says, wait at most one polling interval.
        Some(next_poll_at?.since(now).min(usual))
    }

    /// The usual delay before the next poll; `None` is never, or before the first observation.
    fn usual_delay(&self, watch: &Watch, now: Timestamp) -> Option<Duration> {
        let (status, age) = self.watched.status_and_age(watch, now)?;
        self.config.intervals.delay(status, age)
    }

    /// Schedules these polls at the account's rate limit, high priority first.
    fn spread(
        &mut self,
        account: &AccountName,
        mut watches: Vec<Watch>,
        now: Timestamp,
        monotonic: Monotonic,
    ) {
        let Some(account) = self.config.accounts.get(account) else { return };
        let per_second = u64::from(account.max_per_second.get());
        let rank = |watch: &Watch| {
            let is_urgent = Priority::of(self.watched.status_and_age(watch, now)) == Priority::High;
            (
                !is_urgent,
                watch.observed.as_ref().map(|observed| observed.last_seen_at),
                watch.id.clone(),
            )
        };
        watches.sort_by_cached_key(rank);
        for (number, watch) in (0u64..).zip(watches) {
            let wait = Duration::from_secs(number / per_second);
            self.reschedule(watch, monotonic, Some(wait));
        }
    }

    /// Applies a new config: new avatars are due now, failed ones are polled again, and every delay
    /// is capped by the new polling intervals. All circuit breakers are reset.
    ///
    /// # Errors
    /// When the store cannot be read; the old config then stays active.
    pub(in crate::daemon) async fn apply_config(
        &mut self,
        config: Arc<RuntimeConfig<S, N>>,
    ) -> Result<(), StoreError> {
        let StoredState { account_states, watched, unloaded } = self.load_state(&config).await?;
        let old_config = std::mem::replace(&mut self.config, config);
        let (now, monotonic) = (self.context.clock.now(), self.context.clock.monotonic());
        let ready: HashSet<AvatarId> =
            self.queues.values_mut().flat_map(AccountQueue::take_all).collect();
        let before = self.watched.replace(watched);
        self.create_queues(account_states);
        self.mark_stale_requests(&old_config);
        for id in before.keys() {
            if !self.watched.contains(id) && self.idle.get(id).is_some() {
                self.forget(id);
            }
        }
        let idle: Vec<AvatarId> = self.idle.watches().map(|watch| watch.id.clone()).collect();
        for id in idle {
            let Some(watch) = self.idle.get(&id) else { continue };
            let moved = before.get(&id).map(|old| &old.account)
                != self.watched.get(&id).map(|new| &new.account);
            let wait =
                if ready.contains(&id) || moved || watch.is_failing() || watch.observed.is_none() {
                    Some(Duration::ZERO)
                } else {
                    self.usual_delay(watch, now)
                };
            match wait {
                Some(wait) => self.idle.expedite(&id, monotonic, wait),
                None => self.idle.unschedule(&id),
            }
            self.note_next_poll(&id);
        }
        for watch in unloaded {
            self.reschedule(watch, monotonic, Some(Duration::ZERO));
        }
        self.update_gauges();
        Ok(())
    }

    /// Marks requests in flight as stale if they use a key that their account no longer has, or if
    /// their avatar moved to another account.
    fn mark_stale_requests(&self, old_config: &RuntimeConfig<S, N>) {
        for task_info in self.tasks.infos() {
            let Some(name) = &task_info.account else { continue };
            let (old, new) = (old_config.accounts.get(name), self.config.accounts.get(name));
            let same_key = match (old, new) {
                (Some(old), Some(new)) => Arc::ptr_eq(&old.source, &new.source),
                (Some(_) | None, _) => false,
            };
            let watched_avatar = task_info.avatar.as_ref().and_then(|id| self.watched.get(id));
            let same_account = watched_avatar.is_none_or(|it| it.account == *name);
            if !same_key || !same_account {
                task_info.stale.store(true, Ordering::Relaxed);
            }
        }
    }
}
