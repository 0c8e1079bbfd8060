//! A start causes no burst: avatars that are due later stay so, and the rest is polled within the
//! rate limit, high priority first.

use std::num::NonZeroU32;
use std::time::Duration;

use avatar_watch::daemon::poller::account::account_queue::{AccountQueue, NextAction, Priority};
use avatar_watch::daemon::poller::account::list_state::ListState;
use avatar_watch::domain::polling::account_availability::AccountConnectivity;

use crate::harness::clock::ManualClock;
use crate::harness::plans::{id, seconds, the_account};
use crate::harness::world::Loops;

use super::{Bench, numbered};

#[tokio::test]
async fn avatars_that_are_due_later_stay_so_over_a_restart() {
    let mut bench = Bench::polling(&["a", "b"], "NOT_TRAINED").await;
    bench.world.live(seconds(30)).await;
    bench.world.stop().await;
    bench.world.clock.advance(seconds(10));
    let before = bench.api.requests().len();
    bench.run(bench.plan(&["a", "b"])).await;
    assert_eq!(bench.api.requests().len(), before, "nothing is due yet");
    assert_eq!(bench.wait_for_poll("a", seconds(60)).await, Some(seconds(20)));
}

#[tokio::test]
async fn avatars_that_became_due_are_polled_at_once() {
    let mut bench = Bench::watching(&["a"], "TRAINING").await;
    bench.world.stop().await;
    bench.api.set_status("a", "IDLE");
    bench.world.clock.advance(seconds(7000));
    bench.run(bench.plan(&["a"])).await;
    assert_eq!(bench.history(), ["a: - > TRAINING", "a: TRAINING > IDLE"]);
    let transition = bench.world.reader().transitions(None, 1).unwrap().remove(0);
    let window = transition.detected_at.since(transition.last_seen_previous_at().unwrap());
    assert_eq!(window, seconds(7000), "the window is as wide as the time without polls");
    let body = bench.ops.calls()[0].json();
    assert_eq!(
        (&body["type"], &body["data"]["training_observed"]),
        (&"avatar.ready".into(), &true.into())
    );
}

#[tokio::test]
async fn a_checkpoint_of_a_wrong_clock_delays_no_avatar() {
    let mut bench = Bench::polling(&["a"], "NOT_TRAINED").await;
    bench.world.clock.jump_wall(400 * 24 * 3600 * 1000);
    bench.world.live(seconds(60)).await;
    bench.world.stop().await;
    bench.world.clock.jump_wall(-400 * 24 * 3600 * 1000);
    bench.run(bench.plan(&["a"])).await;
    let wait = bench.wait_for_poll("a", seconds(3600)).await.unwrap();
    assert!(wait <= seconds(60), "{wait:?}");
}

#[tokio::test]
async fn after_a_kill_all_avatars_are_polled_within_the_rate_limit_and_trainings_first() {
    let mut bench = Bench::new();
    bench.world.loops = Loops::Poller;
    let names = numbered("a", 0..40);
    for (number, name) in names.iter().enumerate() {
        bench.api.set_status(name, if number % 8 == 7 { "TRAINING" } else { "IDLE" });
    }
    let plan = |bench: &Bench| {
        let mut plan = bench.plan(&names);
        the_account(&mut plan).max_per_second = NonZeroU32::new(5).unwrap();
        plan
    };
    bench.run(plan(&bench)).await;
    bench.world.live(seconds(20)).await;
    bench.world.crash().await;
    let before = bench.api.requests().len();
    bench.run(plan(&bench)).await;
    bench.world.live(Duration::from_millis(999)).await;
    let first: Vec<String> =
        bench.api.requests()[before..].iter().map(|request| request.avatar.clone()).collect();
    let mut sorted = first.clone();
    sorted.sort();
    assert_eq!(sorted, ["a07", "a15", "a23", "a31", "a39"], "the trainings");
    for second in 2..=8 {
        bench.world.live(seconds(1)).await;
        let sent = bench.api.requests().len() - before;
        assert!(sent <= 5 * second, "{sent} requests after {second} s");
    }
}

#[tokio::test]
async fn high_priority_polls_go_first_and_no_avatar_starves() {
    let mut bench = Bench::new();
    bench.world.loops = Loops::Poller;
    let mut names = numbered("n", 0..30);
    bench.api.set_all(&names, "NOT_TRAINED");
    names.push("t");
    bench.api.set_status("t", "TRAINING");
    let mut plan = bench.plan(&names);
    the_account(&mut plan).max_per_second = NonZeroU32::MIN;
    plan.intervals.not_trained = seconds(10);
    bench.run(plan).await;
    bench.world.live(seconds(40)).await;
    let before = bench.api.count("t");
    bench.world.live(seconds(300)).await;
    let polls = bench.api.count("t") - before;
    assert!(polls >= 25, "only {polls} polls of the training in 300 s");
    for name in names {
        assert!(bench.api.count(name) >= 4, "`{name}` starves");
    }
}

#[tokio::test]
async fn jitter_only_shortens_an_interval() {
    let bench = Bench::with(Loops::Poller, &["a"], "NOT_TRAINED", |mut plan| {
        plan.intervals.jitter = 0.2;
        plan
    })
    .await;
    let waits: [_; 40] = bench.waits("a").await;
    let (least, most) = (waits.iter().min().unwrap(), waits.iter().max().unwrap());
    assert!(*least >= seconds(48) && *most <= seconds(60), "from {least:?} to {most:?}");
    assert!(most.saturating_sub(*least) > seconds(5), "from {least:?} to {most:?}");
}

/// Repeated requests of the client count as well; here as the queue is informed of them.
#[test]
fn reconnects_are_charged_to_the_rate_limit() {
    let clock = ManualClock::new();
    let (five, now) = (NonZeroU32::new(5).unwrap(), clock.reading());
    let list = ListState::new(None, false, now);
    let mut queue = AccountQueue::new(five, AccountConnectivity::default(), list, clock.clone());
    ["a", "b", "c"].iter().for_each(|it| queue.enqueue(id(it), Priority::Normal, now));
    assert_eq!(queue.next_action(now, 16), NextAction::Poll(id("a")));
    queue.charge_reconnects(2);
    queue.charge_reconnects(2);
    let mut next = queue.next_action(now, 16);
    while let NextAction::Wait(Some(until)) = next {
        clock.advance(until.since(clock.reading()));
        next = queue.next_action(clock.reading(), 16);
    }
    assert_eq!(next, NextAction::Poll(id("b")));
    assert_eq!(clock.reading().since(now), Duration::from_millis(600), "two were to be paid for");
}
