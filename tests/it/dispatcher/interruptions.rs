//! Channels that go and come back, notifiers with bugs, the end and what comes after it.

use super::*;

#[tokio::test]
async fn deliveries_of_a_removed_channel_are_suspended_until_it_is_back() {
    let mut bench = Bench::new();
    let post = bench.post(first(1, OutcomeClass::Retryable));
    let other = FakeNotifier::taking(&bench.world.clock);
    bench.start(&[("ops", &post), ("other", &other)]).await;
    bench.settle("a", 1).await;
    bench.world.reload(bench.plan(&[("other", &other)])).await;
    bench.world.pass(seconds(3 * 24 * 3600)).await;
    assert_eq!(post.calls().len(), 1, "an unconfigured channel gets nothing");
    assert_eq!(bench.states(), ["pending", "delivered"], "and nothing is dropped");
    bench.world.reload(bench.plan(&[("ops", &post), ("other", &other)])).await;
    bench.world.quiet().await;
    assert_eq!(bench.states(), ["delivered", "delivered"]);
    bench.check_attempts(&[&post, &other]);
}

#[tokio::test]
async fn a_panic_of_a_notifier_is_ambiguous_and_retried() {
    let (bench, post) = Bench::sending(first(4, Answer::Panic)).await;
    assert_eq!(post.calls().len(), 1, "not again at once");
    bench.hop(seconds(3600)).await;
    let channel = bench.world.reader().channels().unwrap().remove(0);
    assert!(channel.failing_since().is_some(), "that it always breaks is no secret");
    bench.run_dry().await;
    assert_eq!(post.calls().len(), 5);
    assert_eq!(bench.states(), ["delivered"]);
    let attempts = bench.world.reader().attempts(&bench.rows()[0].id).unwrap();
    let outcomes: Vec<_> = attempts.into_iter().filter_map(|attempt| attempt.outcome).collect();
    let expected = ["ambiguous", "ambiguous", "ambiguous", "ambiguous", "delivered"];
    assert_eq!(outcomes, expected);
    assert_eq!(bench.world.ended(), 0, "the loops live on");
}

#[tokio::test]
async fn a_panic_outside_a_notifier_ends_the_loop_and_a_restart_continues() {
    let (mut bench, post) = Bench::sending(first(1, Answer::Break)).await;
    assert_eq!((bench.world.ended(), bench.states()), (1, vec!["sending".to_owned()]));
    bench.world.crash().await;
    bench.start(&[("ops", &post)]).await;
    bench.run_dry().await;
    assert_eq!(bench.states(), ["delivered"]);
}

#[tokio::test]
async fn an_attempt_that_outlasts_the_stop_is_repeated_unchanged() {
    let (mut bench, mute) = Bench::sending(first(1, slowly(seconds(3600)))).await;
    bench.world.stop().await;
    assert_eq!(bench.states(), ["sending"]);
    bench.start(&[("ops", &mute)]).await;
    bench.world.pass(seconds(1)).await;
    assert_eq!(bench.states(), ["delivered"]);
    let calls = mute.calls();
    assert_eq!(calls.len(), 2);
    assert_eq!((&calls[0].event_id, &calls[0].body), (&calls[1].event_id, &calls[1].body));
    bench.check_attempts(&[&mute]);
}

#[tokio::test]
async fn a_clock_that_is_set_delays_and_loses_no_delivery() {
    // Set forward, the delivery has expired, and one more try is made all the same.
    for (set_s, within) in [(-3600, 60), (-365 * 24 * 3600, 60), (365 * 24 * 3600, 2)] {
        let (bench, _) = Bench::sending(first(1, OutcomeClass::Retryable)).await;
        bench.world.clock.jump_wall(set_s * 1000);
        bench.world.pass(seconds(within)).await;
        assert_eq!(bench.states(), ["delivered"], "{within} s after {set_s} s");
    }
}

#[tokio::test]
async fn a_clock_set_back_does_not_speed_up_probes() {
    let (bench, post) = Bench::serving(|_| now(OutcomeClass::Retryable)).await;
    for avatar in AVATARS {
        bench.settle(avatar, 1).await;
    }
    bench.hop(seconds(600)).await;
    bench.world.clock.jump_wall(-365 * 24 * 3600 * 1000);
    let before = post.calls().len();
    bench.world.pass(seconds(2)).await;
    bench.hop(seconds(3600)).await;
    let attempts = post.calls().len() - before;
    assert!((2..=20).contains(&attempts), "{attempts} attempts in an hour");
}

#[tokio::test]
async fn an_attempt_beyond_its_limit_is_aborted_and_ambiguous() {
    let mut bench = Bench::new();
    let mute = bench.post(first(1, slowly(seconds(24 * 3600))));
    let mut plan = bench.plan(&[("ops", &mute)]);
    plan.channels.values_mut().for_each(|channel| channel.attempt_timeout = seconds(300));
    bench.world.start(plan).await;
    bench.settle("a", 1).await;
    bench.world.pass(seconds(3600)).await;
    assert_eq!(bench.states(), ["sending"], "who slept hears it out first");
    bench.world.pass(seconds(15)).await;
    assert_eq!(bench.states(), ["pending"]);
    let attempts = bench.world.reader().attempts(&bench.rows()[0].id).unwrap();
    assert_eq!(attempts[0].outcome.as_deref(), Some("ambiguous"));
    assert!(attempts[0].error.as_deref().unwrap().contains("within 300 s"), "{attempts:?}");
    bench.run_dry().await;
    assert_eq!(bench.states(), ["delivered"]);
    bench.check_attempts(&[&mute]);
}

#[tokio::test]
async fn an_attempt_at_the_previous_target_disables_nothing() {
    let mut bench = Bench::new();
    let old = bench.post(|_| Answer::After(seconds(30), outcome(OutcomeClass::Gone)));
    let new = FakeNotifier::taking(&bench.world.clock);
    bench.start(&[("ops", &old)]).await;
    bench.settle("a", 1).await;
    let mut plan = bench.plan(&[("ops", &new)]);
    plan.channels.values_mut().for_each(|channel| channel.target = "another".to_owned());
    bench.world.reload(plan).await;
    bench.settle("b", 1).await;
    assert_eq!(bench.states(), ["delivered"; 2], "both went to the new one");
    assert_eq!((old.calls().len(), new.calls().len()), (1, 2));
    bench.check_attempts(&[&old, &new]);
}

#[tokio::test]
async fn an_attempt_in_flight_survives_the_removal_of_its_channel() {
    let (mut bench, mute) = Bench::sending(first(1, slowly(seconds(3600)))).await;
    bench.world.crash().await;
    bench.start(&[]).await;
    bench.world.pass(seconds(30 * 24 * 3600)).await;
    assert_eq!(bench.states(), ["sending"], "only the channel's result ends the delivery");
    bench.world.reload(bench.plan(&[("ops", &mute)])).await;
    bench.world.pass(seconds(2)).await;
    assert_eq!(bench.states(), ["delivered"]);
    assert_eq!(mute.calls().len(), 2);
}
