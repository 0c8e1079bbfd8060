//! A clock that a test advances: time stands still otherwise.
//!
//! The wall and the steady clock go on together with [`ManualClock::advance`]; the wall alone can
//! be set. Nothing here sleeps and nothing knows tokio's timers, so a week passes at once.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use avatar_watch::daemon::ports::Clock;
use avatar_watch::domain::time::monotonic::Monotonic;
use avatar_watch::domain::time::timestamp::Timestamp;

/// The clock; clones are the same clock.
#[derive(Clone, Debug)]
pub(crate) struct ManualClock(Arc<Mutex<Hand>>);

#[derive(Debug)]
struct Hand {
    wall_ms: i64,
    steady_ms: u64,
    sleepers: BTreeMap<(Monotonic, u64), Waker>,
    sleepers_ever: u64,
    readings: u64,
}

impl ManualClock {
    /// A clock that stands at [`WALL_AT_FIRST`].
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Hand {
            wall_ms: WALL_AT_FIRST.as_millis(),
            steady_ms: STEADY_AT_FIRST_MS,
            sleepers: BTreeMap::new(),
            sleepers_ever: 0,
            readings: 0,
        })))
    }

    /// Advances both clocks by `by`; sleepers until then wake up.
    pub(crate) fn advance(&self, by: Duration) {
        let by_ms = u64::try_from(by.as_millis()).unwrap();
        let mut hand = self.hand();
        hand.steady_ms += by_ms;
        hand.wall_ms += i64::try_from(by_ms).unwrap();
        let now = Monotonic::from_millis(hand.steady_ms);
        let later = hand.sleepers.split_off(&(now.plus(TICK), 0));
        let woken = std::mem::replace(&mut hand.sleepers, later);
        drop(hand);
        woken.into_values().for_each(Waker::wake);
    }

    /// Advances to the earliest time of a sleeper, and returns by how much. `None` without
    /// sleepers.
    pub(crate) fn advance_to_next(&self) -> Option<Duration> {
        let wait = self.next_wake_up()?.since(self.reading());
        self.advance(wait);
        Some(wait)
    }

    /// Changes the wall clock by so many milliseconds; sleepers are not affected.
    pub(crate) fn jump_wall(&self, by_ms: i64) {
        self.hand().wall_ms += by_ms;
    }

    /// The earliest time of a sleeper.
    pub(crate) fn next_wake_up(&self) -> Option<Monotonic> {
        self.hand().sleepers.first_key_value().map(|((until, _), _)| *until)
    }

    /// Whether there is a sleeper until exactly that time.
    pub(crate) fn has_sleeper(&self, until: Monotonic) -> bool {
        self.hand().sleepers.keys().any(|(other, _)| *other == until)
    }

    /// How often the clock was read or slept by: a program that does anything reads it.
    pub(crate) fn readings(&self) -> u64 {
        self.hand().readings
    }

    /// The steady clock, for the test itself: not counted.
    pub(crate) fn reading(&self) -> Monotonic {
        Monotonic::from_millis(self.hand().steady_ms)
    }

    /// The wall, for the test itself: not counted.
    pub(crate) fn wall(&self) -> Timestamp {
        Timestamp::from_millis(self.hand().wall_ms)
    }

    fn hand(&self) -> MutexGuard<'_, Hand> {
        self.0.lock().unwrap()
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.hand().readings += 1;
        self.wall()
    }

    fn monotonic(&self) -> Monotonic {
        self.hand().readings += 1;
        self.reading()
    }

    fn sleep_until(&self, until: Monotonic) -> impl Future<Output = ()> + Send {
        let mut hand = self.hand();
        hand.readings += 1;
        hand.sleepers_ever += 1;
        Sleep { clock: self.clone(), place: (until, hand.sleepers_ever) }
    }
}

/// Has a place among the sleepers from its first poll to its end.
struct Sleep {
    clock: ManualClock,
    place: (Monotonic, u64),
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut hand = self.clock.hand();
        if self.place.0.as_millis() <= hand.steady_ms {
            return Poll::Ready(());
        }
        hand.sleepers.insert(self.place, context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.clock.hand().sleepers.remove(&self.place);
    }
}

/// `2026-11-23T11:15:22Z`
pub(crate) const WALL_AT_FIRST: Timestamp = Timestamp::from_millis(1_795_432_522_000);
const STEADY_AT_FIRST_MS: u64 = 1_000_000;
const TICK: Duration = Duration::from_millis(1);

#[tokio::test]
async fn a_sleeper_wakes_when_the_hand_passes_and_not_before() {
    let clock = ManualClock::new();
    let sleeper = clock.clone();
    let until = clock.monotonic().plus(Duration::from_secs(60));
    let mut asleep = tokio::spawn(async move { sleeper.sleep_until(until).await });
    tokio::task::yield_now().await;
    assert_eq!(clock.next_wake_up(), Some(until));
    clock.jump_wall(3_600_000);
    clock.advance(Duration::from_millis(59_999));
    tokio::task::yield_now().await;
    assert!(!asleep.is_finished());
    assert_eq!(clock.advance_to_next(), Some(TICK));
    (&mut asleep).await.unwrap();
    assert_eq!(clock.next_wake_up(), None);
    assert_eq!(clock.now().as_millis() - WALL_AT_FIRST.as_millis(), 3_660_000);
}
