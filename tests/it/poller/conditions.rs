//! Conditions: fired once and resolved once, for operator channels only.

use std::time::Duration;

use crate::harness::argil::Answer;
use crate::harness::plans::{id, operator, overdue, seconds, the_account};

use super::{Bench, Loops, Plan};

impl Bench {
    /// Starts the daemon with these avatars and the operator channel `ops`.
    async fn operated(avatars: &[&str], status: &str) -> Self {
        Self::with(Loops::Both, avatars, status, |plan| operator(plan, "ops")).await
    }

    async fn boot(&mut self, avatars: &[&str]) {
        self.run(operator(self.plan(avatars), "ops")).await;
    }
}

pub(super) fn overdue_after_an_hour(plan: Plan) -> Plan {
    overdue(operator(plan, "ops"), "a", seconds(3600))
}

#[tokio::test]
async fn training_overdue_fires_once_and_is_resolved_once() {
    let bench = Bench::with(Loops::Both, &["a"], "TRAINING", overdue_after_an_hour).await;
    bench.world.live(seconds(3599)).await;
    assert!(bench.ops.notified().is_empty());
    bench.world.live(seconds(61)).await;
    assert_eq!(bench.ops.notified(), ["avatar.training_overdue firing a"]);
    bench.world.live(seconds(7200)).await;
    assert_eq!(bench.ops.notified().len(), 1, "once");
    bench.api.set_status("a", "IDLE");
    bench.world.live(seconds(61)).await;
    let expected = [
        "avatar.training_overdue firing a",
        "avatar.ready a",
        "avatar.training_overdue resolved a",
    ];
    assert_eq!(bench.ops.notified(), expected, "the transition goes before its consequence");
}

#[tokio::test]
async fn an_avatar_that_never_existed_fires_missing_at_once_and_is_polled_soon() {
    let bench = Bench::operated(&[], "").await;
    bench.change(operator(bench.plan(&["typo"]), "ops")).await;
    assert_eq!(bench.ops.notified(), ["avatar.missing firing typo"]);
    let waits = bench.waits("typo").await.map(|wait| wait.as_secs());
    assert_eq!(waits, [180, 180, 900, 900]);
    bench.api.set_status("typo", "TRAINING");
    bench.world.live(seconds(900)).await;
    assert_eq!(bench.ops.notified()[1..], ["avatar.missing resolved typo"]);
    assert_eq!(bench.history(), ["typo: - > TRAINING"]);
}

#[tokio::test]
async fn a_known_avatar_is_missing_only_after_half_an_hour_and_three_polls() {
    let bench = Bench::operated(&["a", "b"], "TRAINING").await;
    bench.api.remove("a");
    bench.world.live(seconds(1790)).await;
    assert!(bench.ops.notified().is_empty(), "a short failure must not be taken for a deletion");
    bench.world.live(seconds(30)).await;
    assert_eq!(bench.ops.notified(), ["avatar.missing firing a"]);
    bench.world.live(seconds(7200)).await;
    assert_eq!(bench.ops.notified().len(), 1);
    bench.api.set_status("a", "IDLE");
    bench.world.live(seconds(900)).await;
    assert_eq!(bench.ops.notified()[1..], ["avatar.ready a", "avatar.missing resolved a"]);
    assert_eq!(bench.history(), ["a: - > TRAINING", "a: TRAINING > IDLE", "b: - > TRAINING"]);
}

#[tokio::test]
async fn a_short_absence_fires_no_condition() {
    let bench = Bench::operated(&["a"], "TRAINING").await;
    for _ in 0..2 {
        bench.api.answer_next("a", Answer::status(404, "{}"));
    }
    bench.world.live(seconds(3600)).await;
    assert!(bench.ops.notified().is_empty(), "{:?}", bench.ops.notified());
}

#[tokio::test]
async fn unreachable_fires_for_one_avatar_while_the_account_is_available() {
    let bench = Bench::operated(&["bad", "good"], "TRAINING").await;
    bench.api.answer_with(|request| {
        (request.avatar == "bad").then(|| Answer::status(500, "{\"message\":\"oops\"}"))
    });
    bench.world.live(seconds(1700)).await;
    assert!(bench.ops.notified().is_empty());
    bench.world.live(seconds(700)).await;
    assert_eq!(bench.ops.notified(), ["avatar.unreachable firing bad"]);
    bench.api.answer_with(|_| None);
    bench.world.live(seconds(3600)).await;
    assert_eq!(bench.ops.notified()[1..], ["avatar.unreachable resolved bad"]);
    assert_eq!(bench.history(), ["bad: - > TRAINING", "good: - > TRAINING"]);
}

#[tokio::test]
async fn an_api_outage_fires_unavailable_after_unavailable_after_and_once() {
    let bench = Bench::operated(&["a", "b", "c"], "TRAINING").await;
    bench.api.answer_with(|_| Some(Answer::status(502, "")));
    bench.world.live(seconds(900)).await;
    assert!(bench.ops.notified().is_empty(), "a short outage fires nothing");
    bench.world.live(seconds(10)).await;
    assert_eq!(bench.ops.notified(), ["account.unavailable firing argil unusable"]);
    bench.world.live(seconds(20_000)).await;
    assert_eq!(bench.ops.notified().len(), 1, "one event for the key, none for each avatar");
    bench.api.answer_with(|_| None);
    bench.world.live(seconds(600)).await;
    assert_eq!(bench.ops.notified()[1..], ["account.unavailable resolved argil unusable"]);
}

#[tokio::test]
async fn unavailable_fires_in_time_even_without_polls() {
    let bench = Bench::with(Loops::Both, &["a"], "TRAINING", |mut plan| {
        the_account(&mut plan).unavailable_after = seconds(100);
        operator(plan, "ops")
    })
    .await;
    bench.api.answer_with(|_| Some(Answer::status(429, "{}").with("retry-after", "3000")));
    bench.world.live(seconds(106)).await;
    assert_eq!(bench.ops.notified(), ["account.unavailable firing argil throttled"]);
}

#[tokio::test]
async fn unavailable_fires_once_over_restarts_and_is_resolved_after_one() {
    let mut bench = Bench::operated(&["a", "b"], "TRAINING").await;
    bench.api.require_key("another");
    bench.world.live(seconds(100)).await;
    for _ in 0..3 {
        bench.world.crash().await;
        bench.boot(&["a", "b"]).await;
        bench.world.live(seconds(4000)).await;
    }
    assert_eq!(bench.ops.notified(), ["account.unavailable firing argil key_rejected"]);
    bench.world.stop().await;
    bench.api.require_key("key");
    bench.boot(&["a", "b"]).await;
    bench.world.live(seconds(60)).await;
    assert_eq!(bench.ops.notified()[1..], ["account.unavailable resolved argil key_rejected"]);
}

#[tokio::test]
async fn a_wall_clock_jump_makes_no_account_unavailable() {
    let bench = Bench::operated(&["a"], "TRAINING").await;
    bench.api.answer_with(|_| Some(Answer::status(502, "")));
    bench.world.live(seconds(30)).await;
    bench.world.clock.jump_wall(24 * 3600 * 1000);
    bench.world.live(seconds(600)).await;
    assert!(bench.ops.notified().is_empty(), "{:?}", bench.ops.notified());
}

#[tokio::test]
async fn a_channel_without_operator_gets_no_condition() {
    let bench = Bench::watching(&["a", "b"], "TRAINING").await;
    bench.api.remove("a");
    bench.world.live(seconds(7200)).await;
    bench.api.require_key("another");
    bench.world.live(seconds(7200)).await;
    assert_eq!(bench.delivery_count(), 0);
    let known = ["avatar.missing a", "account.unavailable account argil"];
    assert_eq!(bench.conditions(), known, "they are known all the same");
}

#[tokio::test]
async fn a_condition_that_cannot_be_written_yet_is_published_later_and_once() {
    let bench = Bench::operated(&["a"], "TRAINING").await;
    let beside = bench.lock();
    bench.api.require_key("another");
    bench.world.clock.advance(seconds(5));
    bench.api.wait_until("the key is refused", |seen| seen.len() == 2).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    beside.execute_batch("ROLLBACK").unwrap();
    bench.world.quiet().await;
    bench.world.live(seconds(120)).await;
    assert_eq!(bench.ops.notified(), ["account.unavailable firing argil key_rejected"]);
    assert_eq!(bench.api.count("a"), 3, "{:?}", id("a"));
}
