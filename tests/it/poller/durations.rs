//! How long trainings take: the bounds of a duration survive restarts, and past trainings say when
//! one is overdue.

use std::sync::Arc;
use std::time::Duration;

use avatar_watch::domain::polling::interval::SettledIntervals;
use avatar_watch::domain::polling::overdue::OverdueAfter;

use crate::harness::plans::{id, operator, seconds};
use crate::harness::world::Loops;

use super::{Bench, Plan};

#[tokio::test]
async fn the_bounds_of_a_training_survive_restarts_and_unknown_statuses() {
    let mut bench = Bench::watching(&["a"], "NOT_TRAINED").await;
    bench.world.live(seconds(90)).await;
    let started = bench.world.clock.wall();
    bench.api.set_status("a", "TRAINING");
    for status in ["TRAINING", "PAUSED"] {
        bench.api.set_status("a", status);
        bench.world.live(seconds(90)).await;
        bench.world.crash().await;
        bench.run(bench.plan(&["a"])).await;
    }
    let ended = bench.world.clock.wall();
    bench.api.set_status("a", "IDLE");
    bench.world.live(seconds(90)).await;
    let transition = bench.world.reader().transitions(None, 1).unwrap().remove(0);
    let training = transition.training.unwrap();
    let lasted = ended.since(started);
    assert!(training.start.after.unwrap() <= started && started <= training.start.before);
    assert!(training.duration_min() >= seconds(60) && training.duration_min() <= lasted);
    assert!(training.duration_max().unwrap() >= lasted);
    let body = bench.ops.calls().last().unwrap().json();
    let sent = &body["data"]["training"];
    assert_eq!(sent["seconds_min"], training.seconds_min());
    assert_eq!(sent["seconds_max"], training.seconds_max().unwrap());
    assert_eq!(sent["started_after"], training.start.after.unwrap().to_string());
    assert_eq!(sent["started_before"], training.start.before.to_string());
}

fn overdue_by_default(plan: Plan) -> Plan {
    let mut plan = operator(plan, "ops");
    plan.intervals.settled = SettledIntervals::always(Some(seconds(15)));
    let registration = plan.avatars.get_mut(&id("a")).unwrap();
    Arc::make_mut(registration).overdue_after = OverdueAfter::default();
    plan
}

/// Trains the avatar that often, each time for that long.
async fn train(bench: &Bench, times: usize, lasts: Duration) {
    for _ in 0..times {
        bench.api.set_status("a", "TRAINING");
        bench.world.live(lasts).await;
        bench.api.set_status("a", "IDLE");
        bench.world.live(seconds(120)).await;
    }
}

#[tokio::test]
async fn a_training_is_overdue_at_three_times_the_usual_duration() {
    let mut bench = Bench::with(Loops::Both, &["a"], "IDLE", overdue_by_default).await;
    let overdue = |bench: &Bench| {
        let notified = bench.ops.notified();
        notified.iter().filter(|it| it.starts_with("avatar.training_overdue firing")).count()
    };
    // Four trainings are too few.
    train(&bench, 4, seconds(300)).await;
    train(&bench, 1, seconds(2_000)).await;
    assert_eq!(overdue(&bench), 0);
    // A restart forgets none of them; the longest of five or more is not usual.
    bench.world.stop().await;
    bench.run(overdue_by_default(bench.plan(&["a"]))).await;
    train(&bench, 6, seconds(300)).await;
    bench.api.set_status("a", "TRAINING");
    bench.world.live(seconds(900)).await;
    assert_eq!(overdue(&bench), 0);
    bench.world.live(seconds(200)).await;
    assert_eq!(overdue(&bench), 1);
    let body = bench.ops.calls().last().unwrap().json();
    let reason = body["data"]["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("trainings of its model usually take"), "{reason}");
    assert!(reason.ends_with("(11 trainings)"), "{reason}");
}
