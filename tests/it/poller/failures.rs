//! Local failures: a store that cannot write, a panic in a poll; and the shutdown.

use std::sync::Arc;
use std::time::Duration;

use avatar_watch::domain::avatar::status::Status;
use tokio::sync::Notify;

use crate::harness::argil::Answer;
use crate::harness::fake_notifier::{FakeNotifier, Gallery};
use crate::harness::plans::{id, plan, seconds, with_avatar, with_channel};
use crate::harness::world::World;

use super::Bench;

#[tokio::test]
async fn a_transition_that_cannot_be_written_is_found_after_the_restart_and_notified_once() {
    let mut bench = Bench::watching(&["a"], "TRAINING").await;
    let beside = rusqlite::Connection::open(bench.world.path()).unwrap();
    // The next delivery refers to a channel that does not exist.
    beside.execute_batch("DELETE FROM channels").unwrap();
    bench.api.set_status("a", "IDLE");
    bench.world.live(seconds(5)).await;
    assert_eq!(bench.world.ended(), 1, "a store that fails for good ends the poller");
    assert_eq!(bench.history(), ["a: - > TRAINING"], "nothing of the change was written");
    bench.world.crash().await;

    bench.world.start(bench.plan(&["a"])).await;
    bench.world.live(seconds(60)).await;
    assert_eq!(bench.history(), ["a: - > TRAINING", "a: TRAINING > IDLE"]);
    assert_eq!(bench.ops.calls().len(), 1);
}

/// Takes the store's lock timeout in real time.
#[tokio::test]
async fn a_transition_is_kept_while_the_database_is_busy_even_if_the_status_changes_again() {
    let bench = Bench::watching(&["a"], "TRAINING").await;
    // The dispatcher claims at even seconds, the poll is at the fifth.
    bench.world.live(seconds(4)).await;
    let beside = bench.lock();
    bench.api.set_status("a", "IDLE");
    bench.world.clock.advance(seconds(1));
    bench.api.wait_until("the avatar is polled", |seen| seen.len() == 2).await;
    let unwritten = bench.world.clock.reading().plus(seconds(5));
    wait_until("the poller defers the write", || bench.world.clock.has_sleeper(unwritten)).await;
    bench.api.set_status("a", "TRAINING");
    beside.execute_batch("ROLLBACK").unwrap();
    assert_eq!(bench.history(), ["a: - > TRAINING"]);

    bench.world.live(seconds(5)).await;
    let expected = ["a: - > TRAINING", "a: TRAINING > IDLE", "a: IDLE > TRAINING"];
    assert_eq!(bench.history(), expected);
    assert_eq!(bench.ops.calls().len(), 1);
}

/// Takes the store's lock timeout in real time.
#[tokio::test]
async fn a_reload_during_a_pending_write_loses_nothing() {
    let (bench, beside) = meet_a_busy_database().await;
    let unwritten = bench.world.clock.reading().plus(seconds(5));
    wait_until("the poller defers the write", || bench.world.clock.has_sleeper(unwritten)).await;
    bench.api.set_status("a", "TRAINING");
    bench.api.set_status("b", "IDLE");
    bench.world.hand(bench.plan(&["a", "b"]));
    bench.api.wait_until("the new one is polled", |seen| seen.len() == 3).await;
    assert_eq!(bench.world.ended(), 0, "it lives");
    beside.execute_batch("ROLLBACK").unwrap();

    bench.world.live(seconds(12)).await;
    let of_a = ["a: - > TRAINING", "a: TRAINING > IDLE", "a: IDLE > TRAINING"];
    let history = bench.history();
    assert!(history.contains(&"b: - > IDLE".to_owned()), "{history:?}");
    assert!(of_a.iter().all(|change| history.iter().any(|it| it == change)), "{history:?}");
}

/// Takes the store's lock timeout in real time.
#[tokio::test]
async fn a_stop_writes_observations_even_if_the_database_was_busy() {
    let (mut bench, beside) = meet_a_busy_database().await;
    bench.world.order_stop();
    let limit = bench.world.clock.reading().plus(seconds(2));
    wait_until("it waits for the polls", || bench.world.clock.has_sleeper(limit)).await;
    bench.world.clock.advance(seconds(2));
    let limit = bench.world.clock.reading().plus(seconds(8));
    wait_until("it waits for the write", || bench.world.clock.has_sleeper(limit)).await;
    // The first write fails with the lock.
    wait_until("it retries", || !bench.world.clock.has_sleeper(limit)).await;
    beside.execute_batch("ROLLBACK").unwrap();
    bench.world.stop().await;
    assert_eq!(bench.history(), ["a: - > TRAINING", "a: TRAINING > IDLE"]);
}

/// Takes twice the store's lock timeout in real time.
#[tokio::test]
async fn a_stop_that_cannot_write_an_observation_is_not_clean() {
    let (mut bench, _beside) = meet_a_busy_database().await;
    let ends = bench.world.stop().await;
    assert!(ends.iter().any(Result::is_err), "{ends:?}");
    assert_eq!(bench.history(), ["a: - > TRAINING"]);
}

/// `IDLE` was observed while another connection holds the write lock.
async fn meet_a_busy_database() -> (Bench, rusqlite::Connection) {
    let bench = Bench::polling(&["a"], "TRAINING").await;
    let beside = bench.lock();
    bench.api.set_status("a", "IDLE");
    bench.world.clock.advance(seconds(5));
    bench.api.wait_until("the avatar is polled", |seen| seen.len() == 2).await;
    (bench, beside)
}

async fn wait_until(what: &str, fact: impl Fn() -> bool) {
    let waiting = async {
        while !fact() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let limit = Duration::from_secs(30);
    assert!(tokio::time::timeout(limit, waiting).await.is_ok(), "not within {limit:?}: {what}");
}

#[tokio::test]
async fn a_panic_in_a_poll_costs_one_poll_and_no_avatar() {
    let mut world: World<Gallery, FakeNotifier> = World::new(1);
    let gallery = Arc::new(Gallery::default());
    let (broken, sound) = (id("broken"), id("sound"));
    gallery.show(&broken, Status::Training);
    gallery.show(&sound, Status::Training);
    let plan = plan(Arc::clone(&gallery));
    let plan = with_avatar(with_avatar(plan, "broken", None), "sound", None);
    world.start(with_channel(plan, "ops", &FakeNotifier::taking(&world.clock))).await;
    world.quiet().await;

    gallery.break_at(&broken, 1);
    gallery.show(&broken, Status::Idle);
    world.live(seconds(64)).await;
    assert_eq!(gallery.polls(&broken), 2, "not again for a minute");
    assert!(gallery.polls(&sound) > 10);
    world.live(seconds(1)).await;
    assert_eq!(gallery.polls(&broken), 3);
    let history = world.reader().transitions(Some(&broken), 10).unwrap();
    let statuses: Vec<_> = history.into_iter().map(|transition| transition.status).collect();
    assert_eq!(statuses, [Status::Training, Status::Idle]);
}

#[tokio::test]
async fn a_stop_waits_for_polls_in_flight_and_stores_a_checkpoint() {
    let mut bench = Bench::watching(&["a", "b"], "TRAINING").await;
    bench.world.live(seconds(50)).await;
    let gate = bench.hold("a");
    bench.world.clock.advance(seconds(6));
    bench.world.quiet_but(1).await;
    bench.api.set_status("a", "IDLE");
    bench.world.order_stop();
    bench.world.quiet_but(1).await;
    assert_eq!(bench.world.ended(), 1, "only the dispatcher has nothing to wait for");
    gate.notify_one();
    let ends = bench.world.stop().await;
    assert!(ends.iter().all(Result::is_ok), "{ends:?}");
    let expected = ["a: - > TRAINING", "a: TRAINING > IDLE", "b: - > TRAINING"];
    assert_eq!(bench.history(), expected);
    for watch in bench.world.reader().watches().unwrap() {
        assert_eq!(watch.observed.unwrap().last_seen_at, bench.world.clock.wall(), "{}", watch.id);
    }
}

#[tokio::test]
async fn a_stop_is_bounded_and_a_cancelled_poll_is_repeated() {
    let mut bench = Bench::watching(&["a"], "TRAINING").await;
    bench.api.set_status("a", "IDLE");
    bench.api.answer_next("a", Answer::Hold(Arc::new(Notify::new())));
    bench.world.clock.advance(seconds(5));
    bench.world.quiet_but(1).await;
    bench.world.order_stop();
    bench.world.quiet_but(1).await;
    bench.world.clock.advance(seconds(2));
    bench.world.stop().await;
    assert_eq!(bench.history(), ["a: - > TRAINING"]);
    bench.run(bench.plan(&["a"])).await;
    assert_eq!(bench.history(), ["a: - > TRAINING", "a: TRAINING > IDLE"]);
}
