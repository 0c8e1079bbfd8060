//! Conditions: told once when they begin and once when they end, to operators only.

use std::time::Duration;

use crate::harness::argil::Answer;
use crate::harness::plans::{id, operator, seconds, the_account};

use super::Bench;

impl Bench {
    /// The daemon watches these avatars, and `ops` is an operator.
    async fn operated(avatars: &[&str], status: &str) -> Self {
        let mut bench = Self::new();
        avatars.iter().for_each(|avatar| bench.api.set_status(avatar, status));
        bench.boot(avatars).await;
        bench
    }

    async fn boot(&mut self, avatars: &[&str]) {
        self.world.start(operator(self.plan(avatars), "ops")).await;
        self.world.quiet().await;
    }

    /// What `ops` was told so far: `type state subject`, or `type avatar` for news.
    pub(super) fn told(&self) -> Vec<String> {
        let calls = self.ops.calls();
        let told = calls.iter().map(|call| {
            let body: serde_json::Value = serde_json::from_slice(&call.body).unwrap();
            let data = &body["data"];
            let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
            let parts = [
                text(&body["type"]),
                text(&data["state"]),
                text(&data["avatar"]["id"]).or_else(|| text(&data["account"])),
                text(&data["cause"]),
            ];
            parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
        });
        told.collect()
    }
}

// A training that takes too long.

#[tokio::test]
async fn an_overdue_training_is_told_once_when_it_begins_and_once_when_it_ends() {
    let mut bench = Bench::new();
    bench.api.set_status("a", "TRAINING");
    let mut plan = operator(bench.plan(&["a"]), "ops");
    plan = crate::harness::plans::overdue(plan, "a", seconds(3600));
    bench.world.start(plan).await;
    bench.world.quiet().await;
    bench.world.live(seconds(3599)).await;
    assert!(bench.told().is_empty());
    bench.world.live(seconds(61)).await;
    assert_eq!(bench.told(), ["avatar.training_overdue firing a"]);
    bench.world.live(seconds(7200)).await;
    assert_eq!(bench.told().len(), 1, "once");
    bench.api.set_status("a", "IDLE");
    bench.world.live(seconds(61)).await;
    let expected = [
        "avatar.training_overdue firing a",
        "avatar.ready a",
        "avatar.training_overdue resolved a",
    ];
    assert_eq!(bench.told(), expected, "the news goes before its consequence");
}

#[tokio::test]
async fn an_overdue_training_is_told_once_over_restarts_and_crashes() {
    let mut bench = Bench::new();
    bench.api.set_status("a", "TRAINING");
    let plan = |bench: &Bench| {
        let plan = operator(bench.plan(&["a"]), "ops");
        crate::harness::plans::overdue(plan, "a", seconds(3600))
    };
    bench.world.start(plan(&bench)).await;
    bench.world.quiet().await;
    bench.world.live(seconds(3700)).await;
    for crash in [true, false, true] {
        if crash {
            bench.world.crash().await;
        } else {
            bench.world.stop().await;
        }
        bench.world.start(plan(&bench)).await;
        bench.world.quiet().await;
        bench.world.live(seconds(600)).await;
    }
    assert_eq!(bench.told(), ["avatar.training_overdue firing a"]);
    bench.api.set_status("a", "REFUSED");
    bench.world.live(seconds(61)).await;
    assert_eq!(bench.told()[1..], ["avatar.refused a", "avatar.training_overdue resolved a"]);
}

// An avatar that is not there.

#[tokio::test]
async fn an_avatar_that_was_never_there_is_told_at_once_and_looked_for_soon() {
    let bench = Bench::operated(&[], "").await;
    bench.world.reload(operator(bench.plan(&["typo"]), "ops")).await;
    bench.world.quiet().await;
    assert_eq!(bench.told(), ["avatar.missing firing typo"]);
    let waits = bench.waits("typo").await.map(|wait| wait.as_secs());
    assert_eq!(waits, [180, 180, 900, 900]);
    bench.api.set_status("typo", "TRAINING");
    bench.world.live(seconds(900)).await;
    assert_eq!(bench.told()[1..], ["avatar.missing resolved typo"]);
    assert_eq!(bench.history(), ["typo: - > TRAINING"]);
}

#[tokio::test]
async fn a_known_avatar_is_missing_only_after_half_an_hour_and_three_looks() {
    let bench = Bench::operated(&["a", "b"], "TRAINING").await;
    bench.api.remove("a");
    bench.world.live(seconds(1790)).await;
    assert!(bench.told().is_empty(), "a hiccup must not look like a deletion");
    bench.world.live(seconds(30)).await;
    assert_eq!(bench.told(), ["avatar.missing firing a"]);
    bench.world.live(seconds(7200)).await;
    assert_eq!(bench.told().len(), 1);
    bench.api.set_status("a", "IDLE");
    bench.world.live(seconds(900)).await;
    assert_eq!(bench.told()[1..], ["avatar.missing resolved a", "avatar.ready a"]);
    assert_eq!(bench.history(), ["a: - > TRAINING", "a: TRAINING > IDLE", "b: - > TRAINING"]);
}

#[tokio::test]
async fn a_missing_avatar_is_told_once_over_restarts() {
    let mut bench = Bench::operated(&["a"], "TRAINING").await;
    bench.api.remove("a");
    bench.world.live(seconds(2000)).await;
    for _ in 0..3 {
        bench.world.crash().await;
        bench.boot(&["a"]).await;
        bench.world.live(seconds(4000)).await;
    }
    assert_eq!(bench.told(), ["avatar.missing firing a"]);
}

#[tokio::test]
async fn a_short_absence_is_told_to_nobody() {
    let bench = Bench::operated(&["a"], "TRAINING").await;
    for _ in 0..2 {
        bench.api.answer_next("a", Answer::status(404, "{}"));
    }
    bench.world.live(seconds(3600)).await;
    assert!(bench.told().is_empty(), "{:?}", bench.told());
}

// One avatar that cannot be seen.

#[tokio::test]
async fn one_avatar_that_alone_cannot_be_seen_is_told_while_the_key_is_not_blind() {
    let bench = Bench::operated(&["bad", "good"], "TRAINING").await;
    bench.api.answer_with(|request| {
        (request.avatar == "bad").then(|| Answer::status(500, "{\"message\":\"oops\"}"))
    });
    bench.world.live(seconds(1700)).await;
    assert!(bench.told().is_empty());
    bench.world.live(seconds(700)).await;
    assert_eq!(bench.told(), ["avatar.unreachable firing bad"]);
    bench.api.answer_with(|_| None);
    bench.world.live(seconds(3600)).await;
    assert_eq!(bench.told()[1..], ["avatar.unreachable resolved bad"]);
    assert_eq!(bench.history(), ["bad: - > TRAINING", "good: - > TRAINING"]);
}

// A key that sees nothing.

#[tokio::test]
async fn a_refused_key_is_told_at_once_and_once_for_all_its_avatars() {
    let bench = Bench::operated(&["a", "b", "c"], "TRAINING").await;
    bench.api.require_key("another");
    bench.world.live(seconds(7200)).await;
    assert_eq!(bench.told(), ["account.unavailable firing argil key_rejected"]);
    bench.api.require_key("key");
    bench.world.live(seconds(3600)).await;
    assert_eq!(bench.told()[1..], ["account.unavailable resolved argil key_rejected"]);
}

#[tokio::test]
async fn an_api_that_is_away_is_told_after_unavailable_after_and_once_for_all() {
    let bench = Bench::operated(&["a", "b", "c"], "TRAINING").await;
    bench.api.answer_with(|_| Some(Answer::status(502, "")));
    bench.world.live(seconds(900)).await;
    assert!(bench.told().is_empty(), "a short outage is told to nobody");
    bench.world.live(seconds(10)).await;
    assert_eq!(bench.told(), ["account.unavailable firing argil unusable"]);
    bench.world.live(seconds(20_000)).await;
    assert_eq!(bench.told().len(), 1, "one event for the key, none for each avatar");
    bench.api.answer_with(|_| None);
    bench.world.live(seconds(600)).await;
    assert_eq!(bench.told()[1..], ["account.unavailable resolved argil unusable"]);
}

#[tokio::test]
async fn blindness_is_told_in_time_even_when_nothing_is_looked_at_meanwhile() {
    let mut bench = Bench::new();
    bench.api.set_status("a", "TRAINING");
    let mut plan = operator(bench.plan(&["a"]), "ops");
    the_account(&mut plan).unavailable_after = seconds(100);
    bench.world.start(plan).await;
    bench.world.quiet().await;
    bench.api.answer_with(|_| Some(Answer::status(429, "{}").with("retry-after", "3000")));
    bench.world.live(seconds(106)).await;
    assert_eq!(bench.told(), ["account.unavailable firing argil throttled"]);
}

#[tokio::test]
async fn blindness_is_told_once_over_restarts_and_ends_after_one() {
    let mut bench = Bench::operated(&["a", "b"], "TRAINING").await;
    bench.api.require_key("another");
    bench.world.live(seconds(100)).await;
    for _ in 0..3 {
        bench.world.crash().await;
        bench.boot(&["a", "b"]).await;
        bench.world.live(seconds(4000)).await;
    }
    assert_eq!(bench.told(), ["account.unavailable firing argil key_rejected"]);
    bench.world.stop().await;
    bench.api.require_key("key");
    bench.boot(&["a", "b"]).await;
    bench.world.live(seconds(60)).await;
    assert_eq!(bench.told()[1..], ["account.unavailable resolved argil key_rejected"]);
}

#[tokio::test]
async fn a_wall_clock_that_jumps_blinds_nobody() {
    let bench = Bench::operated(&["a"], "TRAINING").await;
    bench.api.answer_with(|_| Some(Answer::status(502, "")));
    bench.world.live(seconds(30)).await;
    bench.world.clock.jump_wall(24 * 3600 * 1000);
    bench.world.live(seconds(600)).await;
    assert!(bench.told().is_empty(), "{:?}", bench.told());
}

#[tokio::test]
async fn who_is_no_operator_hears_of_no_condition() {
    let bench = Bench::watching(&["a", "b"], "TRAINING").await;
    bench.api.remove("a");
    bench.world.live(seconds(7200)).await;
    bench.api.require_key("another");
    bench.world.live(seconds(7200)).await;
    assert_eq!(bench.deliveries(), 0);
    let conditions = bench.world.reader().conditions().unwrap();
    let kinds: Vec<_> = conditions.iter().map(|it| it.kind.as_str()).collect();
    assert_eq!(kinds, ["avatar.missing", "account.unavailable"], "they are known all the same");
}

#[tokio::test]
async fn a_condition_that_cannot_be_written_yet_is_told_later_and_once() {
    let bench = Bench::operated(&["a"], "TRAINING").await;
    let beside = rusqlite::Connection::open(bench.world.path()).unwrap();
    beside.execute_batch("BEGIN IMMEDIATE").unwrap();
    bench.api.require_key("another");
    bench.world.clock.advance(seconds(5));
    bench.api.wait_until("the key is refused", |seen| seen.len() == 2).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    beside.execute_batch("ROLLBACK").unwrap();
    bench.world.quiet().await;
    bench.world.live(seconds(120)).await;
    assert_eq!(bench.told(), ["account.unavailable firing argil key_rejected"]);
    assert_eq!(bench.api.count("a"), 3, "{:?}", id("a"));
}
