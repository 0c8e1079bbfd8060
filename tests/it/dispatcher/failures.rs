//! Channels that go and come back, notifiers with bugs, the end and what comes after it.

use super::*;

#[tokio::test]
async fn a_channel_taken_out_parks_its_deliveries_and_they_go_on_when_it_is_back() {
    let bench = Bench::new();
    let post = bench.post(|number| {
        now(if number == 1 { OutcomeClass::Retryable } else { OutcomeClass::Delivered })
    });
    let other = Post::taking(&bench.world.clock);
    let mut bench = bench;
    bench.start(&[("ops", &post), ("other", &other)]).await;
    bench.settle("a", 1).await;
    bench.world.reload(bench.plan(&[("other", &other)])).await;
    bench.world.pass(seconds(3 * 24 * 3600)).await;
    assert_eq!(post.calls().len(), 1, "nobody is told through a channel that is not in the plan");
    assert_eq!(bench.states(), ["pending", "delivered"], "and nothing is dropped");
    bench.world.reload(bench.plan(&[("ops", &post), ("other", &other)])).await;
    bench.world.quiet().await;
    assert_eq!(bench.states(), ["delivered", "delivered"]);
    bench.check_attempts(&[&post, &other]);
}

#[tokio::test]
async fn a_notifier_with_a_bug_may_have_sent_it_and_is_tried_again_on_the_schedule() {
    let bench = Bench::new();
    let post = bench.post(|number| match number {
        1..=4 => Answer::Panic,
        _ => now(OutcomeClass::Delivered),
    });
    let mut bench = bench;
    bench.start(&[("ops", &post)]).await;
    bench.settle("a", 1).await;
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
async fn a_message_that_always_meets_a_bug_is_a_dead_letter_and_not_a_loop() {
    let bench = Bench::new();
    let post = bench.post(|_| Answer::Panic);
    let mut bench = bench;
    bench.start(&[("ops", &post)]).await;
    bench.settle("a", 1).await;
    bench.run_dry().await;
    assert_eq!(post.calls().len(), 10, "one for each try that the schedule has");
    assert_eq!(bench.states(), ["failed"]);
}

#[tokio::test]
async fn a_bug_of_our_own_in_a_try_ends_the_loop_and_the_next_process_goes_on() {
    let bench = Bench::new();
    let post = bench.post(|number| match number {
        1 => Answer::Break,
        _ => now(OutcomeClass::Delivered),
    });
    let mut bench = bench;
    bench.start(&[("ops", &post)]).await;
    bench.settle("a", 1).await;
    assert_eq!((bench.world.ended(), bench.states()), (1, vec!["sending".to_owned()]));
    bench.world.crash().await;
    bench.start(&[("ops", &post)]).await;
    bench.run_dry().await;
    assert_eq!(bench.states(), ["delivered"]);
}

#[tokio::test]
async fn a_stop_waits_for_the_tries_under_way_and_begins_none() {
    let bench = Bench::new();
    let slow = bench.post(|_| Answer::After(seconds(15), outcome(OutcomeClass::Delivered)));
    let mut bench = bench;
    bench.start(&[("ops", &slow)]).await;
    bench.settle("a", 1).await;
    let ends = bench.world.stop().await;
    assert!(ends.iter().all(Result::is_ok), "{ends:?}");
    assert_eq!(bench.states(), ["delivered"]);
    bench.start(&[("ops", &slow)]).await;
    bench.world.pass(seconds(3600)).await;
    assert_eq!(slow.calls().len(), 1);
}

#[tokio::test]
async fn a_try_that_outlasts_the_stop_is_made_again_with_the_same_id_and_bytes() {
    let bench = Bench::new();
    let mute = bench.post(|number| {
        let wait = if number == 1 { seconds(3600) } else { seconds(0) };
        Answer::After(wait, outcome(OutcomeClass::Delivered))
    });
    let mut bench = bench;
    bench.start(&[("ops", &mute)]).await;
    bench.settle("a", 1).await;
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
async fn a_clock_set_back_does_not_hold_up_what_is_due() {
    for back in [seconds(3600), seconds(365 * 24 * 3600)] {
        let bench = Bench::new();
        let post = bench.post(|number| {
            now(if number == 1 { OutcomeClass::Retryable } else { OutcomeClass::Delivered })
        });
        let mut bench = bench;
        bench.start(&[("ops", &post)]).await;
        bench.settle("a", 1).await;
        bench.world.clock.jump_wall(-i64::try_from(back.as_millis()).unwrap());
        bench.world.pass(seconds(60)).await;
        assert_eq!(bench.states(), ["delivered"], "a minute after the clock went back {back:?}");
    }
}

#[tokio::test]
async fn a_clock_set_forward_loses_no_delivery_unheard() {
    let bench = Bench::new();
    let post = bench.post(|number| {
        now(if number == 1 { OutcomeClass::Retryable } else { OutcomeClass::Delivered })
    });
    let mut bench = bench;
    bench.start(&[("ops", &post)]).await;
    bench.settle("a", 1).await;
    bench.world.clock.jump_wall(365 * 24 * 3600 * 1000);
    bench.world.pass(seconds(2)).await;
    assert_eq!(bench.states(), ["delivered"], "one more try is always made");
}

#[tokio::test]
async fn a_dead_channel_is_probed_no_faster_after_the_clock_was_set_back() {
    let bench = Bench::new();
    let post = bench.post(|_| now(OutcomeClass::Retryable));
    let mut bench = bench;
    bench.start(&[("ops", &post)]).await;
    for avatar in ["a", "b", "c"] {
        bench.settle(avatar, 1).await;
    }
    bench.hop(seconds(600)).await;
    bench.world.clock.jump_wall(-365 * 24 * 3600 * 1000);
    let before = post.calls().len();
    bench.world.pass(seconds(2)).await;
    bench.hop(seconds(3600)).await;
    let tries = post.calls().len() - before;
    assert!((2..=20).contains(&tries), "{tries} tries in an hour");
}

#[tokio::test]
async fn a_try_that_keeps_to_no_limit_is_ended_and_may_have_been_taken() {
    let bench = Bench::new();
    let mute = bench.post(|number| match number {
        1 => Answer::After(seconds(24 * 3600), outcome(OutcomeClass::Delivered)),
        _ => now(OutcomeClass::Delivered),
    });
    let mut plan = bench.plan(&[("ops", &mute)]);
    plan.channels.values_mut().for_each(|outlet| outlet.attempt_timeout = seconds(300));
    let mut bench = bench;
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
async fn a_try_at_the_old_target_that_ends_after_a_reload_disables_nothing() {
    let bench = Bench::new();
    let old = bench.post(|_| Answer::After(seconds(30), outcome(OutcomeClass::Gone)));
    let new = Post::taking(&bench.world.clock);
    let mut bench = bench;
    bench.start(&[("ops", &old)]).await;
    bench.settle("a", 1).await;
    let mut plan = bench.plan(&[("ops", &new)]);
    plan.channels.values_mut().for_each(|outlet| outlet.target = "another".to_owned());
    bench.world.reload(plan).await;
    bench.settle("b", 1).await;
    assert_eq!(bench.states(), ["delivered"; 2], "both went to the new one");
    assert_eq!((old.calls().len(), new.calls().len()), (1, 2));
    bench.check_attempts(&[&old, &new]);
}

#[tokio::test]
async fn what_was_under_way_to_a_channel_that_was_taken_out_goes_on_when_it_is_back() {
    let bench = Bench::new();
    let mute = bench.post(|number| {
        let wait = if number == 1 { seconds(3600) } else { seconds(0) };
        Answer::After(wait, outcome(OutcomeClass::Delivered))
    });
    let mut bench = bench;
    bench.start(&[("ops", &mute)]).await;
    bench.settle("a", 1).await;
    bench.world.crash().await;
    bench.start(&[]).await;
    bench.world.pass(seconds(30 * 24 * 3600)).await;
    assert_eq!(bench.states(), ["sending"], "nobody but the channel says what becomes of it");
    bench.world.reload(bench.plan(&[("ops", &mute)])).await;
    bench.world.pass(seconds(2)).await;
    assert_eq!(bench.states(), ["delivered"]);
    assert_eq!(mute.calls().len(), 2);
}
