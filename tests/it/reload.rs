//! `SIGHUP` on the real program: all of a new config takes effect, or none of it.

use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};

use crate::cli::start_training;
use crate::harness::argil::FakeArgil;
use crate::harness::config::{Config, IMPATIENT, NO_PAGE};
use crate::harness::daemon::{Bench, Running};
use crate::harness::webhook::{Answer, Receiver};

/// The event of that number, about the config.
async fn config_event(receiver: &Receiver, number: usize, state: &str) -> serde_json::Value {
    let received = receiver.wait_for(number).await;
    let body: serde_json::Value = serde_json::from_slice(&received[number - 1].body).unwrap();
    assert_eq!((&body["type"], &body["data"]["state"]), (&"config.rejected".into(), &state.into()));
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_adds_and_removes_avatars_and_keeps_their_history() {
    let (argil, receiver) = (FakeArgil::start(), Receiver::start().await);
    let config = Config::new(argil.base_url()).webhook("ops", &receiver.url());
    let bench = Bench::new(config.clone().avatar("a1").text());
    argil.set_status("a1", "TRAINING");
    argil.set_status("a2", "TRAINING");
    let daemon = bench.start();
    daemon.wait_for_log("avatar `a1`: baseline TRAINING");

    bench.configure(config.avatar("a2").text());
    daemon.signal(Signal::HUP);
    daemon.wait_for_log("avatar `a2`: baseline TRAINING");
    daemon.wait_for_log("avatar `a1` removed");
    daemon.wait_for_log("avatar `a2` added");
    argil.set_status("a1", "IDLE");
    argil.set_status("a2", "IDLE");
    let received = receiver.wait_for(1).await;
    let body: serde_json::Value = serde_json::from_slice(&received[0].body).unwrap();
    assert_eq!(body["data"]["avatar"]["id"], "a2");
    let history = bench.json(&["history", "a1", "--json"]);
    assert_eq!(history.as_array().unwrap().len(), 1);
    assert!(daemon.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_config_changes_nothing_and_says_so() {
    let (argil, receiver) = (FakeArgil::start(), Receiver::start().await);
    let config = Config::new(argil.base_url()).webhook("ops", &receiver.url()).avatar("a1");
    let bench = Bench::new(config.text());
    let daemon = start_training(&argil, &bench);

    let bad = config.clone().avatar("a2").with("chanels = [\"ops\"]\n");
    bench.configure(bad.text());
    daemon.signal(Signal::HUP);
    daemon.wait_for_log("config rejected; the previous config stays active");
    daemon.wait_for_log("did you mean `channels`?");
    let polls = argil.count("a1");
    argil.wait_until("more polls of a1", |requests| requests.len() > polls + 5).await;
    assert_eq!(argil.count("a2"), 0, "no part of a bad config takes effect");

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
    let daemon = start_training(&argil, &bench);
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
    bench.prints(&["status", "--check"], 1, &["no avatar is watched"]);
    assert_eq!(argil.count("a1"), polls);
    assert!(daemon.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn pending_deliveries_outlive_a_reload_and_a_channel_that_comes_back() {
    let (argil, receiver) = (FakeArgil::start(), Receiver::start().await);
    let spare = "operator = true\nevents = []\n";
    let config = Config::new(argil.base_url()).avatar("a1");
    let config = config.webhook("spare", &receiver.url()).with(spare);
    let with_channel = config.clone().webhook("ops", &receiver.url());
    let with_channel = with_channel.text().replace(IMPATIENT, "retry_schedule = [\"0s\", \"1h\"]");
    let bench = Bench::new(&with_channel);
    receiver.script([Answer::status(500)]);
    let daemon = start_training(&argil, &bench);
    argil.set_status("a1", "IDLE");
    daemon.wait_for_log("delivery to channel `ops` failed");

    bench.configure(config.text());
    daemon.signal(Signal::HUP);
    daemon.wait_for_log("channel `ops` removed");
    daemon.wait_for_log("is not in the config; its 1 deliveries are kept");
    bench.configure(&with_channel);
    daemon.signal(Signal::HUP);
    daemon.wait_for_log("channel `ops` added");
    let id = bench.deliveries()[0]["id"].as_str().unwrap().to_owned();
    assert!(bench.run(&["deliveries", "retry", &id]).status.success());
    bench.wait_for_deliveries("the delivery", |rows| rows[0]["state"] == "delivered");
    let received = receiver.received();
    let id = |n: usize| received[n].header("webhook-id").to_owned();
    assert_eq!((id(0), &received[0].body), (id(1), &received[1].body));
    assert!(daemon.stop().success());
}

#[test]
fn a_key_that_was_refused_is_tried_again_at_a_reload() {
    let argil = FakeArgil::start();
    let bench = Bench::new(Config::new(argil.base_url()).avatar("a1").text());
    argil.set_status("a1", "TRAINING");
    argil.require_key("another-key");
    let daemon = bench.start();
    daemon.wait_for_log("API refuses the key");
    assert_eq!(argil.count("a1"), 1, "a refused key does not hammer");
    let renewed = Config::new(argil.base_url()).avatar("a1");
    let renewed = renewed.text().replace(crate::harness::config::KEY, "another-key");
    bench.configure(&renewed);
    daemon.signal(Signal::HUP);
    daemon.wait_for_log("baseline TRAINING");
    daemon.wait_for_log("API accepts the key of account `argil` again after ");
    assert!(daemon.stop().success());
}

#[test]
fn a_storm_of_reloads_cannot_keep_a_stop_waiting() {
    let argil = FakeArgil::start();
    let bench = Bench::new(Config::new(argil.base_url()).avatar("a1").text());
    argil.set_status("a1", "TRAINING");
    let mut daemon = bench.start();
    daemon.wait_for_log("baseline TRAINING");
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
    let daemon = start_training(&argil, &bench);
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
    daemon.wait_for_log("avatar `a2`: baseline TRAINING");

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
    daemon.wait_for_log("avatar `a3`: baseline TRAINING");
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
    names.iter().for_each(|name| daemon.wait_for_log(&format!("`{name}`: baseline")));
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
    use std::io::{Read as _, Write as _};
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
    daemon.wait_for_log("avatar `a1`: baseline IDLE");
    daemon.wait_for_log("accepting hints at `http://");
    let log = daemon.log();
    let place = log.split("accepting hints at `http://").nth(1).unwrap();
    let place = place.split('/').next().unwrap().to_owned();
    let hint = |token: &str| {
        let body = r#"{"event":"AVATAR_TRAINING_SUCCESS","data":{"avatarId":"a1"}}"#;
        let mut stream = std::net::TcpStream::connect(&place).unwrap();
        write!(
            stream,
            "POST /hints/argil/{token} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    assert_eq!(argil.count("a1"), 1);
    assert!(hint("wrong-token-0123456789").starts_with("HTTP/1.1 202 "));
    assert!(hint("canary-token-0123456789").starts_with("HTTP/1.1 202 "));
    argil.wait_until_blocking("the poll", |_| argil.count("a1") == 2);
    daemon.signal(Signal::HUP);
    daemon.wait_for_log("config reloaded: no changes");
    assert!(hint("canary-token-0123456789").starts_with("HTTP/1.1 202 "));
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
    daemon.wait_for_log("avatar `a2`: baseline IDLE");
    assert_eq!(receiver.received().len(), 0, "nothing is wrong with the config");
    assert!(daemon.stop().success());
}
