//! What lists of one account have shown: who is in them, and whether they can be trusted to be
//! whole.
//!
//! A list proves what is in it and nothing else. That an avatar is not in it means only that it
//! is looked at singly.

use std::collections::HashSet;
use std::time::Duration;

use crate::domain::avatar::AvatarId;
use crate::domain::polling::backoff::Backoff;
use crate::domain::random::RandomBits;
use crate::domain::time::monotonic::Monotonic;

/// What is known of an account's lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListState {
    every: Option<Duration>,
    due_at: Option<Monotonic>,
    in_flight: bool,
    known: bool,
    longest: usize,
    absent: HashSet<AvatarId>,
    is_paged: bool,
    failures: u32,
    suspended_until: Option<Monotonic>,
    unusable: usize,
}

/// Whether a list is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Completeness {
    /// As far as can be told.
    Complete,
    /// It is shorter than one before, so that it may be a page; why, for people.
    Shrunk(String),
    /// It is one page of a longer one; why, for people.
    Partial(String),
}

impl ListState {
    /// The roster of an account that is listed for its own sake that often; `None` is never.
    /// `known` is whether a whole list of it was seen before.
    pub fn new(every: Option<Duration>, known: bool, now: Monotonic) -> Self {
        Self { every, due_at: every.map(|_| now), known, ..Self::default() }
    }

    /// Follows a new plan.
    pub fn renew(&mut self, every: Option<Duration>, now: Monotonic) {
        if self.every != every {
            self.every = every;
            self.due_at = every.map(|_| now);
        }
    }

    /// Whether the list is to be asked for; `awaited` is whether avatars wait for it.
    pub fn wants(&self, now: Monotonic, awaited: bool) -> bool {
        let due = awaited || self.due_at.is_some_and(|at| at <= now);
        due && !self.in_flight && self.is_open(now)
    }

    /// When the list is due for its own sake.
    pub fn next_at(&self) -> Option<Monotonic> {
        let due_at = self.due_at.filter(|_| !self.in_flight)?;
        Some(self.suspended_until.map_or(due_at, |until| due_at.max(until)))
    }

    /// Whether lists can be asked for, as far as is known.
    pub fn is_open(&self, now: Monotonic) -> bool {
        self.suspended_until.is_none_or(|until| until <= now)
    }

    /// Notes that the API gives no list that can be used, though it may show single avatars: for
    /// one of the growing `waits`, none is asked for. How long that is.
    pub fn suspend(&mut self, now: Monotonic, waits: &Backoff, random: RandomBits) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let wait = waits.delay(self.failures, random);
        self.suspended_until = Some(now.plus(wait));
        wait
    }

    /// Makes the next list come no later than `at`.
    pub fn expedite(&mut self, at: Monotonic) {
        self.due_at = Some(self.due_at.map_or(at, |due_at| due_at.min(at)));
    }

    /// Notes how many elements of a list could not be used; whether that is another number than
    /// before.
    pub fn note_unusable(&mut self, count: usize) -> bool {
        std::mem::replace(&mut self.unusable, count) != count
    }

    /// Notes that the list was asked for.
    pub fn begin(&mut self) {
        self.in_flight = true;
    }

    /// Notes that the request for the list ended, whatever came of it.
    pub fn end(&mut self, now: Monotonic) {
        self.in_flight = false;
        self.due_at = self.every.map(|every| now.plus(every));
    }

    /// Takes up a list of so many avatars, without those that are registered and `absent` from
    /// it; whether it is whole. A list that is shorter than one before is not trusted: the API
    /// may have begun to send pages.
    pub fn record(
        &mut self,
        length: usize,
        page: Option<String>,
        absent: HashSet<AvatarId>,
    ) -> Completeness {
        self.absent = absent;
        (self.failures, self.suspended_until) = (0, None);
        let longest = self.longest;
        self.longest = longest.max(length);
        match page {
            Some(words) => Completeness::Partial(words),
            None if length < longest => {
                // Avatars do get deleted: from now on this length is as good as any.
                self.longest = length;
                Completeness::Shrunk(format!("it has {length} avatars, and had {longest} before"))
            }
            None => Completeness::Complete,
        }
    }

    /// Why the list is not trusted to be whole, if that was not said of the one before.
    pub fn doubt<'a>(&mut self, completeness: &'a Completeness) -> Option<&'a str> {
        let words = match completeness {
            Completeness::Complete => None,
            Completeness::Shrunk(words) | Completeness::Partial(words) => Some(words.as_str()),
        };
        let said = std::mem::replace(&mut self.is_paged, words.is_some());
        words.filter(|_| !said)
    }

    /// Whether the last list lacked that avatar.
    pub fn is_absent(&self, id: &AvatarId) -> bool {
        self.absent.contains(id)
    }

    /// Whether a whole list was seen before, so that who is not known is new.
    pub fn is_known(&self) -> bool {
        self.known
    }

    /// Notes that a whole list was seen.
    pub fn know(&mut self) {
        self.known = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Monotonic = Monotonic::from_millis(5_000);

    #[test]
    fn it_is_asked_for_when_it_is_due_or_awaited_and_once_at_a_time() {
        let every = Duration::from_secs(300);
        let mut list_state = ListState::new(Some(every), false, START);
        assert!(list_state.wants(START, false));
        list_state.begin();
        assert!(!list_state.wants(START, true));
        list_state.end(START);
        assert!(!list_state.wants(START, false) && list_state.wants(START, true));
        assert_eq!(list_state.next_at(), Some(START.plus(every)));
        let mut never = ListState::new(None, false, START);
        assert!(!never.wants(START, false));
        never.end(START);
        assert_eq!(never.next_at(), None);
    }

    #[test]
    fn a_list_that_shrank_or_says_so_is_a_page() {
        let mut list_state = ListState::default();
        let mut check = |length, page: Option<&str>, whole: bool, worth_saying: bool| {
            let completeness = list_state.record(length, page.map(str::to_owned), HashSet::new());
            assert_eq!(completeness == Completeness::Complete, whole, "with {length}");
            assert_eq!(list_state.doubt(&completeness).is_some(), worth_saying, "with {length}");
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
    fn a_list_that_cannot_be_used_is_left_alone_for_a_wait_that_grows() {
        let mut list_state = ListState::new(Some(Duration::from_secs(10)), false, START);
        let (first, most) = (Duration::from_secs(60), Duration::from_secs(3600));
        let waits = Backoff::new(first, most, 2.0, 0.0).unwrap();
        let shut =
            |list_state: &mut ListState, now| list_state.suspend(now, &waits, RandomBits::new(1));
        assert!(list_state.is_open(START));
        assert_eq!(shut(&mut list_state, START), Duration::from_secs(60));
        assert!(!list_state.is_open(START) && !list_state.wants(START, true));
        let later = START.plus(Duration::from_secs(60));
        assert_eq!(list_state.next_at(), Some(later));
        assert!(list_state.is_open(later) && list_state.wants(later, true));
        assert_eq!(shut(&mut list_state, later), Duration::from_secs(120));
        list_state.record(1, None, HashSet::new());
        assert!(list_state.is_open(later));
        assert_eq!(shut(&mut list_state, later), Duration::from_secs(60), "one that could be used");
        let waits: Vec<u64> = (0..40).map(|_| shut(&mut list_state, later).as_secs()).collect();
        assert_eq!(waits.last(), Some(&3600));
    }
}
