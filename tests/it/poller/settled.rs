//! Polls of avatars with an outcome: frequent at first, within half of the account's rate limit.

use std::num::NonZeroU32;
use std::sync::Arc;

use avatar_watch::domain::avatar::AvatarId;
use avatar_watch::domain::polling::interval::{SettledIntervals, SettledStep};

use super::{Bench, Plan, numbered};
use crate::harness::plans::{seconds, the_account};
use crate::harness::world::Loops;

/// Every 15 s for 10 minutes, and then this.
fn often_and_then(interval_s: u64) -> SettledIntervals {
    let step = SettledStep { every: seconds(15), lasts: seconds(600) };
    SettledIntervals::new(vec![step], Some(seconds(interval_s)))
}

fn often_at_first(mut plan: Plan) -> Plan {
    plan.intervals.settled = often_and_then(3_600);
    plan
}

#[tokio::test]
async fn a_retraining_soon_after_an_outcome_is_notified() {
    let bench = Bench::with(Loops::Both, &["a"], "TRAINING", often_at_first).await;
    bench.api.set_status("a", "IDLE");
    bench.world.live(seconds(120)).await;
    bench.api.set_status("a", "TRAINING");
    bench.world.live(seconds(20)).await;
    bench.api.set_status("a", "IDLE");
    bench.world.live(seconds(20)).await;
    assert_eq!(
        bench.history(),
        ["a: - > TRAINING", "a: TRAINING > IDLE", "a: IDLE > TRAINING", "a: TRAINING > IDLE"]
    );
    assert_eq!(bench.delivery_count(), 2);
}

#[tokio::test]
async fn settled_avatars_take_half_of_the_rate_and_recent_outcomes_go_first() {
    let mut bench = Bench::new();
    bench.world.loops = Loops::Poller;
    let old = numbered("old", 0..200);
    bench.api.set_all(&old, "IDLE");
    bench.api.set_all(&["young", "trains"], "TRAINING");
    let mut plan = bench.plan(&[&old[..], &["young", "trains"]].concat());
    the_account(&mut plan).max_per_second = NonZeroU32::new(10).unwrap();
    // The 200 are discovered, so their outcomes are old: they would be polled every second.
    for id in &old {
        plan.avatars.insert(AvatarId::parse(id).unwrap(), Arc::default());
    }
    plan.intervals.settled = often_and_then(1);
    bench.run(plan).await;
    bench.world.live(seconds(60)).await;
    bench.api.set_status("young", "IDLE");
    bench.world.live(seconds(10)).await;
    assert!(bench.history().contains(&"young: TRAINING > IDLE".to_owned()));
    let counts =
        || (bench.api.requests().len(), bench.api.count("young"), bench.api.count("trains"));
    let before = counts();
    bench.world.live(seconds(300)).await;
    let after = counts();
    let (all, young, trains) = (after.0 - before.0, after.1 - before.1, after.2 - before.2);
    assert!((19..=21).contains(&young), "a recent outcome is polled every 15 s: {young}");
    assert!((5..=40).contains(&trains), "a training is not delayed: {trains}");
    let limit = 5 * 300 + trains;
    assert!((limit - 50..=limit + 5).contains(&all), "{all} requests in 300 s");
}

#[tokio::test]
async fn a_reload_keeps_the_step_that_an_outcome_has_reached() {
    let bench = Bench::with(Loops::Poller, &["a"], "TRAINING", often_at_first).await;
    bench.api.set_status("a", "IDLE");
    bench.world.live(seconds(700)).await;
    let before = bench.api.count("a");
    bench.change(often_at_first(bench.plan(&["a"]))).await;
    bench.world.live(seconds(300)).await;
    assert!(bench.api.count("a") <= before + 1, "{}", bench.api.count("a"));
}
