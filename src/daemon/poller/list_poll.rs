//! What the poller does with a list of all avatars of an account.
//!
//! Whoever is in the list as it is known to be was looked at. Whoever waited for it and is not in
//! it, or in it with another status, is looked at singly before anything is concluded.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tracing::{info, warn};

use crate::daemon::poller::Poller;
use crate::daemon::poller::account_queue::Priority;
use crate::daemon::poller::enrollment::normalized_id;
use crate::daemon::poller::list_state::Completeness;
use crate::daemon::poller::poll::{
    Evaluation, PendingWrite, PollInput, PollResult, enroll, evaluate, log_write_failed,
    log_write_recovered, write, write_baseline,
};
use crate::daemon::poller::task::{TaskInfo, TaskResult};
use crate::daemon::ports::{AvatarSource, Clock, Notifier};
use crate::daemon::runtime_config::{Strategy, WatchedAvatar};
use crate::domain::account::AccountName;
use crate::domain::avatar::{Avatar, AvatarId};
use crate::domain::polling::circuit_breaker::ApiSignal;
use crate::domain::polling::connectivity::PollSignal;
use crate::domain::polling::list_observation::ListObservation;
use crate::domain::polling::observation::{Denial, Observation, PollError};
use crate::domain::polling::watch::Watch;
use crate::domain::time::monotonic::Monotonic;
use crate::store::error::{Recovery, StoreError};

impl<S: AvatarSource, N: Notifier, C: Clock> Poller<S, N, C> {
    /// Takes up the outcome of a listing that was asked for at `asked_at`.
    pub(in crate::daemon) async fn apply_list(
        &mut self,
        account: &AccountName,
        listing: ListObservation,
        asked_at: Monotonic,
    ) -> Result<(), StoreError> {
        let now = self.context.clock.monotonic();
        let Some(queue) = self.queues.get_mut(account) else { return Ok(()) };
        queue.list.end(now);
        let whole = matches!(listing, ListObservation::Listed { .. });
        self.context.metrics.record_list(account, whole, now.since(asked_at));
        let waiting = queue.take_for_list();
        match listing {
            ListObservation::Failed(seen) => {
                self.record_signal(account, &PollSignal::from(&seen));
                if is_about_the_list(&seen) {
                    self.suspend_list(account, &seen, waiting, now);
                    return Ok(());
                }
                for id in waiting {
                    // They share what was observed, as each of them would have observed it.
                    self.observe(&id, seen.clone(), now);
                }
                Ok(())
            }
            ListObservation::Listed { avatars, unclear, unusable, page } => {
                self.record_signal(
                    account,
                    &PollSignal { signal: ApiSignal::Success, outage: None },
                );
                self.log_unusable(account, unusable);
                let completeness = self.measure(account, &avatars, page);
                let (unknown, seen) = self.process_list(account, avatars, asked_at);
                let unseen = waiting.iter().filter(|id| !seen.contains(*id));
                unseen.for_each(|id| self.poll_singly(id, Priority::Normal));
                self.discover(account, Discovered { unknown, unclear }, &completeness, asked_at)
                    .await
            }
        }
    }

    /// Looks singly at those that waited for a list which the API does not give.
    fn suspend_list(
        &mut self,
        account: &AccountName,
        seen: &Observation,
        waiting: HashSet<AvatarId>,
        now: Monotonic,
    ) {
        let Some(queue) = self.queues.get_mut(account) else { return };
        let wait = queue.list.suspend(
            now,
            &self.config.breaker_backoff.denied,
            self.context.rng.next_bits(),
        );
        let reason = seen.reason().unwrap_or_default();
        warn!(account = %account, "the list of account `{account}` cannot be used, so its avatars \
            are looked at singly; it is asked for again in {wait:?}: {reason}");
        waiting.iter().for_each(|id| self.poll_singly(id, Priority::Normal));
    }

    fn log_unusable(&mut self, account: &AccountName, unusable: usize) {
        let Some(queue) = self.queues.get_mut(account) else { return };
        if queue.list.note_unusable(unusable) && unusable > 0 {
            warn!(account = %account, "in the list of account `{account}` are elements that cannot \
                be read: {unusable}; registered avatars among them are looked at singly");
        }
    }

    /// Makes an avatar that is idle ready for a look of its own.
    fn poll_singly(&mut self, id: &AvatarId, priority: Priority) {
        if !self.idle.contains_key(id) || self.pending_writes.contains_key(id) {
            return;
        }
        let Some(watched_avatar) = self.watched.get(id) else { return };
        let now = self.context.clock.monotonic();
        if let Some(queue) = self.queues.get_mut(&watched_avatar.account) {
            self.schedule.remove(id);
            queue.ready(id.clone(), priority, now);
        }
    }

    /// Notes how long the list is, and who is not in it; whether it is whole.
    fn measure(
        &mut self,
        account: &AccountName,
        avatars: &[Avatar],
        page: Option<String>,
    ) -> Completeness {
        let listed: HashSet<String> =
            avatars.iter().map(|avatar| normalized_id(&avatar.id)).collect();
        let ours = self.watched.iter().filter(|(_, it)| it.account == *account);
        let absent =
            ours.map(|(id, _)| id).filter(|id| !listed.contains(&normalized_id(id))).cloned();
        let absent: HashSet<AvatarId> = absent.collect();
        let now = self.context.clock.monotonic();
        let Some(queue) = self.queues.get_mut(account) else { return Completeness::Complete };
        if self.config.strategy == Strategy::List && !absent.is_empty() {
            // They do not wait for a list, so that nobody may ask for one by which they came back.
            queue.list.expedite(now.plus(RELIST));
        }
        let completeness = queue.list.record(avatars.len(), page, absent);
        if let Some(doubt) = queue.list.doubt(&completeness) {
            warn!(account = %account, "the list of account `{account}` is taken for one page of a \
                longer one, since {doubt}: whoever is not in it is looked at singly");
        }
        completeness
    }

    /// Takes every registered avatar that the list shows as it is known for looked at, and has a
    /// look at those that it shows otherwise: a list may be old. The others, and whoever needs no
    /// further look.
    fn process_list(
        &mut self,
        account: &AccountName,
        avatars: Vec<Avatar>,
        asked_at: Monotonic,
    ) -> (Vec<Avatar>, HashSet<AvatarId>) {
        let (mut unknown, mut seen) = (Vec::new(), HashSet::new());
        for avatar in avatars {
            let Some(id) = self.by_normalized_id.get(&normalized_id(&avatar.id)).cloned() else {
                unknown.push(avatar);
                continue;
            };
            let ours = self.watched.get(&id).is_some_and(|it| it.account == *account);
            let (true, Some(watch)) = (ours, self.idle.get(&id)) else { continue };
            let asked_since = self.asked_at.get(&id).is_some_and(|at| *at >= asked_at);
            let unsure = watch.failure.is_some() || watch.streak.polls > 0;
            if asked_since || unsure {
                // What the last look at it showed is newer, or is about to be confirmed.
                continue;
            }
            seen.insert(id.clone());
            if self.is_unchanged(&id, watch, &avatar) {
                let avatar = Avatar { id: id.clone(), ..avatar };
                self.observe(&id, Observation::Seen(Box::new(avatar)), asked_at);
            } else {
                self.poll_singly(&id, Priority::High);
            }
        }
        (unknown, seen)
    }

    /// Whether a list shows no news of an avatar.
    fn is_unchanged(&self, id: &AvatarId, watch: &Watch, avatar: &Avatar) -> bool {
        let assumed = self.watched.get(id).and_then(|it| it.assume.as_ref());
        let known = watch.observed.as_ref().map(|observed| &observed.status).or(assumed);
        known.is_none_or(|known| *known == avatar.status)
    }

    /// Takes what was observed of an avatar that nobody is looking at just now.
    fn observe(&mut self, id: &AvatarId, seen: Observation, begin: Monotonic) {
        if self.pending_writes.contains_key(id) {
            return;
        }
        let (Some(watch), Some(input)) = (self.idle.remove(id), self.poll_input(id)) else {
            return;
        };
        self.queues.values_mut().for_each(|queue| queue.remove(id));
        let input = PollInput { forecast: self.forecast(&watch), ..input };
        match evaluate(&self.context, &self.config, &input, watch, seen, begin) {
            Evaluation::Unchanged(watch, next_poll_in) => {
                self.reschedule(*watch, begin, next_poll_in)
            }
            Evaluation::Changed(pending) => self.spawn_write(id.clone(), pending, begin),
        }
    }

    fn spawn_write(&mut self, id: AvatarId, pending: Box<PendingWrite>, begin: Monotonic) {
        self.schedule.remove(&id);
        let context = self.context.clone();
        let task_info = TaskInfo { avatar: Some(id), ..TaskInfo::default() };
        self.spawn(task_info, async move {
            TaskResult::Polled(Box::new(write(&context, pending, begin).await))
        });
    }

    /// Registers what the list shows and the config does not name. What the first whole list
    /// shows was there before us; what appears later is new, unless it was watched before.
    async fn discover(
        &mut self,
        account: &AccountName,
        found: Discovered,
        completeness: &Completeness,
        asked_at: Monotonic,
    ) -> Result<(), StoreError> {
        let Some(watched_avatar) = self.config.discovered(account) else { return Ok(()) };
        let Some(queue) = self.queues.get(account) else { return Ok(()) };
        let known = queue.list.is_known();
        let is_new = match completeness {
            Completeness::Complete => known,
            Completeness::Partial(_) => false,
            // Whether they are new can be told from the next list.
            Completeness::Shrunk(_) => return Ok(()),
        };
        let first = *completeness == Completeness::Complete && !known;
        let watched_avatar = Arc::new(watched_avatar);
        // Of the first list, those too that it shows nothing of: they are there.
        let unclear = if first { found.unclear } else { Vec::new() };
        let unclear = unclear
            .into_iter()
            .filter(|id| !self.by_normalized_id.contains_key(&normalized_id(id)));
        let unclear: Vec<AvatarId> = unclear.collect();
        let (unknown, unclear) = self.within_bounds(account, found.unknown, unclear, first);
        let evaluated =
            self.evaluate_discovered(unknown, unclear, &watched_avatar, is_new, asked_at);
        let found = match evaluated.await {
            Ok(found) => found,
            Err(failure) if failure.next_step() == Recovery::Retry => {
                log_write_failed(&self.context, LISTS, &failure);
                return Ok(());
            }
            Err(failure) => return Err(failure),
        };
        if !first {
            for (id, pending) in found {
                info!(avatar.id = %id, "avatar `{id}` of account `{account}` is new in its list, \
                    and watched from now on");
                self.register(&id, &watched_avatar);
                self.spawn_write(id, pending, asked_at);
            }
            return Ok(());
        }
        let ids: Vec<AvatarId> = found.keys().cloned().collect();
        let baseline = found.into_values().collect();
        match write_baseline(&self.context, baseline, account, asked_at).await {
            Ok(polls) => {
                let count = ids.len();
                log_write_recovered(&self.context, LISTS);
                info!(account = %account, "avatars in the first list of account `{account}` that \
                    the config does not name, and that are watched from now on: {count}");
                ids.iter().for_each(|id| self.register(id, &watched_avatar));
                if let Some(queue) = self.queues.get_mut(account) {
                    queue.list.know();
                }
                for polled in polls {
                    let PollResult { watch, next_poll_in, .. } = polled;
                    self.reschedule(watch, asked_at, next_poll_in);
                }
                self.report();
                Ok(())
            }
            Err(failure) if failure.next_step() == Recovery::Retry => {
                log_write_failed(&self.context, LISTS, &failure);
                Ok(())
            }
            Err(failure) => Err(failure),
        }
    }

    /// As many of those that were found as may be watched, and of later lists as many as may be
    /// taken up at once: the others come with the next list. A list is a stranger's word, and each
    /// avatar takes memory for as long as it is watched.
    fn within_bounds(
        &self,
        account: &AccountName,
        mut unknown: Vec<Avatar>,
        mut unclear: Vec<AvatarId>,
        first: bool,
    ) -> (Vec<Avatar>, Vec<AvatarId>) {
        let discovered = self.discovered.len();
        let room = DISCOVERED_MAX.saturating_sub(discovered);
        let number = unknown.len() + unclear.len();
        if number > room {
            warn!(account = %account, "the list of account `{account}` shows {number} avatars \
                that the config does not name, and {discovered} are watched so already: \
                {DISCOVERED_MAX} is the most; name the others in the config");
        }
        let taken = if first { room } else { room.min(DISCOVERED_AT_ONCE) };
        unknown.truncate(taken);
        unclear.truncate(taken - unknown.len());
        (unknown, unclear)
    }

    /// What is to be written of those that were found: what the list shows of them or, where
    /// something is known from before or it shows nothing, only that they are there.
    async fn evaluate_discovered(
        &mut self,
        unknown: Vec<Avatar>,
        unclear: Vec<AvatarId>,
        watched_avatar: &Arc<WatchedAvatar>,
        is_new: bool,
        asked_at: Monotonic,
    ) -> Result<HashMap<AvatarId, Box<PendingWrite>>, StoreError> {
        let input = PollInput {
            watched_avatar: Arc::clone(watched_avatar),
            is_new,
            discovered: true,
            account_ok_at: None,
            forecast: None,
        };
        let ids = unknown.iter().map(|avatar| &avatar.id).chain(&unclear).cloned().collect();
        let mut shown: HashMap<AvatarId, Avatar> =
            unknown.into_iter().map(|avatar| (avatar.id.clone(), avatar)).collect();
        let mut found = HashMap::new();
        for watch in self.context.store.watches(ids).await? {
            let id = watch.id.clone();
            let pending = match shown.remove(&id).filter(|_| watch.observed.is_none()) {
                None => enroll(&self.context, &self.config, &input, watch),
                Some(avatar) => {
                    let seen = Observation::Seen(Box::new(avatar));
                    match evaluate(&self.context, &self.config, &input, watch, seen, asked_at) {
                        Evaluation::Changed(pending) => pending,
                        Evaluation::Unchanged(..) => continue,
                    }
                }
            };
            found.insert(id, pending);
        }
        Ok(found)
    }

    fn register(&mut self, id: &AvatarId, watched_avatar: &Arc<WatchedAvatar>) {
        self.watched.insert(id.clone(), Arc::clone(watched_avatar));
        self.by_normalized_id.insert(normalized_id(id), id.clone());
        self.discovered.insert(id.clone(), watched_avatar.account.clone());
    }
}

/// What a list shows and nobody registered.
struct Discovered {
    unknown: Vec<Avatar>,
    unclear: Vec<AvatarId>,
}

/// Whether it is the list that the API does not give, and not everything.
fn is_about_the_list(seen: &Observation) -> bool {
    match seen {
        Observation::Denied { denial, .. } => *denial == Denial::Avatar,
        Observation::Failed { fault, .. } => {
            matches!(
                fault,
                PollError::InvalidResponse
                    | PollError::UnknownEncoding
                    | PollError::RequestRejected
            )
        }
        Observation::Missing { .. } => true,
        Observation::Seen(_) | Observation::Throttled { .. } => false,
    }
}

/// What the log calls what the first list shows, and who is new in a later one.
const LISTS: &str = "avatars that only a list shows";
/// The most avatars that are watched because a list showed them, of all accounts.
const DISCOVERED_MAX: usize = 10_000;
/// The most that one list after the first adds.
const DISCOVERED_AT_ONCE: usize = 1_000;
/// When the list is asked for again by which avatars may come back that one lacked.
const RELIST: Duration = Duration::from_secs(5 * 60);
