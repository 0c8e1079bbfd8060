//! `SIGHUP` on the real program: all of a new config takes effect, or none of it.

use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::argil::FakeArgil;
use crate::harness::config::with_receiver;
use crate::harness::config::{Config, NO_PAGE};
use crate::harness::daemon::{Bench, Running};
use crate::harness::webhook::Receiver;

/// The event of that number, about the config.
async fn config_event(receiver: &Receiver, number: usize, state: &str) -> serde_json::Value {
    let received = receiver.wait_for(number).await;
    let body = received[number - 1].json();
    assert_eq!((&body["type"], &body["data"]["state"]), (&"config.rejected".into(), &state.into()));
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_to_another_database_is_rejected() {
    let (argil, _receiver, config) = with_receiver().await;
    let bench = Bench::new(config.text());
    let daemon = bench.start_training(&argil);

    let moved = config.with("\n[store]\npath = \"elsewhere.db\"\n");
    bench.configure(moved.text());
    daemon.signal(Signal::HUP);
    daemon.wait_for_log("`store.path` cannot change while the daemon runs");
    assert!(daemon.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_that_would_leave_nothing_is_refused_and_notified_and_a_restart_applies_it() {
    let (argil, receiver) = (FakeArgil::start(), Receiver::start().await);
    let nothing = Config::new(argil.base_url());
    let unnotified = nothing.clone().avatar("a1");
    let unwatched = nothing.webhook("ops", &receiver.url()).with("operator = true\n");
    let whole = unwatched.clone().avatar("a1");
    let bench = Bench::new(whole.text());
    let daemon = bench.start_training(&argil);
    let reason = || {
        let status = bench.json(&["status", "--json"]);
        status["conditions"][0]["reason"].as_str().unwrap_or_default().to_owned()
    };
    for (config, what) in [
        (unwatched.text(), "removes all avatars"),
        (unnotified.text(), "removes all channels"),
        ("# half saved\n", "`argil.api_key` is missing"),
        (unwatched.text(), "removes all avatars"),
    ] {
        bench.configure(config);
        bench.complains(&["check", "--diff"], 2, &[what]);
        daemon.signal(Signal::HUP);
        // The current reason is shown, whatever was reported first.
        crate::harness::daemon::wait_until("the reason", || reason().contains(what));
    }
    config_event(&receiver, 1, "firing").await;
    let polls = argil.count("a1");
    argil.wait_until("more polls of a1", |_| argil.count("a1") > polls + 3).await;
    assert!(daemon.stop().success());
    assert_eq!(receiver.received().len(), 1, "it is reported once");

    let polls = argil.count("a1");
    let daemon = bench.start();
    daemon.wait_for_log("watching with the database");
    // It is meant so: the config is good again, and nothing is watched.
    receiver.wait_for(2).await;
    bench.prints(&["status", "--check"], 1, &["No avatar is watched"]);
    assert_eq!(argil.count("a1"), polls);
    assert!(daemon.stop().success());
}

#[test]
fn a_storm_of_reloads_cannot_keep_a_stop_waiting() {
    let argil = FakeArgil::start();
    let bench = Bench::new(Config::new(argil.base_url()).avatar("a1").text());
    let mut daemon = bench.start_training(&argil);
    let pid = daemon.pid();
    let storm = std::thread::spawn(move || {
        let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        // It ends with the daemon, or when the daemon has failed the test.
        for _ in 0..5_000 {
            if kill_process(pid, Signal::HUP).is_err() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    });
    daemon.wait_for_log("config reloaded");
    daemon.signal(Signal::TERM);
    daemon.wait_for_log("INFO stopping");
    assert!(daemon.wait().success());
    storm.join().unwrap();
}

#[test]
fn a_config_that_cannot_be_read_to_its_end_does_not_hold_the_daemon() {
    let argil = FakeArgil::start();
    let bench = Bench::new(Config::new(argil.base_url()).avatar("a1").text());
    let daemon = bench.start_training(&argil);
    std::fs::remove_file(bench.config()).unwrap();
    assert!(Command::new("mkfifo").arg(bench.config()).status().unwrap().success());
    daemon.signal(Signal::HUP);
    daemon.wait_for_log("config rejected; the previous config stays active");
    assert!(daemon.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_drop_in_keeps_the_whole_old_config_and_is_notified_once_to_operators() {
    let (argil, receiver) = (FakeArgil::start(), Receiver::start().await);
    let config = Config::new(argil.base_url()).webhook("ops", &receiver.url());
    let config = config.with("operator = true\n").avatar("a1");
    let bench = Bench::new(config.text());
    let drop_ins = bench.path("avatars.d");
    std::fs::create_dir(&drop_ins).unwrap();
    std::fs::write(drop_ins.join("good.toml"), "[[avatars]]\nid = \"a2\"\n").unwrap();
    ["a1", "a2", "a3"].iter().for_each(|id| argil.set_status(id, "TRAINING"));
    let daemon = bench.start();
    daemon.wait_for_log("avatar \"avatar a2\": baseline TRAINING");

    std::fs::write(drop_ins.join("bad.toml"), "[[avatars]]\nid = \"a3\"\nnmae = \"x\"\n").unwrap();
    std::fs::remove_file(drop_ins.join("good.toml")).unwrap();
    for _ in 0..3 {
        daemon.signal(Signal::HUP);
    }
    let body = config_event(&receiver, 1, "firing").await;
    assert!(body["data"]["reason"].as_str().unwrap().contains("bad.toml"), "{body}");
    let polls = argil.count("a2");
    argil.wait_until("more polls of a2", |_| argil.count("a2") > polls + 3).await;
    assert_eq!(argil.count("a3"), 0, "no part of a bad config takes effect");

    std::fs::write(drop_ins.join("bad.toml"), "[[avatars]]\nid = \"a3\"\nname = \"x\"\n").unwrap();
    daemon.signal(Signal::HUP);
    daemon.wait_for_log("avatar \"x\": baseline TRAINING");
    config_event(&receiver, 2, "resolved").await;
    bench.prints(&["check", "--diff"], 0, &["nothing would change"]);
    assert!(daemon.stop().success());
    assert_eq!(receiver.received().len(), 2, "each end once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_reloads_under_load_lose_no_delivery_and_no_poll() {
    let (argil, receiver) = (FakeArgil::start(), Receiver::start().await);
    let config = Config::new(argil.base_url()).webhook("ops", &receiver.url());
    let names: Vec<String> = (0..20).map(|number| format!("a{number}")).collect();
    let config = names.iter().fold(config, |config, name| config.avatar(name));
    // Often, but not so often that polls of unsettled avatars delay others.
    let often =
        config.text().replace("min = \"20ms\", max = \"20ms\"", "min = \"80ms\", max = \"80ms\"");
    let config = Config::from(often);
    let bench = Bench::new(config.text());
    names.iter().for_each(|name| argil.set_status(name, "TRAINING"));
    let daemon = bench.start();
    names.iter().for_each(|name| daemon.wait_for_log(&format!("{name}\": baseline")));
    let mut notified = 0;
    for round in 0..100 {
        let extra = format!("\n[[avatars]]\nid = \"extra{round}\"\n");
        bench.configure(&format!("{}{extra}", config.text()));
        daemon.signal(Signal::HUP);
        let name = &names[round % names.len()];
        let status = if (round / names.len()).is_multiple_of(2) { "IDLE" } else { "TRAINING" };
        argil.set_status(name, status);
        notified += usize::from(status == "IDLE");
        let polls = argil.count(name);
        argil.wait_until("two more polls", |_| argil.count(name) > polls + 1).await;
    }
    daemon.wait_for_log("avatar `extra99` added");
    let received = receiver.wait_for(notified).await;
    let mut ids: Vec<_> = received.iter().map(|it| it.header("webhook-id").to_owned()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!((received.len(), ids.len()), (notified, notified), "each news once");
    assert!(daemon.stop().success());
}

#[test]
fn a_hint_over_http_makes_the_real_daemon_poll_and_survives_a_reload() {
    let argil = FakeArgil::start();
    let config = Config::new(argil.base_url()).avatar("a1");
    let config = config
        .text()
        .replace("training = { min = \"20ms\", max = \"20ms\" }", "")
        .replace("settled = \"20ms\"", "settled = \"1h\"");
    let web = "\n[web]\nlisten = \"127.0.0.1:0\"\nhint_token = \"canary-token-0123456789\"\n";
    let bench = Bench::new(&config.replace(NO_PAGE, web));
    argil.set_status("a1", "IDLE");
    let daemon = bench.start();
    daemon.wait_for_log("avatar \"avatar a1\": baseline IDLE");
    assert_eq!(argil.count("a1"), 1);
    assert!(daemon.hint("wrong-token-0123456789").starts_with("HTTP/1.1 202 "));
    assert!(daemon.hint("canary-token-0123456789").starts_with("HTTP/1.1 202 "));
    argil.wait_until_blocking("the poll", |_| argil.count("a1") == 2);
    daemon.signal(Signal::HUP);
    daemon.wait_for_log("config reloaded: no changes");
    assert!(daemon.hint("canary-token-0123456789").starts_with("HTTP/1.1 202 "));
    argil.wait_until_blocking("another poll", |_| argil.count("a1") == 3);
    assert!(!daemon.log().contains("canary-token"), "a token is in the log");
    assert!(daemon.stop().success());
}

/// A daemon with an operator's channel gets `config` while its database is held, for as long as
/// it takes until it says `said`. It takes as long as the store waits for a lock, in real time.
async fn meet_a_busy_database(
    config: impl Fn(Config) -> Config,
    said: &str,
) -> (FakeArgil, Receiver, Bench, Running) {
    let (argil, receiver) = (FakeArgil::start(), Receiver::start().await);
    let base = Config::new(argil.base_url()).webhook("ops", &receiver.url());
    let base = base.with("operator = true\n").avatar("a1");
    let bench = Bench::new(base.text());
    argil.set_status("a1", "IDLE");
    argil.set_status("a2", "IDLE");
    let daemon = bench.start();
    daemon.wait_for_log("baseline IDLE");
    let beside = rusqlite::Connection::open(bench.database()).unwrap();
    beside.execute_batch("BEGIN IMMEDIATE").unwrap();
    bench.configure(config(base).text());
    daemon.signal(Signal::HUP);
    daemon.wait_for_log(said);
    beside.execute_batch("ROLLBACK").unwrap();
    (argil, receiver, bench, daemon)
}

#[tokio::test(flavor = "multi_thread")]
async fn that_a_config_was_not_taken_is_notified_even_if_the_database_was_busy_then() {
    let said = "cannot write the config status yet";
    let bad = |config: Config| config.with("\n[[[");
    let (_argil, receiver, _bench, daemon) = meet_a_busy_database(bad, said).await;
    config_event(&receiver, 1, "firing").await;
    assert!(daemon.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_config_that_met_a_busy_database_is_taken_when_it_can_be() {
    let said = "is applied as soon as the store can write";
    let good = |config: Config| config.avatar("a2");
    let (_argil, receiver, _bench, daemon) = meet_a_busy_database(good, said).await;
    daemon.wait_for_log("avatar \"avatar a2\": baseline IDLE");
    assert_eq!(receiver.received().len(), 0, "nothing is wrong with the config");
    assert!(daemon.stop().success());
}
