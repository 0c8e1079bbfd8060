//! Applies list polls: one request for all avatars of an account.
//!
//! A list confirms avatars with an unchanged status. An avatar that waited for the list and is
//! absent from it, or listed with another status, is polled singly before anything is concluded.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tracing::{info, warn};

use crate::daemon::config::runtime_config::WatchedAvatar;
use crate::daemon::logging::log::{log_write_failed, log_write_recovered};
use crate::daemon::poller::Poller;
use crate::daemon::poller::account::account_queue::Priority;
use crate::daemon::poller::account::list_state::Completeness;
use crate::daemon::poller::poll::{
    Evaluation, PendingWrite, PollInput, enroll, evaluate, write, write_baseline,
};
use crate::daemon::poller::task::{TaskInfo, TaskResult};
use crate::daemon::poller::watch_list::normalized_id;
use crate::daemon::ports::{AvatarSource, Clock, Notifier};
use crate::domain::account::AccountName;
use crate::domain::avatar::{Avatar, AvatarId};
use crate::domain::polling::account_availability::AccountSignal;
use crate::domain::polling::circuit_breaker::KeySignal;
use crate::domain::polling::list_observation::ListObservation;
use crate::domain::polling::observation::{Denial, Observation, PollError};
use crate::domain::polling::strategy::Strategy;
use crate::domain::polling::watch::Watch;
use crate::domain::time::monotonic::Monotonic;
use crate::store::error::{Recovery, StoreError};

impl<S: AvatarSource, N: Notifier, C: Clock> Poller<S, N, C> {
    /// Applies the result of a list poll that was requested at `asked_at`.
    pub(in crate::daemon) async fn apply_list(
        &mut self,
        account: &AccountName,
        listing: ListObservation,
        asked_at: Monotonic,
    ) -> Result<(), StoreError> {
        let now = self.context.clock.monotonic();
        let Some(queue) = self.queues.get_mut(account) else { return Ok(()) };
        queue.list.end(now);
        let succeeded = matches!(listing, ListObservation::Listed { .. });
        self.context.metrics.record_list(account, succeeded, now.since(asked_at));
        let waiting = queue.take_for_list();
        match listing {
            ListObservation::Failed(seen) => {
                self.record_signal(account, &AccountSignal::from(&seen));
                if is_about_the_list(&seen) {
                    self.suspend_list(account, &seen, waiting, now);
                    return Ok(());
                }
                for id in waiting {
                    // The failure applies to each avatar that waited for the list.
                    self.observe(&id, seen.clone(), now);
                }
                Ok(())
            }
            ListObservation::Listed { avatars, unreadable_ids, unreadable, page } => {
                self.record_signal(
                    account,
                    &AccountSignal { key: KeySignal::Success, outage: None },
                );
                self.log_unreadable(account, unreadable);
                let completeness = self.record_completeness(account, &avatars, page);
                let (avatars, handled) = self.process_list(account, avatars, asked_at);
                let unconfirmed = waiting.iter().filter(|id| !handled.contains(*id));
                unconfirmed.for_each(|id| self.poll_singly(id, Priority::Normal));
                self.discover(
                    account,
                    Unwatched { avatars, unreadable_ids },
                    &completeness,
                    asked_at,
                )
                .await
            }
        }
    }

    /// Suspends list polls that the API does not support, and polls the waiting avatars singly.
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
        warn!(account = %account, "list poll of account `{account}` failed; its avatars are \
            polled singly, next list poll in {wait:?}: {reason}");
        waiting.iter().for_each(|id| self.poll_singly(id, Priority::Normal));
    }

    fn log_unreadable(&mut self, account: &AccountName, unreadable: usize) {
        let Some(queue) = self.queues.get_mut(account) else { return };
        if queue.list.note_unreadable(unreadable) && unreadable > 0 {
            warn!(account = %account, "list of account `{account}` has {unreadable} unreadable \
                elements; watched avatars among them are polled singly");
        }
    }

    /// Enqueues an idle avatar for a poll of its own.
    fn poll_singly(&mut self, id: &AvatarId, priority: Priority) {
        if self.idle.get(id).is_none() {
            return;
        }
        let Some(watched_avatar) = self.watched.get(id) else { return };
        let now = self.context.clock.monotonic();
        if let Some(queue) = self.queues.get_mut(&watched_avatar.account) {
            self.idle.unschedule(id);
            queue.enqueue(id.clone(), priority, now);
        }
    }

    /// Records the length of the list and the avatars absent from it; returns its completeness.
    fn record_completeness(
        &mut self,
        account: &AccountName,
        avatars: &[Avatar],
        page: Option<String>,
    ) -> Completeness {
        let listed: HashSet<String> =
            avatars.iter().map(|avatar| normalized_id(&avatar.id)).collect();
        let ours = self.watched.ids_of(account);
        let absent = ours.filter(|id| !listed.contains(&normalized_id(id))).cloned();
        let absent: HashSet<AvatarId> = absent.collect();
        let now = self.context.clock.monotonic();
        let Some(queue) = self.queues.get_mut(account) else { return Completeness::Complete };
        if self.config.strategy == Strategy::List && !absent.is_empty() {
            // Absent avatars do not wait for a list, so nothing else would request the next one
            // soon.
            queue.list.expedite(now.plus(RELIST));
        }
        let completeness = queue.list.record(avatars.len(), page, absent);
        if let Some(doubt) = queue.list.take_unlogged_doubt(&completeness) {
            warn!(account = %account, "list of account `{account}` is treated as one page of a \
                longer one ({doubt}); absent avatars are polled singly");
        }
        completeness
    }

    /// Confirms each watched avatar that is listed with its known status, polls the others singly,
    /// because a list may be stale. Returns the avatars that are not watched, and the ids of those
    /// that need no further poll.
    fn process_list(
        &mut self,
        account: &AccountName,
        avatars: Vec<Avatar>,
        asked_at: Monotonic,
    ) -> (Vec<Avatar>, HashSet<AvatarId>) {
        let (mut unwatched, mut handled) = (Vec::new(), HashSet::new());
        for avatar in avatars {
            let Some(id) = self.watched.resolve(&avatar.id).cloned() else {
                unwatched.push(avatar);
                continue;
            };
            let ours = self.watched.get(&id).is_some_and(|it| it.account == *account);
            let (true, Some(watch)) = (ours, self.idle.get(&id)) else { continue };
            let polled_since = self.hinted.polled_since(&id, asked_at);
            if polled_since || watch.is_failing() {
                // The last single poll is newer, or its failure is about to be confirmed.
                continue;
            }
            handled.insert(id.clone());
            if self.is_unchanged(&id, watch, &avatar) {
                let avatar = Avatar { id: id.clone(), ..avatar };
                self.observe(&id, Observation::Seen(Box::new(avatar)), asked_at);
            } else {
                self.poll_singly(&id, Priority::High);
            }
        }
        (unwatched, handled)
    }

    /// Whether the listed status equals the known one.
    fn is_unchanged(&self, id: &AvatarId, watch: &Watch, avatar: &Avatar) -> bool {
        let assumed = self.watched.get(id).and_then(|it| it.assume.as_ref());
        let known = watch.observed.as_ref().map(|observed| &observed.status).or(assumed);
        known.is_none_or(|known| *known == avatar.status)
    }

    /// Applies an observation to an avatar that has no poll in flight.
    fn observe(&mut self, id: &AvatarId, seen: Observation, begin: Monotonic) {
        let (Some(watch), Some(input)) = (self.idle.take(id), self.poll_input(id)) else {
            return;
        };
        self.queues.values_mut().for_each(|queue| queue.remove(id));
        let input = self.with_past_trainings(&watch, input);
        match evaluate(&self.context, &self.config, &input, watch, seen, begin) {
            Evaluation::Unchanged(watch, next_poll_in) => {
                self.reschedule(*watch, begin, next_poll_in)
            }
            Evaluation::Changed(pending) => self.spawn_write(id.clone(), pending, begin),
        }
    }

    fn spawn_write(&mut self, id: AvatarId, pending: Box<PendingWrite>, begin: Monotonic) {
        self.idle.unschedule(&id);
        let context = self.context.clone();
        let task_info = TaskInfo { avatar: Some(id), ..TaskInfo::default() };
        self.tasks.spawn(task_info, async move {
            TaskResult::Polled(Box::new(write(&context, pending, begin).await))
        });
    }

    /// Enrolls listed avatars that the config does not name. Avatars in the first complete list
    /// existed before; later ones are new, unless they were watched before.
    async fn discover(
        &mut self,
        account: &AccountName,
        found: Unwatched,
        completeness: &Completeness,
        asked_at: Monotonic,
    ) -> Result<(), StoreError> {
        let Some(watched_avatar) = self.config.discovered(account).map(Arc::new) else {
            return Ok(());
        };
        let Some(was_listed) = self.queues.get(account).map(|queue| queue.list.was_listed()) else {
            return Ok(());
        };
        let done = match completeness {
            Completeness::Complete if !was_listed => {
                self.enroll_baseline(account, found, watched_avatar, asked_at).await
            }
            Completeness::Complete | Completeness::Partial(_) => {
                let is_new = *completeness == Completeness::Complete;
                self.enroll_later(account, found.avatars, watched_avatar, is_new, asked_at).await
            }
            // The next list shows whether they are new.
            Completeness::Shrunk(_) => Ok(()),
        };
        match done {
            Err(failure) if failure.next_step() == Recovery::Retry => {
                log_write_failed(&self.context, DISCOVERED, &failure);
                Ok(())
            }
            done => done,
        }
    }

    /// Enrolls the avatars of the first complete list, all or none. Those with an unreadable
    /// element are among them, since they exist.
    async fn enroll_baseline(
        &mut self,
        account: &AccountName,
        found: Unwatched,
        watched_avatar: Arc<WatchedAvatar>,
        asked_at: Monotonic,
    ) -> Result<(), StoreError> {
        let Unwatched { mut avatars, mut unreadable_ids } = found;
        unreadable_ids.retain(|id| self.watched.resolve(id).is_none());
        let room = self.room_for_discovered(account, avatars.len() + unreadable_ids.len());
        avatars.truncate(room);
        unreadable_ids.truncate(room - avatars.len());
        let found = self
            .evaluate_discovered(avatars, unreadable_ids, &watched_avatar, false, asked_at)
            .await?;
        let ids: Vec<AvatarId> = found.keys().cloned().collect();
        let baseline = found.into_values().collect();
        let polls = write_baseline(&self.context, baseline, account, asked_at).await?;
        let count = ids.len();
        log_write_recovered(&self.context, DISCOVERED);
        info!(account = %account, "discovered {count} avatars in the first list of account \
            `{account}`; watching them");
        ids.iter().for_each(|id| self.watched.discover(id, &watched_avatar));
        if let Some(queue) = self.queues.get_mut(account) {
            queue.list.mark_listed();
        }
        for polled in polls {
            self.reschedule(polled.watch, asked_at, polled.next_poll_in);
        }
        self.update_gauges();
        Ok(())
    }

    /// Enrolls the avatars of a later list, or of one page of a list.
    async fn enroll_later(
        &mut self,
        account: &AccountName,
        mut avatars: Vec<Avatar>,
        watched_avatar: Arc<WatchedAvatar>,
        is_new: bool,
        asked_at: Monotonic,
    ) -> Result<(), StoreError> {
        let room = self.room_for_discovered(account, avatars.len());
        avatars.truncate(room.min(DISCOVERED_AT_ONCE));
        let found = self
            .evaluate_discovered(avatars, Vec::new(), &watched_avatar, is_new, asked_at)
            .await?;
        for (id, pending) in found {
            let label = pending.label();
            info!(avatar.id = %id, "discovered {label} in the list of account `{account}`; \
                watching it");
            self.watched.discover(&id, &watched_avatar);
            self.spawn_write(id, pending, asked_at);
        }
        Ok(())
    }

    /// How many more avatars may be discovered; `wanted` are listed. A list is untrusted input, and
    /// every watched avatar uses memory.
    fn room_for_discovered(&self, account: &AccountName, wanted: usize) -> usize {
        let discovered = self.watched.discovered_count();
        let room = DISCOVERED_MAX.saturating_sub(discovered);
        if wanted > room {
            warn!(account = %account, "list of account `{account}` has {wanted} avatars that the \
                config does not name, and {discovered} discovered avatars are watched already; the \
                limit is {DISCOVERED_MAX}; name the others in the config");
        }
        room
    }

    /// Prepares the writes for discovered avatars: the listed status, or only a watch if an earlier
    /// status is stored or the element is unreadable.
    async fn evaluate_discovered(
        &mut self,
        avatars: Vec<Avatar>,
        unreadable_ids: Vec<AvatarId>,
        watched_avatar: &Arc<WatchedAvatar>,
        is_new: bool,
        asked_at: Monotonic,
    ) -> Result<HashMap<AvatarId, Box<PendingWrite>>, StoreError> {
        let input = PollInput {
            watched_avatar: Arc::clone(watched_avatar),
            is_new,
            discovered: true,
            account_last_success_at: None,
            forecast: None,
            usual: None,
        };
        let ids = avatars.iter().map(|avatar| &avatar.id).chain(&unreadable_ids).cloned().collect();
        let mut shown: HashMap<AvatarId, Avatar> =
            avatars.into_iter().map(|avatar| (avatar.id.clone(), avatar)).collect();
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
}

/// Listed avatars that are not watched yet.
struct Unwatched {
    avatars: Vec<Avatar>,
    unreadable_ids: Vec<AvatarId>,
}

/// Whether the failure concerns the list endpoint only.
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

/// Name of discovered avatars in the log.
const DISCOVERED: &str = "discovered avatars";
/// Maximum number of discovered avatars, over all accounts.
const DISCOVERED_MAX: usize = 10_000;
/// Maximum number of avatars that one list after the first adds.
const DISCOVERED_AT_ONCE: usize = 1_000;
/// Delay before a list is polled again after one that lacked a watched avatar.
const RELIST: Duration = Duration::from_secs(5 * 60);
