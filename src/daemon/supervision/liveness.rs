//! Liveness of the loops and of the store: when each last made progress. Feeds systemd's watchdog
//! and the health check.
//!
//! Only the worker itself records progress. A part that never started is not checked. A response
//! with an error counts as progress: a full disk, a locked database or an unavailable API are no
//! reason to restart. Times count suspended time, so a part may seem stalled right after a resume.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::domain::time::monotonic::Monotonic;

/// When each part last made progress.
#[derive(Debug, Default)]
pub struct Liveness {
    poller: AtomicMonotonic,
    dispatcher: AtomicMonotonic,
    signals: AtomicMonotonic,
    store_requested: AtomicMonotonic,
    store_failing: AtomicMonotonic,
}

/// A part that must make progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// A loop, which records its iterations.
    Loop(Loop),
    /// The writer thread of the store.
    Store,
}

/// A loop of the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loop {
    /// Polls avatars.
    Poller,
    /// Delivers messages.
    Dispatcher,
    /// Handles signals and reloads.
    Signals,
}

/// A part that makes no progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stall {
    /// The part.
    pub part: Part,
    /// When it last made progress.
    pub since: Monotonic,
}

impl Liveness {
    /// Records an iteration of a loop.
    pub fn tick(&self, part: Loop, now: Monotonic) {
        let mark = match part {
            Loop::Poller => &self.poller,
            Loop::Dispatcher => &self.dispatcher,
            Loop::Signals => &self.signals,
        };
        mark.set(Some(now));
    }

    pub(crate) fn store_request(&self, now: Monotonic) {
        self.store_requested.set(Some(now));
    }

    pub(crate) fn store_response(&self) {
        self.store_requested.set(None);
        self.store_failing.set(None);
    }

    /// Records a failed response of the store.
    pub fn store_failed(&self, now: Monotonic) {
        self.store_requested.set(None);
        if self.store_failing.get().is_none() {
            self.store_failing.set(Some(now));
        }
    }

    /// Since when the store fails, if it does.
    pub fn store_failing_since(&self) -> Option<Monotonic> {
        self.store_failing.get()
    }

    /// Whether the poller and the dispatcher have started.
    pub(crate) fn has_begun(&self) -> bool {
        self.poller.get().is_some() && self.dispatcher.get().is_some()
    }

    /// Each started part with the time of its last progress.
    pub fn last_progress(&self) -> impl Iterator<Item = (Part, Monotonic)> {
        let parts = [
            (Part::Loop(Loop::Poller), &self.poller),
            (Part::Loop(Loop::Dispatcher), &self.dispatcher),
            (Part::Loop(Loop::Signals), &self.signals),
            (Part::Store, &self.store_requested),
        ];
        parts.into_iter().filter_map(|(part, mark)| Some((part, mark.get()?)))
    }

    /// The part that exceeds its limit at `now`; the store first, since the others wait for it.
    pub fn stalled(&self, now: Monotonic) -> Option<Stall> {
        let is_stalled = |(part, since): &(Part, Monotonic)| now.since(*since) > part.limit();
        let stalled =
            self.last_progress().filter(is_stalled).min_by_key(|(part, _)| *part != Part::Store);
        stalled.map(|(part, since)| Stall { part, since })
    }
}

impl Part {
    /// Maximum time without progress. A healthy part is far quicker: a loop wakes up every few
    /// seconds and waits in one iteration for a few store responses, each of which takes seconds at
    /// most.
    pub const fn limit(self) -> Duration {
        match self {
            Self::Loop(_) => Duration::from_secs(120),
            Self::Store => Duration::from_secs(90),
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Loop(Loop::Poller) => "poller",
            Self::Loop(Loop::Dispatcher) => "dispatcher",
            Self::Loop(Loop::Signals) => "signal loop",
            Self::Store => "store",
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {}", self.name())
    }
}

/// An atomic optional time, stored as milliseconds plus one; zero is `None`.
#[derive(Debug, Default)]
pub struct AtomicMonotonic(AtomicU64);

impl AtomicMonotonic {
    pub(crate) fn set(&self, monotonic: Option<Monotonic>) {
        let number = monotonic.map_or(0, |monotonic| monotonic.as_millis().saturating_add(1));
        self.0.store(number, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> Option<Monotonic> {
        self.0.load(Ordering::Relaxed).checked_sub(1).map(Monotonic::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Monotonic {
        Monotonic::from_millis(second * 1000)
    }

    fn check(liveness: &Liveness, second: u64, expected: Option<(Part, u64)>) {
        let stall = liveness.stalled(at(second)).map(|it| (it.part, it.since.as_millis() / 1000));
        assert_eq!(stall, expected, "at second {second}");
    }

    #[test]
    fn a_part_that_never_started_is_not_stalled() {
        check(&Liveness::default(), 1_000_000, None);
    }

    #[test]
    fn each_loop_must_tick_within_its_limit() {
        let loops = [Loop::Poller, Loop::Dispatcher, Loop::Signals];
        for one in loops {
            let part = Part::Loop(one);
            let liveness = Liveness::default();
            let limit = part.limit().as_secs();
            for each in loops {
                liveness.tick(each, at(if each == one { 0 } else { limit }));
            }
            check(&liveness, limit, None);
            check(&liveness, limit + 1, Some((part, 0)));
            liveness.tick(one, at(limit + 1));
            check(&liveness, limit + 1, None);
        }
    }

    #[test]
    fn a_store_without_response_is_stalled_before_the_others() {
        let liveness = Liveness::default();
        liveness.tick(Loop::Dispatcher, at(0));
        liveness.store_request(at(0));
        check(&liveness, Part::Store.limit().as_secs(), None);
        check(&liveness, 1000, Some((Part::Store, 0)));
        liveness.store_response();
        check(&liveness, 1000, Some((Part::Loop(Loop::Dispatcher), 0)));
    }

    #[test]
    fn a_store_that_responds_with_errors_is_failing_and_not_stalled() {
        let liveness = Liveness::default();
        for second in [10, 20] {
            liveness.store_request(at(second));
            liveness.store_failed(at(second));
        }
        check(&liveness, 1000, None);
        assert_eq!(liveness.store_failing_since(), Some(at(10)));
        liveness.store_request(at(30));
        liveness.store_response();
        assert_eq!(liveness.store_failing_since(), None);
    }
}
