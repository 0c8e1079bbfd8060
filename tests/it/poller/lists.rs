//! List polls: one request for all avatars of an account; and lists that are stale, contradictory
//! or refused.

use avatar_watch::daemon::config::runtime_config::RuntimeConfig;
use avatar_watch::domain::polling::strategy::Strategy;

use crate::harness::argil::Answer;
use crate::harness::plans::{operator, seconds};

use super::{Bench, Loops, Plan};

impl Bench {
    /// Starts the daemon with the list strategy and these avatars, after the first poll.
    async fn listing(avatars: &[&str], status: &str) -> Self {
        Self::with(Loops::Both, avatars, status, by_list).await
    }
}

fn by_list(plan: Plan) -> Plan {
    RuntimeConfig { strategy: Strategy::List, ..operator(plan, "ops") }
}

#[tokio::test]
async fn one_list_polls_all_avatars() {
    let bench = Bench::listing(&["a", "b", "c"], "TRAINING").await;
    assert_eq!((bench.api.lists(), bench.api.requests().len()), (1, 1));
    assert_eq!(bench.history().len(), 3);
    bench.world.live(seconds(300)).await;
    assert_eq!(bench.api.lists(), bench.api.requests().len(), "every poll is a list poll");
    bench.api.set_status("b", "IDLE");
    bench.world.live(seconds(60)).await;
    assert_eq!(bench.history()[2], "b: TRAINING > IDLE");
    assert_eq!(bench.delivery_count(), 1);
}

#[tokio::test]
async fn a_list_is_polled_as_often_as_its_most_urgent_avatar_needs() {
    let bench = Bench::listing(&["a", "b"], "IDLE").await;
    bench.api.set_status("b", "TRAINING");
    bench.world.live(seconds(3600)).await;
    let before = bench.api.lists();
    bench.world.live(seconds(60)).await;
    let lists = bench.api.lists() - before;
    assert!((10..=13).contains(&lists), "{lists} lists in a minute of a young training");
}

#[tokio::test]
async fn an_absent_avatar_is_polled_singly_before_anything_is_concluded() {
    let bench = Bench::listing(&["a", "b"], "TRAINING").await;
    bench.api.hide_from_list("b");
    bench.world.live(seconds(5)).await;
    assert_eq!((bench.api.lists(), bench.api.count("b")), (2, 1));
    bench.world.live(seconds(3600)).await;
    assert_eq!(bench.history(), ["a: - > TRAINING", "b: - > TRAINING"]);
    assert_eq!(bench.api.count("a"), 0);
    bench.api.set_status("b", "REFUSED");
    bench.world.live(seconds(61)).await;
    assert_eq!(bench.history()[2], "b: TRAINING > REFUSED");
    assert_eq!(bench.conditions(), [""; 0], "a list proves what is in it and nothing else");
}

#[tokio::test]
async fn an_avatar_absent_from_list_and_poll_is_missing() {
    let bench = Bench::listing(&["a", "b"], "TRAINING").await;
    bench.api.remove("b");
    bench.world.live(seconds(3600)).await;
    assert_eq!(bench.conditions(), ["avatar.missing b"]);
}

#[tokio::test]
async fn a_failing_list_backs_off_like_a_poll_and_causes_no_burst() {
    let bench = Bench::listing(&["a", "b", "c"], "TRAINING").await;
    let before = bench.api.requests().len();
    bench.api.answer_with(|_| Some(Answer::status(500, "oops")));
    bench.world.live(seconds(1000)).await;
    let polls = bench.api.requests().len() - before;
    assert!((6..=40).contains(&polls), "{polls} requests in 1000 s of failure");
    assert_eq!(bench.history().len(), 3);
    bench.api.answer_with(|_| None);
    bench.api.set_all(&["a", "b", "c"], "IDLE");
    bench.world.live(seconds(300)).await;
    assert_eq!(
        bench.delivery_count(),
        3 + 2,
        "the transitions, and unavailable firing and resolved"
    );
    let lists = bench.api.lists();
    bench.world.live(seconds(3600)).await;
    assert!(bench.api.lists() > lists, "it goes back to lists");
}

#[tokio::test]
async fn a_refused_key_causes_no_burst_of_list_polls() {
    let bench = Bench::listing(&["a", "b"], "TRAINING").await;
    bench.api.require_key("another");
    bench.world.live(seconds(600)).await;
    assert!(bench.api.requests().len() <= 6, "{} requests", bench.api.requests().len());
    bench.api.require_key("key");
    bench.world.live(seconds(3600)).await;
    bench.api.set_status("a", "IDLE");
    bench.world.live(seconds(61)).await;
    assert!(bench.history().contains(&"a: TRAINING > IDLE".to_owned()));
}

#[tokio::test]
async fn a_hint_causes_a_poll_and_no_list_poll() {
    let bench = Bench::listing(&["a", "b"], "IDLE").await;
    bench.api.set_status("a", "TRAINING");
    bench.world.hint(&crate::harness::plans::id("a"));
    bench.world.quiet().await;
    assert_eq!((bench.api.lists(), bench.api.count("a")), (1, 1));
    assert_eq!(bench.history()[1], "a: IDLE > TRAINING");
}

#[tokio::test]
async fn the_case_of_an_id_does_not_matter_in_a_list() {
    let mut bench = Bench::new();
    bench.api.set_status("abc-def", "TRAINING");
    bench.run(by_list(bench.plan(&["ABC-DEF"]))).await;
    assert_eq!(bench.history(), ["ABC-DEF: - > TRAINING"]);
}

#[tokio::test]
async fn a_list_that_contradicts_the_known_status_causes_a_poll_and_no_transition() {
    let bench = Bench::listing(&["a", "b"], "IDLE").await;
    for _ in 0..5 {
        let stale = r#"[{"id":"a","status":"TRAINING"},{"id":"b","status":"IDLE"}]"#;
        bench.api.answer_list_next(Answer::status(200, stale));
        bench.world.live(seconds(3600)).await;
    }
    assert_eq!(bench.history(), ["a: - > IDLE", "b: - > IDLE"]);
    assert_eq!((bench.api.count("a"), bench.api.count("b")), (5, 0));
    assert_eq!(bench.delivery_count(), 0);
}

#[tokio::test]
async fn a_list_never_resolves_failures_of_single_polls() {
    let bench = Bench::listing(&["a", "b"], "IDLE").await;
    bench.api.answer_with(|request| (request.avatar == "a").then(|| Answer::status(404, "{}")));
    let stale = r#"[{"id":"a","status":"REFUSED"},{"id":"b","status":"IDLE"}]"#;
    bench.api.answer_list_next(Answer::status(200, stale));
    // Later lists still show the old status.
    bench.world.live(seconds(3 * 3600)).await;
    assert_eq!(bench.conditions(), ["avatar.missing a"]);
    assert_eq!(bench.delivery_count(), 1, "notified once");
}

#[tokio::test]
async fn an_account_without_list_is_polled_singly() {
    for code in [400, 403, 404, 500] {
        let mut bench = Bench::new();
        bench.api.answer_with(move |request| {
            request.avatar.is_empty().then(|| Answer::status(code, "{}"))
        });
        bench.api.set_status("a", "TRAINING");
        bench.api.set_status("b", "NOT_TRAINED");
        bench.run(by_list(bench.plan(&["a", "b"]))).await;
        assert_eq!(bench.history(), ["a: - > TRAINING", "b: - > NOT_TRAINED"], "{code}");
        bench.world.live(seconds(50)).await;
        assert!(bench.api.count("a") >= 10, "{code}: {} polls", bench.api.count("a"));
        bench.api.set_status("a", "REFUSED");
        bench.world.live(seconds(5)).await;
        assert_eq!(bench.history()[1], "a: TRAINING > REFUSED", "{code}");
        bench.world.live(seconds(4 * 3600)).await;
        let lists = bench.api.lists();
        assert!((2..=10).contains(&lists), "{code}: {lists} lists");
        assert_eq!(bench.conditions(), [""; 0], "{code}");
        bench.api.answer_with(|_| None);
        bench.world.live(seconds(2 * 3600)).await;
        assert!(bench.api.lists() >= lists + 2, "{code}: it goes back to lists");
    }
}

#[tokio::test]
async fn after_a_list_that_was_empty_lists_come_back() {
    let bench = Bench::listing(&["a", "b", "c"], "NOT_TRAINED").await;
    bench.api.answer_list_next(Answer::status(200, "[]"));
    bench.world.live(seconds(61)).await;
    assert!(["a", "b", "c"].iter().all(|it| bench.api.count(it) == 1), "each is polled");
    bench.world.live(seconds(360)).await;
    let (lists, requests) = (bench.api.lists(), bench.api.requests().len());
    bench.world.live(seconds(600)).await;
    assert_eq!(bench.api.requests().len() - requests, bench.api.lists() - lists, "by list again");
    assert!(bench.api.lists() >= lists + 9);
}
