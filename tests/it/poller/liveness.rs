//! Liveness of the loops: healthy ones are never stalled, however little there is to do and however
//! slow the others are; dead ones are.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use avatar_watch::daemon::background::watchdog;
use avatar_watch::daemon::stats::DaemonStats;
use avatar_watch::daemon::supervision::liveness::{Loop, Part};

use crate::harness::clock::ManualClock;
use crate::harness::plans::seconds;

use super::{Bench, Loops, settled_is_never};

impl Bench {
    fn stalled(&self) -> Option<Part> {
        let now = self.world.clock.reading();
        self.world.pulse().liveness.stalled(now).map(|stall| stall.part)
    }

    /// Advances from wakeup to wakeup with `held` requests unanswered, and checks before each.
    async fn never_stalled_for(&self, time: Duration, held: usize) {
        let end = self.world.clock.reading().plus(time);
        while self.world.clock.reading() < end {
            self.world.clock.advance_to_next().unwrap();
            assert_eq!(self.stalled(), None);
            self.world.quiet_but(held).await;
        }
    }
}

#[tokio::test]
async fn idle_loops_make_progress() {
    let bench = Bench::with(Loops::Both, &["a"], "IDLE", settled_is_never).await;
    bench.never_stalled_for(seconds(200), 0).await;
    assert_eq!(bench.api.count("a"), 1);
}

#[tokio::test]
async fn an_api_without_responses_stalls_no_loop() {
    let bench = Bench::watching(&["a"], "TRAINING").await;
    let gate = bench.hold("a");
    let begun = bench.world.clock.reading();
    bench.never_stalled_for(seconds(130), 1).await;
    assert!(bench.world.clock.reading().since(begun) > Part::Loop(Loop::Poller).limit());
    assert_eq!(bench.api.count("a"), 2, "one request was held all the time");
    gate.notify_one();
    bench.world.quiet().await;
}

/// Takes the store's lock timeout in real time.
#[tokio::test]
async fn a_locked_database_is_failing_and_not_stalled() {
    let bench = Bench::watching(&[], "").await;
    let beside = bench.lock();
    bench.world.clock.advance(seconds(2));
    let progress = &bench.world.pulse().liveness;
    while progress.store_failing_since().is_none() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(bench.stalled(), None);
    beside.execute_batch("ROLLBACK").unwrap();
    bench.world.live(seconds(10)).await;
    assert_eq!(progress.store_failing_since(), None);
}

#[tokio::test]
async fn a_dead_loop_is_stalled_after_its_limit() {
    let bench = Bench::watching(&[], "").await;
    bench.world.abort();
    bench.world.clock.advance(Part::Loop(Loop::Poller).limit());
    assert_eq!(bench.stalled(), None);
    bench.world.clock.advance(Duration::from_millis(1));
    assert_eq!(bench.stalled(), Some(Part::Loop(Loop::Poller)));
}

/// Number of keep-alives within so many seconds, one second at a time.
async fn keepalives_after(loop_turns: bool, pass: u64) -> usize {
    let clock = ManualClock::new();
    let pulse = Arc::new(DaemonStats::default());
    let notified = Arc::new(AtomicUsize::new(0));
    pulse.liveness.tick(Loop::Poller, clock.reading());
    let alive = {
        let notified = Arc::clone(&notified);
        move || {
            notified.fetch_add(1, Ordering::Relaxed);
        }
    };
    let limit = seconds(60);
    let task = tokio::spawn(watchdog::watch(Arc::clone(&pulse), clock.clone(), limit, alive));
    for _ in 0..pass {
        tokio::task::yield_now().await;
        clock.advance(seconds(1));
        if loop_turns {
            pulse.liveness.tick(Loop::Poller, clock.reading());
        }
    }
    tokio::task::yield_now().await;
    task.abort();
    notified.load(Ordering::Relaxed)
}

#[tokio::test]
async fn the_watchdog_gets_three_keepalives_per_limit_unless_a_part_is_stalled() {
    assert_eq!(keepalives_after(true, 600).await, 1 + 30);
    let limit = usize::try_from(Part::Loop(Loop::Poller).limit().as_secs()).unwrap();
    assert_eq!(keepalives_after(false, 600).await, 1 + limit / 20, "silent once it is stalled");
}
