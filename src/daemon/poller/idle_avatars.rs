//! The avatars that no task works on: their watches, when each is due, and observations that could
//! not be written yet.
//!
//! Invariant: an avatar with a pending write is not polled before that is written.

use std::collections::HashMap;
use std::time::Duration;

use crate::daemon::poller::poll::PendingWrite;
use crate::daemon::poller::schedule::Schedule;
use crate::domain::avatar::AvatarId;
use crate::domain::avatar::status::Status;
use crate::domain::polling::watch::Watch;
use crate::domain::time::monotonic::Monotonic;

/// The avatars that no task works on.
#[derive(Debug, Default)]
pub(in crate::daemon) struct IdleAvatars {
    /// In boxes: a map with room for more would have that room for whole watches.
    watches: HashMap<AvatarId, Box<Watch>>,
    pending_writes: HashMap<AvatarId, Box<PendingWrite>>,
    schedule: Schedule,
    training: usize,
    failing: usize,
}

/// An avatar that is due.
#[derive(Debug)]
pub(in crate::daemon) enum DueAvatar<'a> {
    /// It is due for a poll; it stays idle.
    Poll(&'a Watch),
    /// Its observation is to be written again; it is idle no more.
    Write(Box<PendingWrite>),
}

impl IdleAvatars {
    /// Adds an avatar that is due `wait` after `begin`; without `wait`, it keeps its due time.
    pub(in crate::daemon) fn add(
        &mut self,
        watch: Watch,
        begin: Monotonic,
        wait: Option<Duration>,
    ) {
        let id = watch.id.clone();
        if let Some(wait) = wait {
            self.schedule.set(id.clone(), begin, wait);
        }
        self.remove_watch(&id);
        self.count(&watch, usize::wrapping_add);
        self.watches.insert(id, Box::new(watch));
    }

    /// Adds an avatar with an observation to write again `wait` after `now`.
    pub(in crate::daemon) fn add_pending(
        &mut self,
        watch: Watch,
        pending: Box<PendingWrite>,
        now: Monotonic,
        wait: Duration,
    ) {
        self.pending_writes.insert(watch.id.clone(), pending);
        self.add(watch, now, Some(wait));
    }

    /// What to do with an avatar that is due; `None` if it is not idle. A pending write is removed
    /// together with its avatar.
    pub(in crate::daemon) fn take_action(&mut self, id: &AvatarId) -> Option<DueAvatar<'_>> {
        if let Some(pending) = self.pending_writes.remove(id) {
            self.remove_watch(id);
            return Some(DueAvatar::Write(pending));
        }
        self.watches.get(id).map(|watch| DueAvatar::Poll(watch))
    }

    /// Removes an avatar for a task and returns its watch.
    pub(in crate::daemon) fn take(&mut self, id: &AvatarId) -> Option<Watch> {
        if self.pending_writes.contains_key(id) { None } else { self.remove_watch(id) }
    }

    /// Removes and returns all pending writes.
    pub(in crate::daemon) fn take_pending_writes(
        &mut self,
    ) -> impl Iterator<Item = (AvatarId, Box<PendingWrite>)> + use<> {
        std::mem::take(&mut self.pending_writes).into_iter()
    }

    /// Removes an avatar; a pending write stays.
    pub(in crate::daemon) fn remove(&mut self, id: &AvatarId) {
        self.remove_watch(id);
        self.schedule.remove(id);
    }

    /// The watch of an avatar, if it is idle and has no pending write.
    pub(in crate::daemon) fn get(&self, id: &AvatarId) -> Option<&Watch> {
        self.watches.get(id).filter(|_| !self.pending_writes.contains_key(id)).map(Box::as_ref)
    }

    /// Whether no task works on the avatar, with a pending write or without.
    pub(in crate::daemon) fn contains(&self, id: &AvatarId) -> bool {
        self.watches.contains_key(id)
    }

    /// Whether an observation of the avatar is to be written again.
    pub(in crate::daemon) fn has_pending_write(&self, id: &AvatarId) -> bool {
        self.pending_writes.contains_key(id)
    }

    /// The watches of all idle avatars.
    pub(in crate::daemon) fn watches(&self) -> impl Iterator<Item = &Watch> {
        self.watches.values().map(Box::as_ref)
    }

    /// When an avatar is due.
    pub(in crate::daemon) fn due_at(&self, id: &AvatarId) -> Option<Monotonic> {
        self.schedule.due_at(id)
    }

    /// When the first avatar is due.
    pub(in crate::daemon) fn next_due_at(&self) -> Option<Monotonic> {
        self.schedule.next_due_at()
    }

    /// Removes from the schedule, and returns, the avatars that are due at `now`.
    pub(in crate::daemon) fn take_due(&mut self, now: Monotonic) -> Vec<AvatarId> {
        self.schedule.take_due(now)
    }

    /// Makes an avatar due no later than `wait` after `now`.
    pub(in crate::daemon) fn expedite(&mut self, id: &AvatarId, now: Monotonic, wait: Duration) {
        self.schedule.expedite(id, now, wait);
    }

    /// Removes an avatar from the schedule.
    pub(in crate::daemon) fn unschedule(&mut self, id: &AvatarId) {
        self.schedule.remove(id);
    }

    /// Number of idle avatars in training.
    pub(in crate::daemon) fn training_count(&self) -> usize {
        self.training
    }

    /// Number of idle avatars with a failure.
    pub(in crate::daemon) fn failing_count(&self) -> usize {
        self.failing
    }

    fn remove_watch(&mut self, id: &AvatarId) -> Option<Watch> {
        let watch = *self.watches.remove(id)?;
        self.count(&watch, usize::wrapping_sub);
        Some(watch)
    }

    fn count(&mut self, watch: &Watch, add: fn(usize, usize) -> usize) {
        let training = watch.observed.as_ref().is_some_and(|it| it.status == Status::Training);
        self.training = add(self.training, usize::from(training));
        self.failing = add(self.failing, usize::from(watch.failure.is_some()));
    }
}
