//! Hints: they make a watched avatar due now, and have no other effect.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::harness::plans::{id, seconds, the_account};

use avatar_watch::domain::polling::interval::SettledIntervals;

use super::{Bench, Loops, settled_is_never};

#[tokio::test]
async fn a_hint_makes_a_watched_avatar_due_now() {
    let bench = Bench::watching(&["a", "b"], "NOT_TRAINED").await;
    bench.world.live(seconds(10)).await;
    bench.api.set_status("a", "IDLE");
    bench.world.hint(&id("A"));
    bench.world.quiet().await;
    assert_eq!((bench.api.count("a"), bench.api.count("b")), (2, 1), "the case does not matter");
    assert_eq!(bench.delivery_count(), 1);
    assert_eq!(bench.wait_for_poll("b", seconds(60)).await, Some(seconds(50)));
}

#[tokio::test]
async fn a_forged_or_replayed_hint_changes_no_row() {
    let bench = Bench::watching(&["a", "b"], "TRAINING").await;
    let version = bench.data_version();
    let before = version();
    for _ in 0..20 {
        for forged in ["a", "b", "unknown", "a"] {
            bench.world.hint(&id(forged));
        }
        bench.world.live(seconds(1)).await;
    }
    assert!(bench.api.count("a") >= 20, "the hints were taken");
    assert_eq!(bench.api.count("unknown"), 0);
    assert_eq!(version(), before, "not one row was written");
    assert_eq!(bench.history(), ["a: - > TRAINING", "b: - > TRAINING"]);
}

#[tokio::test]
async fn a_flood_costs_one_poll_per_avatar_and_second() {
    let bench = Bench::watching(&["a"], "IDLE").await;
    let before = bench.api.count("a");
    for second in 1..=30 {
        for _ in 0..40 {
            bench.world.hint(&id("a"));
        }
        bench.world.quiet().await;
        bench.world.live(seconds(1)).await;
        assert!(bench.api.count("a") <= before + second + 1, "in second {second}");
    }
    assert!(bench.api.count("a") >= before + 29);
    let calm = bench.api.count("a");
    bench.world.live(seconds(3000)).await;
    assert!(bench.api.count("a") <= calm + 1, "when the flood ends, so do the polls");
}

#[tokio::test]
async fn a_hint_during_a_poll_causes_another_one() {
    let bench = Bench::watching(&["a"], "NOT_TRAINED").await;
    let gate = bench.hold("a");
    bench.world.clock.advance(seconds(60));
    bench.world.quiet_but(1).await;
    bench.world.hint(&id("a"));
    bench.world.quiet_but(1).await;
    gate.notify_one();
    bench.world.quiet().await;
    assert_eq!(bench.wait_for_poll("a", seconds(60)).await, Some(seconds(1)));
    assert_eq!(bench.wait_for_poll("a", seconds(60)).await, Some(seconds(60)));
}

#[tokio::test]
async fn a_hint_does_not_bypass_the_circuit_breaker() {
    let bench = Bench::watching(&["a", "b"], "TRAINING").await;
    bench.api.require_key("another");
    bench.world.live(seconds(5)).await;
    let before = bench.api.requests().len();
    for _ in 0..30 {
        bench.world.hint(&id("a"));
        bench.world.live(seconds(1)).await;
    }
    assert_eq!(bench.api.requests().len(), before, "a refused key does not hammer");
}

#[tokio::test]
async fn a_hint_polls_an_avatar_that_is_never_polled_again() {
    let bench = Bench::with(Loops::Both, &["a"], "IDLE", settled_is_never).await;
    bench.world.live(seconds(9000)).await;
    assert_eq!(bench.api.count("a"), 1);
    bench.world.hint(&id("a"));
    bench.world.quiet().await;
    assert_eq!(bench.api.count("a"), 2);
}

/// Two requests a second are fewer than the hints ask for; still no avatar starves.
#[tokio::test]
async fn a_flood_of_hints_starves_no_avatar() {
    let mut bench = Bench::new();
    let hinted = ["a", "b", "c", "d"];
    bench.api.set_all(&["a", "b", "c", "d", "t"], "TRAINING");
    bench.api.set_status("v", "IDLE");
    let mut plan = bench.plan(&["a", "b", "c", "d", "t", "v"]);
    the_account(&mut plan).max_per_second = NonZeroU32::new(4).unwrap();
    plan.intervals.settled = SettledIntervals::always(Some(seconds(10)));
    bench.run(plan).await;
    for _ in 0..240 {
        hinted.iter().for_each(|avatar| bench.world.hint(&id(avatar)));
        bench.world.live(Duration::from_millis(500)).await;
    }
    for avatar in hinted {
        let polls = bench.api.count(avatar);
        assert!((40..=140).contains(&polls), "{polls} polls of `{avatar}` in 120 s");
    }
    // Nearly as often as without hints.
    assert!(bench.api.count("v") >= 10, "{} polls of `v`", bench.api.count("v"));
    assert!(bench.api.count("t") >= 14, "{} polls of `t`", bench.api.count("t"));
}
