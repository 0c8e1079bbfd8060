//! The log of the built program in each format, and of a lasting failure.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;

use serde_json::{Value, json};

use crate::harness::argil::{Answer, FakeArgil};
use crate::harness::config::Config;
use crate::harness::daemon::{Bench, Running, stderr};
use crate::harness::webhook::{self, Receiver};

mod fields;
mod panics;
mod rates;
mod blocked_output;

/// A hostile name: clears the screen, reverses the line and forges another one.
const HOSTILE: &str = "Jane\u{1b}[2J\u{202e}\u{9b}31m\u{2066}\n2026-11-23T11:15:22Z ERROR forged\r";

/// A daemon with a hostile avatar and a hostile receiver, after it has logged both.
async fn hostile(arguments: &[&str]) -> String {
    let (argil, receiver) = (FakeArgil::start(), Receiver::start().await);
    let config = Config::new(argil.base_url())
        .with("\n[[avatars]]\nid = \"a1\"\noverdue_after = \"1s\"\n")
        .webhook("ops", &receiver.url())
        .with("operator = true\n");
    let bench = Bench::new(config.text());
    let training = json!({"id": "a1", "name": HOSTILE, "status": "TRAINING"});
    argil.set_avatar("a1", training);
    receiver.script([webhook::Answer::status(500).body(HOSTILE)]);
    let daemon = bench.start_with(arguments);
    daemon.wait_for_log("delivery to channel `ops` failed");
    argil.answer_next("a1", Answer::status(404, HOSTILE));
    daemon.wait_for_log("polling avatar ");
    argil.set_avatar("a1", json!({"id": "a1", "name": HOSTILE, "status": HOSTILE}));
    daemon.wait_for_log(" TRAINING -> ");
    let log = daemon.log();
    assert!(daemon.stop().success());
    log
}

#[tokio::test(flavor = "multi_thread")]
async fn external_text_is_escaped_and_forges_no_line() {
    let log = hostile(&[]).await;
    let harmful = |char: char| {
        char != '\n'
            && (char.is_control()
                || matches!(char, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
    };
    assert!(!log.contains(harmful), "{log:?}");
    assert!(log.contains("avatar.training_overdue firing for"), "{log}");
    for line in log.lines() {
        let (at, rest) = line.split_once('Z').unwrap();
        assert!(at.len() == "2026-11-23T11:15:22.123456".len(), "{line}");
        let level = rest.trim_start().split(' ').next().unwrap();
        assert!(["ERROR", "WARN", "INFO", "DEBUG"].contains(&level), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_json_line_is_one_object_whatever_it_contains() {
    let log = hostile(&["--log-format", "json"]).await;
    assert!(!log.contains(|char: char| char != '\n' && char.is_control()), "{log:?}");
    assert!(!log.contains(['\u{202e}', '\u{2066}']), "{log:?}");
    for line in objects(&log) {
        let texts = ["timestamp", "level", "message"].map(|name| line[name].is_string());
        assert_eq!(texts, [true; 3], "{line}");
    }
}

fn objects(log: &str) -> Vec<Value> {
    let object = |line: &str| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
    log.lines().map(object).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_lines_of_a_poll_or_attempt_share_a_request_id() {
    let (argil, receiver) = (FakeArgil::start(), Receiver::start().await);
    let config = Config::new(argil.base_url()).avatar("a1").webhook("ops", &receiver.url());
    let bench = Bench::new(config.text());
    argil.set_status("a1", "TRAINING");
    receiver.script([webhook::Answer::status(500)]);
    let daemon = bench.start_with(&["--log-format", "json"]);
    daemon.wait_for_log(": baseline ");
    argil.set_status("a1", "IDLE");
    daemon.wait_for_log("delivery to channel `ops` recovered");
    let lines = objects(&daemon.log());
    assert!(daemon.stop().success());
    let line = |words: &str| {
        let found = lines.iter().find(|line| line["message"].as_str().unwrap().contains(words));
        found.unwrap_or_else(|| panic!("no line says `{words}`"))
    };
    let request = |words: &str| line(words)["request.id"].as_str().unwrap().to_owned();

    let poll = request("TRAINING -> IDLE");
    let of_poll: Vec<&Value> = lines.iter().filter(|line| line["request.id"] == *poll).collect();
    assert_eq!(of_poll.len(), 2, "the poll, and the transition");
    assert!(of_poll.iter().all(|line| line["avatar.id"] == "a1" && line["account"] == "argil"));
    let polls = lines.iter().filter(|line| line["message"] == "polled avatar \"avatar a1\"");
    let names: Vec<&str> = polls.map(|line| line["request.id"].as_str().unwrap()).collect();
    assert_eq!(BTreeSet::from_iter(&names).len(), names.len(), "each poll has its own");

    assert_eq!(request("delivered \""), request("delivery to channel `ops` recovered"));
    assert_ne!(request("delivered \""), request("delivery to channel `ops` failed"));
    for (words, attempt) in [("delivery to channel `ops` failed", 1), ("delivered \"", 2)] {
        let line = line(words);
        assert_eq!((&line["channel"], &line["attempt"]), (&"ops".into(), &attempt.into()));
        assert_eq!(line["delivery.id"], bench.deliveries()[0]["id"]);
        assert_eq!(line["event.id"], bench.deliveries()[0]["event_id"]);
    }
    let sent = receiver.received();
    assert!(sent.iter().all(|it| !format!("{it:?}").contains(&poll[..8])), "it is sent nowhere");
}

#[tokio::test(flavor = "multi_thread")]
async fn priorities_stand_where_standard_error_is_the_journal_and_nowhere_else() {
    let argil = FakeArgil::start();
    argil.set_status("a1", "IDLE");
    let bench = Bench::new(Config::new(argil.base_url()).avatar("a1").text());
    let log = File::create(bench.path("daemon.log")).unwrap().metadata().unwrap();
    let here = format!("{}:{}", log.dev(), log.ino());
    let start = |stream: &str| -> Running {
        let mut command = bench.command(&["run", "--log-format", "json"]);
        command.env("JOURNAL_STREAM", stream);
        bench.start_by(command)
    };
    let daemon = start(&here);
    daemon.wait_for_log(": baseline ");
    let lines = daemon.log();
    for line in lines.lines() {
        let (number, object) = line.split_once('>').unwrap();
        let level = &objects(object)[0]["level"];
        let expected = if level == "WARN" { "<4" } else { "<6" };
        assert_eq!(number, expected, "{line}");
    }
    assert!(daemon.stop().success());
    fs::write(bench.path("daemon.log"), "").unwrap();
    // Inherited from the service that started the parent process.
    let daemon = start(&format!("{}:{}", log.dev(), log.ino() + 1));
    daemon.wait_for_log("watching with");
    let lines = daemon.log();
    assert!(lines.lines().all(|line| line.starts_with("{\"")), "{lines}");
    assert!(daemon.stop().success());
}

#[test]
fn a_log_in_json_is_json_to_its_end() {
    let bench = Bench::new("[[[");
    let output = bench.run(&["run", "--log-format", "json"]);
    assert_eq!(output.status.code(), Some(78));
    for line in stderr(&output).lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
    assert!(stderr(&output).contains("avatar-watch.toml:1"), "{}", stderr(&output));
}

#[test]
fn a_start_that_fails_logs_readable_lines_at_error() {
    let bench = Bench::new("[store]\npaht = \"a.db\"\n");
    let check = |words: &str| {
        let log = stderr(&bench.run(&["run"]));
        assert!(log.contains(words) && !log.contains("\\n"), "{log}");
        assert!(log.lines().count() > 1, "{log}");
        assert!(log.lines().all(|line| line.contains("Z ERROR ")), "{log}");
    };
    check("ERROR   help: did you mean `path`?");
    std::fs::remove_file(bench.config()).unwrap();
    check("ERROR   help: create one with `avatar-watch init`");
}
