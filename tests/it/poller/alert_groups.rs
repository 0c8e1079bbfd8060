//! Conditions that begin for many avatars at once are one event, and an outage of an account that
//! ends lets no avatar wait.

use std::time::Duration;

use avatar_watch::domain::alerts::AlertTiming;

use crate::harness::argil::Answer;
use crate::harness::plans::{operator, seconds, the_account};

use super::{Bench, Loops, Plan};

const WINDOW: Duration = seconds(30);

fn grouped(plan: Plan) -> Plan {
    let alert_timing = AlertTiming { group_window: WINDOW, remind_after: None };
    Plan { alert_timing, ..operator(plan, "ops") }
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("avatar-{number}")).collect()
}

impl Bench {
    async fn grouping(avatars: &[String]) -> Self {
        let avatars: Vec<&str> = avatars.iter().map(String::as_str).collect();
        Self::with(Loops::Both, &avatars, "TRAINING", grouped).await
    }

    /// The kind, state and count of each message.
    fn counted(&self) -> Vec<String> {
        let line = |body: serde_json::Value| {
            let data = &body["data"];
            let text = |value: &serde_json::Value| value.as_str().unwrap_or("-").to_owned();
            format!("{} {} {}", text(&body["type"]), text(&data["state"]), data["count"])
        };
        self.ops.calls().iter().map(|call| line(call.json())).collect()
    }

    fn recorded(&self, kind: &str) -> usize {
        let connection = rusqlite::Connection::open(self.world.path()).unwrap();
        let sql = "SELECT count(*) FROM events WHERE type = ?1";
        connection.query_row(sql, [kind], |row| row.get(0)).unwrap()
    }
}

#[tokio::test]
async fn fifty_avatars_that_are_missing_are_one_event_and_one_when_they_are_back() {
    let avatars = names(52);
    let mut bench = Bench::grouping(&avatars).await;
    avatars[..50].iter().for_each(|avatar| bench.api.remove(avatar));
    bench.world.live(seconds(1870)).await;
    bench.world.crash().await;
    let all: Vec<&str> = avatars.iter().map(String::as_str).collect();
    let plan = grouped(bench.plan(&all));
    bench.run(plan).await;
    bench.world.live(seconds(600)).await;
    assert_eq!(bench.counted(), ["avatar.missing firing 50"]);
    assert_eq!(bench.conditions().len(), 50);
    bench.api.set_all(&all, "TRAINING");
    bench.world.live(seconds(1800)).await;
    assert_eq!(bench.counted()[1..], ["avatar.missing resolved 50"]);
}

#[tokio::test]
async fn unreachable_avatars_of_one_cause_are_one_event() {
    let avatars = names(30);
    let bench = Bench::grouping(&avatars).await;
    bench.api.answer_with(|request| match request.avatar.strip_prefix("avatar-")?.parse::<u32>() {
        Ok(0..20) => Some(Answer::status(500, "{}")),
        Ok(20..25) => Some(Answer::status(451, "{}")),
        Ok(_) | Err(_) => None,
    });
    bench.world.live(seconds(4000)).await;
    let counted = bench.counted();
    let sum = |line: &String| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap();
    assert_eq!(counted.iter().map(sum).sum::<usize>(), 25, "{counted:?}");
    assert!(counted.len() <= 3, "{counted:?}");
}

#[tokio::test]
async fn a_condition_that_ends_within_the_window_is_recorded_and_not_notified() {
    let bench = Bench::with(Loops::Both, &[], "", grouped).await;
    bench.change(grouped(bench.plan(&["typo"]))).await;
    assert_eq!(bench.conditions(), ["avatar.missing typo"], "it is known at once");
    bench.api.set_status("typo", "TRAINING");
    bench.world.hint(&crate::harness::plans::id("typo"));
    bench.world.live(seconds(20)).await;
    assert!(bench.conditions().is_empty());
    bench.world.live(seconds(900)).await;
    assert!(bench.counted().is_empty());
    assert_eq!(bench.recorded("avatar.missing"), 2, "its begin and its end");
}

#[tokio::test]
async fn two_thousand_avatars_that_are_down_are_one_event() {
    let avatars = names(2000);
    let bench = Bench::grouping(&avatars).await;
    bench.api.answer_with(|_| Some(Answer::status(502, "")));
    bench.world.live(seconds(2000)).await;
    assert_eq!(bench.ops.notified(), ["account.unavailable firing argil unusable"]);
    bench.api.answer_with(|_| None);
    bench.world.live(seconds(301)).await;
    assert_eq!(bench.ops.notified()[1..], ["account.unavailable resolved argil unusable"]);
}

#[tokio::test]
async fn after_an_outage_of_the_account_no_avatar_waits_for_its_backoff() {
    let avatars = ["a", "b", "c", "d"];
    let bench = Bench::with(Loops::Both, &avatars, "TRAINING", |mut plan| {
        the_account(&mut plan).max_per_second = std::num::NonZeroU32::MIN;
        grouped(plan)
    })
    .await;
    bench.api.answer_with(|_| Some(Answer::status(502, "")));
    bench.world.live(seconds(3000)).await;
    bench.api.answer_with(|_| None);
    let counts = || avatars.map(|avatar| bench.api.count(avatar));
    let before = counts();
    while counts() == before {
        bench.world.clock.advance_to_next();
        bench.world.quiet().await;
    }
    bench.world.live(seconds(6)).await;
    let polled = counts().into_iter().zip(before).filter(|(now, before)| now > before).count();
    assert_eq!(polled, 4, "within the rate of the account, not within five minutes");
}

#[tokio::test]
async fn an_avatar_that_fails_alone_keeps_its_backoff() {
    let bench = Bench::with(Loops::Both, &["bad", "good"], "TRAINING", grouped).await;
    bench.api.answer_with(|request| {
        (request.avatar == "bad").then(|| Answer::status(500, "{\"message\":\"oops\"}"))
    });
    bench.world.live(seconds(1000)).await;
    let before = bench.api.count("bad");
    bench.world.live(seconds(1000)).await;
    assert!(bench.api.count("bad") - before <= 4, "{}", bench.api.count("bad") - before);
}
