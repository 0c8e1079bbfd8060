//! Unreliable lists: stale, contradictory, unreadable, refused; and discovered avatars that were
//! known before.

use crate::harness::argil::Answer;
use crate::harness::plans::seconds;

use super::Bench;
use super::lists::{by_list, discovering};

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
    assert_eq!(bench.deliveries(), 0);
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
    assert_eq!(bench.deliveries(), 1, "notified once");
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

#[tokio::test]
async fn a_discovered_avatar_with_a_history_continues_it() {
    let mut bench = Bench::watching(&["a"], "TRAINING").await;
    bench.world.stop().await;
    bench.api.set_status("a", "IDLE");
    bench.run(discovering(bench.plan(&[]))).await;
    bench.world.live(seconds(10)).await;
    assert_eq!(bench.history(), ["a: - > TRAINING", "a: TRAINING > IDLE"]);
    assert_eq!(bench.deliveries(), 1);

    // Configured once, and removed from the config while lists show it.
    bench.api.set_status("b", "TRAINING");
    bench.world.reload(discovering(bench.plan(&["b"]))).await;
    bench.world.live(seconds(10)).await;
    bench.world.reload(discovering(bench.plan(&[]))).await;
    bench.api.set_status("b", "REFUSED");
    bench.world.live(seconds(600)).await;
    assert_eq!(bench.history()[2..], ["b: - > TRAINING", "b: TRAINING > REFUSED"]);
    assert_eq!((bench.deliveries(), bench.world.ended()), (2, 0));
    bench.world.crash().await;
    bench.world.start(discovering(bench.plan(&[]))).await;
    bench.world.live(seconds(10)).await;
    assert_eq!((bench.history().len(), bench.world.ended()), (4, 0));
}

#[tokio::test]
async fn an_unreadable_avatar_of_the_first_list_is_not_new_later() {
    let mut bench = Bench::new();
    bench.set_all(&["a", "b", "c"], "IDLE");
    let odd = r#"[{"id":"a","status":"IDLE"},{"id":"b","status":null},
        {"id":"c","status":"TRAINING"},{"id":"c","status":"IDLE"}]"#;
    bench.api.answer_list_next(Answer::status(200, odd));
    bench.run(discovering(bench.plan(&[]))).await;
    bench.world.live(seconds(900)).await;
    assert_eq!(bench.history(), ["a: - > IDLE", "b: - > IDLE", "c: - > IDLE"]);
    assert_eq!(bench.deliveries(), 0);
}

#[tokio::test]
async fn a_list_adds_no_more_at_once_than_a_thousand() {
    let bench = Bench::discovering(&["a"]).await;
    let list = |count: usize| {
        let one = |n: usize| format!(r#",{{"id":"n{n}","status":"IDLE"}}"#);
        let others: String = (0..count).map(one).collect();
        Answer::status(200, format!(r#"[{{"id":"a","status":"IDLE"}}{others}]"#))
    };
    let all = list(1_500);
    bench.api.answer_with(move |request| request.avatar.is_empty().then(|| all.clone()));
    bench.world.live(seconds(301)).await;
    assert_eq!(bench.world.reader().watches().unwrap().len(), 1_001);
    bench.world.live(seconds(300)).await;
    assert_eq!(bench.world.reader().watches().unwrap().len(), 1_501);
}

#[tokio::test]
async fn no_more_than_ten_thousand_avatars_are_discovered() {
    let mut bench = Bench::new();
    let element = |n: usize| format!(r#"{{"id":"n{n}","status":"IDLE"}}"#);
    let list = |ids: std::ops::Range<usize>| {
        Answer::status(200, format!("[{}]", ids.map(element).collect::<Vec<_>>().join(",")))
    };
    bench.api.answer_list_next(list(0..10_500));
    bench.run(discovering(bench.plan(&[]))).await;
    assert_eq!(bench.world.reader().watches().unwrap().len(), 10_000);
    bench.api.answer_list_next(list(0..10_700));
    bench.world.live(seconds(301)).await;
    assert_eq!(bench.api.lists(), 2);
    assert_eq!(bench.world.reader().watches().unwrap().len(), 10_000);
    bench.world.crash().await;
    bench.api.answer_list_next(list(0..10_700));
    bench.world.start(discovering(bench.plan(&[]))).await;
    bench.world.quiet().await;
    bench.world.live(seconds(301)).await;
    assert_eq!(bench.world.reader().watches().unwrap().len(), 10_000, "a start changes nothing");
}

/// Takes the store's lock timeout in real time.
#[tokio::test]
async fn discovered_avatars_that_are_not_written_yet_survive_a_reload() {
    let bench = Bench::discovering(&[]).await;
    let beside = bench.lock();
    bench.api.set_status("new", "IDLE");
    bench.world.clock.advance(seconds(300));
    bench.api.wait_until("the second list", |_| bench.api.lists() == 2).await;
    bench.world.quiet().await;
    beside.execute_batch("ROLLBACK").unwrap();
    assert_eq!(bench.history(), [""; 0], "it is not written yet");
    bench.world.reload(discovering(bench.plan(&[]))).await;
    bench.world.live(seconds(900)).await;
    assert_eq!(bench.history(), ["new: - > IDLE"]);
    assert_eq!((bench.deliveries(), bench.world.ended()), (1, 0));
}
