//! Names, statuses and answers that hold every character that is not to be seen: no command prints
//! one of them raw, and what it prints as JSON says the same text.

use std::fs;
use std::process::Output;

use avatar_watch::text::characters::{is_filler, is_unsafe};
use serde_json::{Value, json};

use crate::harness::argil::{Answer, FakeArgil};
use crate::harness::config::Config;
use crate::harness::daemon::{Bench, stderr, stdout};
use crate::harness::webhook::{self, Receiver};

/// All that fits into a name, which has 1024 bytes: of the many tags, some.
fn hostile() -> String {
    let hidden = ('\0'..='\u{1ffff}').filter(|char| is_unsafe(*char) || is_filler(*char));
    let tags = ('\u{e0000}'..='\u{e0fff}').filter(|char| u32::from(*char) % 64 == 1);
    let name: String = "Jane".chars().chain(hidden).chain(tags).collect();
    assert!((500..1024).contains(&name.len()), "{}", name.len());
    name
}

fn check_text(command: &[&str], output: &Output) {
    for text in [stdout(output), stderr(output)] {
        let raw = text.chars().find(|char| *char != '\n' && is_unsafe(*char));
        assert_eq!(raw, None, "{command:?}: {text:?}");
    }
}

fn check_json(command: &[&str], output: &Output) -> Value {
    let text = stdout(output);
    let hidden = |char: &char| *char != '\n' && (is_unsafe(*char) || is_filler(*char));
    assert_eq!(text.chars().find(hidden), None, "{command:?}: {text:?}");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{command:?}: {error}: {text}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_escapes_hidden_characters_and_json_keeps_them() {
    let (argil, receiver) = (FakeArgil::start(), Receiver::start().await);
    let name = hostile();
    let label = "label \u{202e}\u{9b}\u{2028}\u{200b}";
    let config = Config::new(argil.base_url())
        .with(&format!(
            "\n[[avatars]]\nid = \"a1\"\n\n[[avatars]]\nid = \"a2\"\nname = \"{label}\"\n"
        ))
        .webhook("ops", &receiver.url())
        .with("operator = true\n");
    let bench = Bench::new(config.text());
    argil.set_avatar("a1", json!({"id": "a1", "name": name, "status": "TRAINING"}));
    argil.set_avatar("a2", json!({"id": "a2", "name": name, "status": "TRAINING"}));
    let refusal = || webhook::Answer::status(400).header("x-reason", "no").body(name.clone());
    receiver.script((0..50).map(|_| refusal()));
    let daemon = bench.start();
    daemon.wait_for_log(": baseline TRAINING account=argil avatar.id=a2");
    argil.set_avatar("a1", json!({"id": "a1", "name": name, "status": "IDLE"}));
    argil.set_avatar("a2", json!({"id": "a2", "name": name, "status": name}));
    argil.set_avatar("a3", json!({"id": "a3", "name": name, "status": "IDLE"}));
    let rows = bench
        .wait_for_deliveries("a dead letter", |rows| rows.iter().any(|row| row["state"] == "dead"));
    let delivery = rows.iter().find(|row| row["state"] == "dead").unwrap()["id"].clone();
    let delivery = delivery.as_str().unwrap();
    daemon.wait_for_log("a2");
    argil.answer_next("a1", Answer::status(404, name.clone()));

    let odd = bench.path("odd \u{202e}\u{9b}\u{200b}.db");
    assert!(bench.run(&["db", "backup", odd.to_str().unwrap()]).status.success());
    let odd = odd.to_str().unwrap();
    // No argument holds the end of a text in C.
    let argument = name.replace('\0', "");
    let texts: [&[&str]; 15] = [
        &["status"],
        &["status", "a1"],
        &["status", &argument],
        &["status", "--check"],
        &["history"],
        &["deliveries"],
        &["deliveries", "show", delivery],
        &["deliveries", "show", &argument],
        &["channels"],
        &["check", "--online"],
        &["check", "--diff"],
        &["test", "ops"],
        &["wait", "a3", "a2", "--timeout", "2s"],
        &["db", "verify", odd],
        &["db", "restore", odd],
    ];
    for command in texts {
        check_text(command, &bench.run(command));
    }
    let jsons: [&[&str]; 9] = [
        &["status", "--json"],
        &["history", "--json"],
        &["deliveries", "--json"],
        &["deliveries", "show", delivery, "--json"],
        &["channels", "--json"],
        &["db", "verify", odd, "--json"],
        &["db", "backup", "copy.db", "--json"],
        &["wait", "a3", "--timeout", "2s", "--json"],
        &["schema", "event"],
    ];
    for command in jsons {
        let output = bench.run(command);
        check_text(command, &output);
        check_json(command, &output);
    }
    let status = check_json(&["status"], &bench.run(&["status", "--json"]));
    assert_eq!(status["avatars"][0]["name"], json!(name));
    assert_eq!(status["avatars"][1]["name"], json!(label));
    let verified = check_json(&["verify"], &bench.run(&["db", "verify", odd, "--json"]));
    assert_eq!(verified["file"], json!(odd));
    let waited = check_json(&["wait"], &bench.run(&["wait", "a3", "--json"]));
    assert_eq!(waited["name"], json!(name));

    let log = fs::read_to_string(bench.path("daemon.log")).unwrap();
    let raw = log.chars().find(|char| *char != '\n' && is_unsafe(*char));
    assert_eq!(raw, None, "{log:?}");
    assert!(daemon.stop().success());
}
