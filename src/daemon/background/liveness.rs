//! How far the loops have come: when each last turned, and whether the store still answers. What
//! feeds systemd's watchdog and the health check.
//!
//! What always holds: only whoever does a work notes that it was done; whoever asks changes
//! nothing. A part that never began is not judged. What answers with an error moves: a full disk,
//! a database that is held, an API that is slow or gone are no reason to start anew.
//!
//! Moments count suspended time, so right after a resume a part may look stuck until it turns.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::domain::time::monotonic::Monotonic;

/// When each part last moved; shared by the loops and whoever asks.
#[derive(Debug, Default)]
pub struct Liveness {
    poller: AtomicMonotonic,
    dispatcher: AtomicMonotonic,
    service: AtomicMonotonic,
    store_requested: AtomicMonotonic,
    store_failing: AtomicMonotonic,
}

/// What has to move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The loop that looks at avatars.
    Poller,
    /// The loop that tells.
    Dispatcher,
    /// The loop that takes orders.
    Service,
    /// The thread that writes.
    Store,
}

/// That a part does not move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stall {
    /// Which.
    pub part: Part,
    /// When it last moved.
    pub since: Monotonic,
}

impl Liveness {
    /// Notes that a loop has turned.
    pub fn tick(&self, one: Loop, now: Monotonic) {
        let mark = match one {
            Loop::Poller => &self.poller,
            Loop::Dispatcher => &self.dispatcher,
            Loop::Service => &self.service,
        };
        mark.set(Some(now));
    }

    /// Notes that the store was asked for something that it has to answer.
    pub fn store_request(&self, now: Monotonic) {
        self.store_requested.set(Some(now));
    }

    /// Notes that the store answered, and that it did what it was asked for.
    pub fn store_response(&self) {
        self.store_requested.set(None);
        self.store_failing.set(None);
    }

    /// Notes that the store answered, and that it cannot do it just now.
    pub fn store_failed(&self, now: Monotonic) {
        self.store_requested.set(None);
        if self.store_failing.get().is_none() {
            self.store_failing.set(Some(now));
        }
    }

    /// Since when the store answers that it cannot do what it is asked for, if that is so.
    pub fn store_failing_since(&self) -> Option<Monotonic> {
        self.store_failing.get()
    }

    /// Whether both loops have turned at all.
    pub fn has_begun(&self) -> bool {
        self.poller.get().is_some() && self.dispatcher.get().is_some()
    }

    /// Each part that has begun, with when it last moved.
    pub fn moved(&self) -> impl Iterator<Item = (Part, Monotonic)> {
        let parts = [
            (Part::Poller, &self.poller),
            (Part::Dispatcher, &self.dispatcher),
            (Part::Service, &self.service),
            (Part::Store, &self.store_requested),
        ];
        parts.into_iter().filter_map(|(part, mark)| Some((part, mark.get()?)))
    }

    /// What has not moved for longer than it may, at `now`; the store first, since the others wait
    /// for it.
    pub fn stalled(&self, now: Monotonic) -> Option<Stall> {
        let parts = [
            (Part::Store, &self.store_requested),
            (Part::Poller, &self.poller),
            (Part::Dispatcher, &self.dispatcher),
            (Part::Service, &self.service),
        ];
        parts.into_iter().find_map(|(part, mark)| {
            let since = mark.get()?;
            (now.since(since) > part.limit()).then_some(Stall { part, since })
        })
    }
}

/// A loop that notes its turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loop {
    /// [`Part::Poller`].
    Poller,
    /// [`Part::Dispatcher`].
    Dispatcher,
    /// [`Part::Service`].
    Service,
}

impl Part {
    /// How long it may go without a move. All that is healthy is far quicker: a loop turns when
    /// it glances, every few seconds, and waits in one turn for a few answers of the store, which
    /// gives each within seconds, if only to say that the database is held.
    pub const fn limit(self) -> Duration {
        match self {
            Self::Poller | Self::Dispatcher | Self::Service => Duration::from_secs(120),
            Self::Store => Duration::from_secs(90),
        }
    }
}

impl Part {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Poller => "poller",
            Self::Dispatcher => "dispatcher",
            Self::Service => "service",
            Self::Store => "store",
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {}", self.name())
    }
}

/// A moment, or none, that one writes and others read; kept as one more than its milliseconds,
/// since zero is none.
#[derive(Debug, Default)]
pub struct AtomicMonotonic(AtomicU64);

impl AtomicMonotonic {
    /// Sets it.
    pub fn set(&self, monotonic: Option<Monotonic>) {
        let number = monotonic.map_or(0, |monotonic| monotonic.as_millis().saturating_add(1));
        self.0.store(number, Ordering::Relaxed);
    }

    /// Reads it.
    pub fn get(&self) -> Option<Monotonic> {
        self.0.load(Ordering::Relaxed).checked_sub(1).map(Monotonic::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Monotonic {
        Monotonic::from_millis(second * 1000)
    }

    fn check(progress: &Liveness, second: u64, expected: Option<(Part, u64)>) {
        let stuck = progress.stalled(at(second)).map(|it| (it.part, it.since.as_millis() / 1000));
        assert_eq!(stuck, expected, "at second {second}");
    }

    #[test]
    fn what_never_began_is_not_stuck() {
        check(&Liveness::default(), 1_000_000, None);
    }

    #[test]
    fn each_loop_must_turn_within_its_limit() {
        for (one, part) in [
            (Loop::Poller, Part::Poller),
            (Loop::Dispatcher, Part::Dispatcher),
            (Loop::Service, Part::Service),
        ] {
            let progress = Liveness::default();
            [Loop::Poller, Loop::Dispatcher, Loop::Service]
                .iter()
                .for_each(|it| progress.tick(*it, at(0)));
            let limit = part.limit().as_secs();
            for other in [Loop::Poller, Loop::Dispatcher, Loop::Service] {
                if other != one {
                    progress.tick(other, at(limit));
                }
            }
            check(&progress, limit, None);
            check(&progress, limit + 1, Some((part, 0)));
            progress.tick(one, at(limit + 1));
            check(&progress, limit + 1, None);
        }
    }

    #[test]
    fn a_store_that_owes_an_answer_is_what_the_others_wait_for() {
        let progress = Liveness::default();
        progress.tick(Loop::Dispatcher, at(0));
        progress.store_request(at(0));
        check(&progress, Part::Store.limit().as_secs(), None);
        check(&progress, 1000, Some((Part::Store, 0)));
        progress.store_response();
        check(&progress, 1000, Some((Part::Dispatcher, 0)));
    }

    #[test]
    fn a_store_that_answers_that_it_cannot_is_failing_and_not_stuck() {
        let progress = Liveness::default();
        for second in [10, 20] {
            progress.store_request(at(second));
            progress.store_failed(at(second));
        }
        check(&progress, 1000, None);
        assert_eq!(progress.store_failing_since(), Some(at(10)));
        progress.store_request(at(30));
        progress.store_response();
        assert_eq!(progress.store_failing_since(), None);
    }
}
