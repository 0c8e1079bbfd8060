//! List polls and discovery: one request for all avatars of an account.

use std::collections::BTreeSet;
use std::time::Duration;

use avatar_watch::daemon::runtime_config::{Discovery, RuntimeConfig, Strategy};
use avatar_watch::domain::account::AccountName;

use crate::harness::argil::Answer;
use crate::harness::plans::{operator, seconds};

use super::{Bench, Loops, Plan, numbered};

impl Bench {
    /// Starts the daemon with the list strategy and these avatars, after the first poll.
    pub(super) async fn listing(avatars: &[&str], status: &str) -> Self {
        Self::with(Loops::Both, avatars, status, by_list).await
    }

    /// Starts the daemon with discovery, after the first list.
    pub(super) async fn discovering(known: &[&str]) -> Self {
        let mut bench = Self::new();
        bench.set_all(known, "IDLE");
        bench.run(discovering(bench.plan(&[]))).await;
        bench
    }
}

pub(super) fn by_list(plan: Plan) -> Plan {
    RuntimeConfig { strategy: Strategy::List, ..operator(plan, "ops") }
}

pub(super) fn discovering(plan: Plan) -> Plan {
    let discovery = Discovery {
        every: seconds(300),
        accounts: BTreeSet::from([AccountName::default()]),
        channels: None,
        overdue_after: None,
    };
    RuntimeConfig { discovery: Some(discovery), ..plan }
}

// List polls.

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
    assert_eq!(bench.deliveries(), 1);
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
async fn a_list_that_becomes_paginated_loses_no_avatar() {
    let names = numbered("a", 0..30);
    let bench = Bench::listing(&names, "NOT_TRAINED").await;
    names.iter().skip(20).for_each(|name| bench.api.hide_from_list(name));
    bench.world.live(seconds(60)).await;
    for name in &names {
        assert_eq!(bench.api.count(name) > 0, *name >= "a20", "`{name}`");
    }
    bench.set_all(&names, "IDLE");
    bench.world.live(seconds(61)).await;
    assert_eq!(bench.deliveries(), 30);
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
    bench.set_all(&["a", "b", "c"], "IDLE");
    bench.world.live(seconds(300)).await;
    assert_eq!(bench.deliveries(), 3 + 2, "the transitions, and unavailable firing and resolved");
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

// Discovery.

#[tokio::test]
async fn the_first_list_is_a_baseline_and_later_avatars_are_new() {
    let bench = Bench::discovering(&["old1", "old2"]).await;
    assert_eq!(bench.history(), ["old1: - > IDLE", "old2: - > IDLE"]);
    assert_eq!(bench.deliveries(), 0);
    bench.api.set_status("new", "IDLE");
    bench.world.live(seconds(301)).await;
    assert_eq!(bench.history()[0], "new: - > IDLE");
    assert_eq!(bench.deliveries(), 1);
    let body = bench.ops.calls()[0].json();
    assert_eq!(body["type"], "avatar.ready");
    assert!(
        body["data"]["previous_status"].is_null()
            && body["data"]["last_seen_previous_at"].is_null()
    );
    assert_eq!(body["data"]["training_observed"], false);
}

#[tokio::test]
async fn a_discovered_avatar_is_watched_like_any_other_over_restarts() {
    let mut bench = Bench::discovering(&["old"]).await;
    bench.api.set_status("new", "TRAINING");
    bench.world.live(seconds(301)).await;
    assert_eq!(bench.deliveries(), 0, "no event for the start of a training");
    bench.world.crash().await;
    bench.api.set_status("new", "TRAINING_FAILED");
    bench.api.set_status("newer", "REFUSED");
    bench.run(discovering(bench.plan(&[]))).await;
    bench.world.live(seconds(61)).await;
    let expected = [
        "new: - > TRAINING",
        "new: TRAINING > TRAINING_FAILED",
        "newer: - > REFUSED",
        "old: - > IDLE",
    ];
    assert_eq!(bench.history(), expected);
    assert_eq!(bench.deliveries(), 2);
    bench.change(bench.plan(&[])).await;
    let before = bench.api.requests().len();
    bench.world.live(seconds(9000)).await;
    assert_eq!(bench.api.requests().len(), before, "when discovery is off, nothing is watched");
}

#[tokio::test]
async fn a_page_adds_no_new_avatar_and_a_shrunk_list_waits_for_the_next() {
    let bench = Bench::discovering(&["a", "b", "c"]).await;
    bench.api.hide_from_list("a");
    bench.api.hide_from_list("b");
    bench.api.set_status("new", "IDLE");
    bench.world.live(seconds(301)).await;
    assert_eq!(bench.deliveries(), 0, "it is not known yet whether it is new");
    bench.world.live(seconds(301)).await;
    assert_eq!(bench.deliveries(), 1);
    let page = |body: &str| Answer::status(200, body).with("x-total-count", "900");
    bench.api.answer_list_next(page(r#"[{"id":"paged","status":"IDLE"}]"#));
    bench.world.live(seconds(301)).await;
    assert_eq!(bench.deliveries(), 1, "it may have been on another page all the time");
    assert!(bench.history().contains(&"paged: - > IDLE".to_owned()));
}

#[tokio::test]
async fn an_avatar_of_the_config_is_not_discovered_again() {
    let mut bench = Bench::new();
    bench.set_all(&["mine", "found"], "TRAINING");
    bench.run(discovering(bench.plan(&["mine"]))).await;
    bench.world.live(seconds(600)).await;
    assert_eq!(bench.history(), ["found: - > TRAINING", "mine: - > TRAINING"]);
    bench.world.reload(discovering(bench.plan(&["mine", "found"]))).await;
    bench.world.live(seconds(600)).await;
    assert_eq!(bench.history().len(), 2);
}

#[tokio::test]
async fn an_interrupted_first_list_is_still_the_first_after_the_restart() {
    let mut bench = Bench::new();
    bench.api.set_status("old", "IDLE");
    bench.api.answer_list_next(Answer::status(500, "oops"));
    bench.run(discovering(bench.plan(&[]))).await;
    bench.world.crash().await;
    bench.api.set_status("old2", "IDLE");
    bench.run(discovering(bench.plan(&[]))).await;
    bench.world.live(Duration::from_secs(600)).await;
    assert_eq!(bench.history(), ["old: - > IDLE", "old2: - > IDLE"]);
    assert_eq!(bench.deliveries(), 0);
}
