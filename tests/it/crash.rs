//! The real program, killed at every row of the crash table and at random times: no event is lost
//! or invented, and every repeat has the same id and the same bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use avatar_watch::domain::random::RandomBits;
use serde_json::Value;
use tokio::sync::Notify;

use crate::harness::argil::{Answer as Served, FakeArgil};
use crate::harness::config::{AT_ONCE, Config, IMPATIENT, SECRET};
use crate::harness::daemon::{Bench, Running, wait_until};
use crate::harness::webhook::{Answer, Received, Receiver};

fn config(argil: &FakeArgil, receiver: &Receiver, avatars: &[&str]) -> Config {
    let config = Config::new(argil.base_url()).webhook("ops", &receiver.url());
    avatars.iter().fold(config, |config, id| config.avatar(id))
}

/// A running daemon that has polled an avatar in training.
fn watching(argil: &FakeArgil, receiver: &Receiver) -> (Bench, Running) {
    let bench = Bench::new(config(argil, receiver, &["a1"]).text());
    let daemon = bench.start_training(argil);
    (bench, daemon)
}

fn wait_for_delivered(bench: &Bench) -> Vec<Value> {
    bench.wait_for_deliveries("the delivery", |rows| {
        rows.iter().all(|row| row["state"] == "delivered")
    })
}

/// The body of each message id; repeats have the same.
fn by_id(received: &[Received]) -> BTreeMap<String, Vec<u8>> {
    let mut by_id = BTreeMap::new();
    for request in received {
        request.verify(SECRET).unwrap();
        let before = by_id.insert(request.header("webhook-id").to_owned(), request.body.clone());
        assert!(before.is_none_or(|body| body == request.body), "a repeat had other bytes");
    }
    by_id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_before_the_commit_finds_the_same_transition_again() {
    let (argil, receiver) = (FakeArgil::start(), Receiver::start().await);
    let (bench, daemon) = watching(&argil, &receiver);
    let gate = Arc::new(Notify::new());
    argil.answer_next("a1", Served::Hold(Arc::clone(&gate)));
    let before = argil.count("a1");
    argil.wait_until("the held request", |requests| requests.len() > before).await;
    argil.set_status("a1", "IDLE");
    daemon.kill();
    gate.notify_one();
    assert!(bench.deliveries().is_empty());

    let daemon = bench.start();
    assert_eq!(by_id(&receiver.wait_for(1).await).len(), 1);
    wait_for_delivered(&bench);
    assert!(daemon.stop().success());
    assert_eq!(receiver.received().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_before_the_response_sends_again_with_the_same_id_and_bytes() {
    let (argil, receiver) = (FakeArgil::start(), Receiver::start().await);
    receiver.script([Answer::Hold]);
    let (bench, daemon) = watching(&argil, &receiver);
    argil.set_status("a1", "IDLE");
    receiver.wait_for(1).await;
    daemon.kill();
    assert_eq!(bench.deliveries()[0]["state"], "sending");

    let daemon = bench.start();
    receiver.wait_for(2).await;
    let rows = wait_for_delivered(&bench);
    assert_eq!(by_id(&receiver.received()).len(), 1);
    let id = rows[0]["id"].as_str().unwrap();
    let shown = bench.json(&["deliveries", "show", id, "--json"]);
    let attempts = shown["attempt_log"].as_array().unwrap();
    let outcomes: Vec<&Value> = attempts.iter().map(|attempt| &attempt["outcome"]).collect();
    assert_eq!(outcomes, ["unknown", "delivered"]);
    assert!(daemon.stop().success());
}

/// A hundred kills at random times, while avatars train, fail and train again, and while the
/// receiver rejects messages and drops responses.
#[tokio::test(flavor = "multi_thread")]
async fn every_transition_is_delivered_over_a_hundred_random_kills() {
    const KILLS: u64 = 100;
    let seed =
        std::env::var("AVATAR_WATCH_KILL_SEED").map_or(0x5EED_u64, |text| text.parse().unwrap());
    println!("AVATAR_WATCH_KILL_SEED={seed}");
    let roll = |salt: u64| RandomBits::new(u128::from(seed)).derive(salt).fraction();
    let avatars = ["a1", "a2", "a3", "a4"];
    let (argil, receiver) = (FakeArgil::start(), Receiver::start().await);
    // Many short delays: a delivery may meet several kills or rejections.
    let patient = format!("retry_schedule = [\"0s\"{}]", ", \"50ms\"".repeat(50));
    let config = config(&argil, &receiver, &avatars);
    let config = config.text().replace(IMPATIENT, &patient);
    assert!(config.contains(&patient));
    let bench = Bench::new(&config);
    let mut now = BTreeMap::from(avatars.map(|id| (id, "TRAINING")));
    now.iter().for_each(|(id, status)| argil.set_status(id, status));
    for kill in 0..KILLS {
        let polls = argil.requests().len();
        let daemon = bench.start();
        argil.wait_until("the first poll", |requests| requests.len() > polls).await;
        let answers = (0..4).map(|n| match (roll(kill * 97 + n) * 10.0) as u8 {
            0..=1 => Answer::status(500),
            2 => Answer::CloseBeforeHead,
            _ => Answer::status(200),
        });
        receiver.script(answers);
        for step in 0..3u64 {
            let salt = kill * 31 + step;
            let id = avatars[(roll(salt) * 4.0) as usize];
            let status =
                ["TRAINING", "IDLE", "TRAINING_FAILED", "REFUSED"][(roll(!salt) * 4.0) as usize];
            argil.set_status(id, status);
            now.insert(id, status);
            tokio::time::sleep(Duration::from_secs_f64(roll(salt << 20) * 0.03)).await;
        }
        daemon.kill();
    }
    let daemon = bench.start();
    check_history(&bench, &now);
    let rows = bench.wait_for_deliveries("the end of all deliveries", |rows| {
        rows.iter().all(|row| row["state"] != "pending" && row["state"] != "sending")
    });
    check_every_transition_was_delivered(&bench, &rows, &receiver.received());
    assert!(daemon.stop().success());
}

/// The chain of transitions has no gap, and its last status is the current one of the API.
fn check_history(bench: &Bench, now: &BTreeMap<&str, &str>) {
    wait_until("the last status of all", || {
        let status = bench.json(&["status", "--json"]);
        let recorded = status["avatars"].as_array().unwrap();
        now.values().zip(recorded).all(|(status, row)| row["status"] == *status)
    });
    let history = bench.json(&["history", "--json", "--limit", "100000"]);
    let mut last: BTreeMap<&str, (u64, &str)> = BTreeMap::new();
    for row in history.as_array().unwrap() {
        let id = row["avatar_id"].as_str().unwrap();
        let (sequence, status) = last.get(id).copied().unwrap_or((0, ""));
        assert_eq!(row["sequence"].as_u64().unwrap(), sequence + 1);
        assert_eq!(row["previous_status"].as_str().unwrap_or_default(), status);
        last.insert(id, (sequence + 1, row["status"].as_str().unwrap()));
    }
}

/// Every transition to a final status has one message, and there is no other. Repeats are identical
/// to the byte, and occur only after a lost, rejected or interrupted attempt.
fn check_every_transition_was_delivered(bench: &Bench, rows: &[Value], received: &[Received]) {
    let history = bench.json(&["history", "--json", "--limit", "100000"]);
    let key = |id: &Value, sequence: &Value| {
        (id.as_str().unwrap().to_owned(), sequence.as_u64().unwrap())
    };
    let is_final = |row: &&Value| {
        ["IDLE", "TRAINING_FAILED", "REFUSED"].contains(&row["status"].as_str().unwrap())
    };
    let changes =
        history.as_array().unwrap().iter().filter(|row| row["previous_status"].is_string());
    let news: BTreeSet<(String, u64)> =
        changes.filter(is_final).map(|row| key(&row["avatar_id"], &row["sequence"])).collect();
    let mut notified = BTreeSet::new();
    for body in by_id(received).values() {
        let body: Value = serde_json::from_slice(body).unwrap();
        let data = &body["data"];
        let is_new = notified.insert(key(&data["avatar"]["id"], &data["sequence"]));
        assert!(is_new, "delivered with two ids");
    }
    let dead: Vec<&Value> = rows.iter().filter(|row| row["state"] == "dead").collect();
    assert!(dead.is_empty(), "dead letters: {dead:?}");
    assert_eq!(notified, news);
    assert!(news.len() > 20, "only {} pieces of news: the test tests little", news.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_while_dead_letters_wait_for_each_other_makes_one_event_of_all() {
    let (argil, receiver) = (FakeArgil::start(), Receiver::start().await);
    let operator = Receiver::start().await;
    receiver.script(std::iter::repeat_n(Answer::status(413), 70));
    let ids: Vec<String> = (0..70).map(|number| format!("a{number}")).collect();
    let all: Vec<&str> = ids.iter().map(String::as_str).collect();
    let config = config(&argil, &receiver, &all).webhook("watch", &operator.url());
    let config = config.with("operator = true\nevents = []\n");
    let waiting = AT_ONCE.replace("0s", "20s");
    let bench = Bench::new(&config.text().replace(AT_ONCE, &waiting));
    argil.set_all(&all, "TRAINING");
    let daemon = bench.start();
    all.iter().for_each(|id| daemon.wait_for_log(&format!("{id}\": baseline")));
    argil.set_all(&all, "IDLE");
    let is_dead =
        |rows: &[Value]| rows.len() == 70 && rows.iter().all(|row| row["state"] == "dead");
    bench.wait_for_deliveries("70 dead letters", is_dead);
    daemon.kill();
    assert!(operator.received().is_empty(), "they wait");

    bench.configure(config.text());
    let daemon = bench.start();
    let body = operator.wait_for(1).await[0].json();
    assert_eq!((&body["type"], &body["data"]["count"]), (&"delivery.exhausted".into(), &70.into()));
    assert_eq!(body["data"]["deliveries"].as_array().unwrap().len(), 20);
    bench.wait_for_deliveries("the one event", |rows| {
        rows.len() == 71 && rows.iter().filter(|row| row["state"] == "delivered").count() == 1
    });
    assert!(daemon.stop().success());
    assert_eq!(operator.received().len(), 1);
}
