//! State of list polls of one account: which avatars the last list lacked, and whether lists are
//! complete.
//!
//! A list proves only what it contains. An avatar that is absent is polled singly.

use std::collections::HashSet;
use std::time::Duration;

use crate::domain::avatar::AvatarId;
use crate::domain::polling::backoff::Backoff;
use crate::domain::random::RandomBits;
use crate::domain::time::monotonic::Monotonic;

/// State of an account's list polls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListState {
    every: Option<Duration>,
    due_at: Option<Monotonic>,
    in_flight: bool,
    was_listed: bool,
    expected_length: usize,
    absent: HashSet<AvatarId>,
    doubt_logged: bool,
    failures: u32,
    suspended_until: Option<Monotonic>,
    unreadable: usize,
}

/// Completeness of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Completeness {
    /// No sign that elements are missing.
    Complete,
    /// Shorter than an earlier list, so possibly one page; with the reason.
    Shrunk(String),
    /// One page of a longer list; with the reason.
    Partial(String),
}

impl ListState {
    /// Creates the state of an account that is listed every `every`; `None` for never.
    /// `was_listed`: whether a complete list was stored before.
    pub fn new(every: Option<Duration>, was_listed: bool, now: Monotonic) -> Self {
        Self { every, due_at: every.map(|_| now), was_listed, ..Self::default() }
    }

    /// Applies a new config.
    pub fn renew(&mut self, every: Option<Duration>, now: Monotonic) {
        if self.every != every {
            self.every = every;
            self.due_at = every.map(|_| now);
        }
    }

    /// Whether a list poll should start. `awaited`: avatars wait for one.
    pub fn wants(&self, now: Monotonic, awaited: bool) -> bool {
        let due = awaited || self.due_at.is_some_and(|at| at <= now);
        due && !self.in_flight && self.is_open(now)
    }

    /// When the next periodic list poll is due.
    pub fn next_at(&self) -> Option<Monotonic> {
        let due_at = self.due_at.filter(|_| !self.in_flight)?;
        Some(self.suspended_until.map_or(due_at, |until| due_at.max(until)))
    }

    /// Whether list polls are not suspended.
    pub fn is_open(&self, now: Monotonic) -> bool {
        self.suspended_until.is_none_or(|until| until <= now)
    }

    /// Suspends list polls after an unreadable response, for a delay that grows with each failure.
    /// Returns the delay.
    pub fn suspend(&mut self, now: Monotonic, backoff: &Backoff, random: RandomBits) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let wait = backoff.delay(self.failures, random);
        self.suspended_until = Some(now.plus(wait));
        wait
    }

    /// Makes the next list poll due no later than `at`.
    pub fn expedite(&mut self, at: Monotonic) {
        self.due_at = Some(self.due_at.map_or(at, |due_at| due_at.min(at)));
    }

    /// Records the number of unreadable elements; returns whether it changed.
    pub fn note_unreadable(&mut self, count: usize) -> bool {
        std::mem::replace(&mut self.unreadable, count) != count
    }

    /// Marks a list poll as in flight.
    pub fn begin(&mut self) {
        self.in_flight = true;
    }

    /// Marks the list poll as completed and schedules the next one.
    pub fn end(&mut self, now: Monotonic) {
        self.in_flight = false;
        self.due_at = self.every.map(|every| now.plus(every));
    }

    /// Records a list of `length` avatars that lacks the watched avatars in `absent`; returns its
    /// completeness. A list that is shorter than an earlier one counts as incomplete, because the
    /// API may have started to paginate.
    pub fn record(
        &mut self,
        length: usize,
        page: Option<String>,
        absent: HashSet<AvatarId>,
    ) -> Completeness {
        self.absent = absent;
        (self.failures, self.suspended_until) = (0, None);
        let expected = self.expected_length;
        self.expected_length = expected.max(length);
        match page {
            Some(reason) => Completeness::Partial(reason),
            None if length < expected => {
                // Avatars do get deleted: the next lists are compared with this length.
                self.expected_length = length;
                Completeness::Shrunk(format!("{length} avatars, {expected} before"))
            }
            None => Completeness::Complete,
        }
    }

    /// Why the list counts as incomplete, unless that was already logged for the list before.
    pub fn take_unlogged_doubt<'a>(&mut self, completeness: &'a Completeness) -> Option<&'a str> {
        let reason = match completeness {
            Completeness::Complete => None,
            Completeness::Shrunk(reason) | Completeness::Partial(reason) => Some(reason.as_str()),
        };
        let was_logged = std::mem::replace(&mut self.doubt_logged, reason.is_some());
        reason.filter(|_| !was_logged)
    }

    /// Whether the last list lacked that avatar.
    pub fn is_absent(&self, id: &AvatarId) -> bool {
        self.absent.contains(id)
    }

    /// Whether a complete list was seen before, so that unknown avatars are new.
    pub fn was_listed(&self) -> bool {
        self.was_listed
    }

    /// Records that a complete list was seen.
    pub fn mark_listed(&mut self) {
        self.was_listed = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Monotonic = Monotonic::from_millis(5_000);

    #[test]
    fn a_list_is_polled_when_due_or_awaited_and_once_at_a_time() {
        let every = Duration::from_secs(300);
        let mut list = ListState::new(Some(every), false, START);
        assert!(list.wants(START, false));
        list.begin();
        assert!(!list.wants(START, true));
        list.end(START);
        assert!(!list.wants(START, false) && list.wants(START, true));
        assert_eq!(list.next_at(), Some(START.plus(every)));
        let mut never = ListState::new(None, false, START);
        assert!(!never.wants(START, false));
        never.end(START);
        assert_eq!(never.next_at(), None);
    }

    #[test]
    fn a_list_that_shrank_or_is_paginated_is_incomplete() {
        let mut list = ListState::default();
        let mut check = |length, page: Option<&str>, whole: bool, worth_saying: bool| {
            let completeness = list.record(length, page.map(str::to_owned), HashSet::new());
            assert_eq!(completeness == Completeness::Complete, whole, "with {length}");
            assert_eq!(
                list.take_unlogged_doubt(&completeness).is_some(),
                worth_saying,
                "with {length}"
            );
        };
        check(30, None, true, false);
        check(31, None, true, false);
        check(20, None, false, true);
        check(20, None, true, false);
        check(20, Some("`x-total-count` is 120"), false, true);
        check(20, Some("`x-total-count` is 120"), false, false);
        check(21, None, true, false);
    }

    #[test]
    fn an_unusable_list_is_suspended_for_a_growing_delay() {
        let mut list = ListState::new(Some(Duration::from_secs(10)), false, START);
        let (first, most) = (Duration::from_secs(60), Duration::from_secs(3600));
        let backoff = Backoff::new(first, most, 2.0, 0.0).unwrap();
        let suspend = |list: &mut ListState, now| list.suspend(now, &backoff, RandomBits::new(1));
        assert!(list.is_open(START));
        assert_eq!(suspend(&mut list, START), Duration::from_secs(60));
        assert!(!list.is_open(START) && !list.wants(START, true));
        let later = START.plus(Duration::from_secs(60));
        assert_eq!(list.next_at(), Some(later));
        assert!(list.is_open(later) && list.wants(later, true));
        assert_eq!(suspend(&mut list, later), Duration::from_secs(120));
        list.record(1, None, HashSet::new());
        assert!(list.is_open(later));
        assert_eq!(suspend(&mut list, later), Duration::from_secs(60), "one that could be used");
        let backoff: Vec<u64> = (0..40).map(|_| suspend(&mut list, later).as_secs()).collect();
        assert_eq!(backoff.last(), Some(&3600));
    }
}
