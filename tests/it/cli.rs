//! The commands as people and scripts use them: what is printed, and with which code they end.

use std::fs;
use std::process::Command;

use rusqlite::Connection;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::argil::FakeArgil;
use crate::harness::config::with_receiver;
use crate::harness::config::{Config, KEY};
use crate::harness::daemon::{Bench, PROGRAM, Running, stderr, stdout, wait_until};
use crate::harness::webhook::{Answer, Receiver};

mod avatars;
mod forget;
mod lists;
mod channels;
mod hostile;
mod monitoring;
mod init;
mod routing;
mod pty;
mod wait;
mod schema;
mod packaged_files;
mod pause;
mod status_damaged_config;

/// The line and the exit code of a check.
fn check(bench: &Bench, arguments: &[&str]) -> (String, i32) {
    let output = bench.run(&[&["status", "--check"], arguments].concat());
    (stdout(&output), output.status.code().unwrap())
}

/// A daemon that has delivered one `avatar.ready`.
async fn settled() -> (FakeArgil, Receiver, Bench, Running) {
    let (argil, receiver, config) = with_receiver().await;
    let bench = Bench::new(config.text());
    let daemon = bench.start_training(&argil);
    argil.set_status("a1", "IDLE");
    receiver.wait_for(1).await;
    bench.wait_for_deliveries("the delivery", |rows| {
        rows.len() == 1 && rows[0]["state"] == "delivered"
    });
    (argil, receiver, bench, daemon)
}

#[tokio::test(flavor = "multi_thread")]
async fn status_history_and_deliveries_work_with_and_without_the_daemon() {
    let (_argil, _receiver, bench, daemon) = settled().await;
    let pid = daemon.pid();
    let check = |running: bool| {
        let status = bench.json(&["status", "--json"]);
        assert_eq!(status["daemon"]["running"], running);
        assert_eq!(status["avatars"][0]["status"], "IDLE");
        let mut alone = bench.json(&["status", "a1", "--json"]);
        let avatar = alone["avatars"][0].as_object_mut().unwrap();
        assert!(avatar.remove("last_training").is_some());
        let routes = avatar.remove("routes").unwrap();
        let route = json!({ "channel": "ops", "receives": true, "reason": "every avatar" });
        assert_eq!(routes, json!([route]));
        assert_eq!(alone["avatars"], status["avatars"]);
        let history = bench.json(&["history", "--json"]);
        let steps: Vec<&Value> =
            history.as_array().unwrap().iter().map(|row| &row["status"]).collect();
        assert_eq!(steps, ["TRAINING", "IDLE"]);
        assert_eq!(bench.deliveries().len(), 1);
        for command in ["status", "history", "deliveries"] {
            let shown = stdout(&bench.run(&[command]));
            assert!(shown.contains("a1"), "{command}: {shown}");
        }
    };
    check(true);
    let shown = stdout(&bench.run(&["status"]));
    assert!(shown.contains(&format!("The daemon is running (process {pid}).")), "{shown}");
    assert!(daemon.stop().success());
    check(false);
    assert!(stdout(&bench.run(&["status"])).contains("not running"));
}

#[test]
fn a_pipe_as_database_does_not_block() {
    let bench = Bench::new(Config::new("http://127.0.0.1:9/v1").avatar("a1").text());
    let made = Command::new("mkfifo").arg(bench.database()).status().unwrap();
    assert!(made.success());
    for (command, code) in [("status", 65), ("history", 65), ("deliveries", 65), ("check", 2)] {
        bench.complains(&[command], code, &["not a regular file"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn special_files_beside_the_database_do_not_block() {
    let (_argil, _receiver, bench, daemon) = settled().await;
    assert!(daemon.stop().success());
    for end in [".lock", "-journal", "-wal", "-shm"] {
        let mut path = bench.database().into_os_string();
        path.push(end);
        drop(fs::remove_file(&path));
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        bench.prints(&["status", "--check"], 3, &[end, "is not a regular file"]);
        bench.complains(&["run"], 74, &[end, "is not a regular file"]);
        if end != ".lock" {
            assert_eq!(bench.run(&["channels", "pause", "ops"]).status.code(), Some(74), "{end}");
        }
        fs::remove_file(&path).unwrap();
    }
    // What is no journal is undone as one, and hides nothing from readers.
    let mut journal = bench.database().into_os_string();
    journal.push("-journal");
    fs::write(&journal, [7; 3_000]).unwrap();
    assert_eq!(bench.json(&["status", "--json"])["avatars"][0]["status"], "IDLE");
}

#[test]
fn check_reports_a_path_that_cannot_be_a_database() {
    let config = Config::new("http://127.0.0.1:9/v1").avatar("a1");
    let unusable = "`store.path` is not a usable database";
    for (path, said) in [
        ("..", unusable),
        ("avatar-watch.toml", unusable),
        ("none/none/a.db", "create the folder above it"),
    ] {
        let config = config.clone().with(&format!("\n[store]\npath = \"{path}\"\n"));
        Bench::new(config.text()).complains(&["check"], 2, &[said]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_ids_are_reported() {
    let (_argil, _receiver, bench, _daemon) = settled().await;
    for command in ["status", "history"] {
        let output = bench.run(&[command, "a2"]);
        assert_eq!((stdout(&output).as_str(), output.status.code()), ("", Some(2)), "{command}");
        let expected =
            "avatar-watch: no avatar `a2` in config or database\n  help: did you mean `a1`?\n";
        assert_eq!(stderr(&output), expected);
        assert_eq!(bench.run(&[command, "AVATAR A1"]).status.code(), Some(0), "a name does, too");
        assert_eq!(bench.run(&[command, "a1"]).status.code(), Some(0));
    }
    // An avatar in the config is known before its first poll.
    let config = fs::read_to_string(bench.config()).unwrap();
    bench.configure(&format!("{config}\n[[avatars]]\nid = \"a2\"\n"));
    let output = bench.run(&["history", "a2"]);
    assert_eq!(
        (stdout(&output).as_str(), output.status.code()),
        ("No status was observed yet, or none that these options select.\n", Some(0))
    );

    assert_eq!(bench.run(&["test", "nope"]).status.code(), Some(2));
    fs::remove_file(bench.config()).unwrap();
    assert_eq!(bench.run(&["test", "ops"]).status.code(), Some(78));
    let default = "searching the default database path";
    bench.complains(&["history"], 0, &["the config `", "No such file", default]);
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_commands_need_no_secret() {
    let (argil, _receiver, bench, daemon) = settled().await;
    assert!(daemon.stop().success());
    let config = Config::new(argil.base_url()).avatar("a1").with("name = \"Jane\"\n");
    let needy = config.text().replace(&format!("\"{KEY}\""), "{ env = \"NOT_SET_HERE\" }");
    bench.configure(&needy);
    assert_eq!(bench.run(&["check"]).status.code(), Some(2));
    assert_eq!(bench.json(&["status", "--json"])["avatars"][0]["name"], "Jane");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_is_shown_and_retried_with_the_same_id() {
    let (argil, receiver, config) = with_receiver().await;
    let bench = Bench::new(config.text());
    receiver.script((0..6).map(|_| Answer::status(404)));
    let daemon = bench.start_training(&argil);
    argil.set_status("a1", "REFUSED");
    let rows = bench.wait_for_deliveries("the dead letter", |rows| {
        rows.len() == 1 && rows[0]["state"] == "dead"
    });
    assert_eq!(bench.json(&["status", "--json"])["avatars"][0]["dead_letters"], 1);
    let id = rows[0]["id"].as_str().unwrap();
    bench.prints(&["deliveries", "show", id], 0, &["no attempts left", "404"]);
    bench.prints(
        &["deliveries", "retry", "--dead", "--since", "1h"],
        0,
        &["1 of 1 dead letter is"],
    );
    let rows = bench.wait_for_deliveries("the second life", |rows| {
        rows.len() == 2 && rows[1]["state"] == "delivered"
    });
    assert_eq!(rows[1]["event_id"], rows[0]["event_id"]);
    let delivered = rows[1]["id"].as_str().unwrap();
    assert_eq!(bench.run(&["deliveries", "cancel", delivered]).status.code(), Some(1));
    assert_eq!((&rows[0]["state"], &rows[0]["resent_as"]), (&"resent".into(), &rows[1]["id"]));
    assert_eq!(rows[0]["resent_state"], "delivered");
    let refused = format!("{id} was sent again as {delivered} (delivered)");
    bench.complains(&["deliveries", "retry", id], 1, &[&refused]);
    bench.complains(&["deliveries", "cancel", id], 1, &[&refused]);
    assert_eq!(bench.json(&["deliveries", "--state", "dead", "--json"]), serde_json::json!([]));
    let received = receiver.received();
    assert_eq!(received.len(), 7);
    assert!(received.iter().all(|request| request.body == received[0].body));
    bench.prints(&["deliveries", "retry", "--dead"], 0, &["nothing is sent again"]);
    assert!(daemon.stop().success());
}

#[test]
fn the_exit_code_of_the_daemon_is_the_reason() {
    let argil = FakeArgil::start();
    let good = Config::new(argil.base_url()).avatar("a1");
    let code = |bench: &Bench| bench.start().wait().code();

    let bench = Bench::new("nonsense");
    assert_eq!(code(&bench), Some(78));
    fs::remove_file(bench.config()).unwrap();
    assert_eq!(code(&bench), Some(78));
    // What is not there yet may come, and no edit is needed for it.
    let later = "api_key = { credential = \"key\" }\nbase_url = \"http://127.0.0.1:9/v1\"\n";
    let bench = Bench::new(&format!("[argil]\n{later}"));
    assert_eq!(code(&bench), Some(75));
    bench.configure(&format!("[argil]\n{later}tiemout = \"1s\"\n"));
    assert_eq!(code(&bench), Some(78));

    let bench = Bench::new(good.text());
    fs::write(bench.database(), "not a database, and long enough to be read as one").unwrap();
    assert_eq!(code(&bench), Some(65));

    let bench = Bench::new(good.text());
    let daemon = bench.start_training(&argil);
    bench.complains(&["run"], 75, &[&format!("(process {})", daemon.pid())]);
    assert_eq!(daemon.stop().code(), Some(0));

    let newer = Connection::open(bench.database()).unwrap();
    newer.pragma_update(None, "user_version", 99).unwrap();
    drop(newer);
    assert_eq!(code(&bench), Some(65));

    let bench = Bench::new(good.with("\n[store]\npath = \"/proc/none/a.db\"\n").text());
    assert_eq!(code(&bench), Some(74));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_database_ends_the_daemon_without_duplicates() {
    let (argil, receiver, bench, mut daemon) = settled().await;
    fs::remove_file(bench.database()).unwrap();
    argil.set_status("a1", "TRAINING");
    argil.set_status("a1", "REFUSED");
    assert_eq!(daemon.wait().code(), Some(74));
    assert!(daemon.log().contains("was removed or replaced"), "{}", daemon.log());
    assert_eq!(receiver.received().len(), 1);
}

#[test]
fn check_reads_drop_ins_and_prints_what_a_reload_changes() {
    let argil = FakeArgil::start();
    let bench = Bench::new(Config::new(argil.base_url()).text());
    let folder = bench.path("avatars.d");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("studio.toml"), "[[avatars]]\nid = \"a7\"\nname = \"Jane\"\n").unwrap();
    let words = ["1 avatar,", "\n+ avatar `a7` \"Jane\"\n"];
    let shown = bench.prints(&["check", "--diff"], 0, &words);
    assert!(shown.ends_with("secrets are not compared\n"), "{shown}");
    assert!(!shown.contains(KEY), "{shown}");

    fs::write(folder.join("lab.toml"), "[[avatars]]\nid = \"A7\"\n").unwrap();
    let shown = bench.prints(&["check", "--diff"], 2, &[]);
    assert!(!shown.contains("avatar `a7`"), "{shown}");
    let first = "avatars.d/studio.toml:2: `avatars.id` is `a7`";
    let words = [first, "already configured in `", "avatars.d/lab.toml:2`"];
    bench.complains(&["check", "--diff"], 2, &words);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_signal_finishes_a_delivery_and_the_second_stops_at_once() {
    let (argil, receiver, config) = with_receiver().await;
    let slow = config.text().replace("timeout = \"2s\"\nretry", "timeout = \"60s\"\nretry");
    for (hurried, state) in [(true, "sending"), (false, "delivered")] {
        let bench = Bench::new(&slow);
        let before = receiver.received().len();
        receiver.script([Answer::Hold]);
        let mut daemon = bench.start_training(&argil);
        argil.set_status("a1", "IDLE");
        receiver.wait_for(before + 1).await;
        daemon.signal(Signal::INT);
        daemon.wait_for_log("waiting for deliveries in flight");
        if hurried {
            daemon.signal(Signal::INT);
        } else {
            receiver.release();
        }
        assert_eq!(daemon.wait().code(), Some(0));
        assert_eq!(bench.deliveries()[0]["state"], state);
    }
}

#[test]
fn check_online_polls_each_avatar_with_its_own_account() {
    let (argil, studio) = (FakeArgil::start(), FakeArgil::start());
    argil.require_key("another");
    studio.require_key("studio-key");
    studio.set_status("a2", "IDLE");
    let account = format!("api_key = \"studio-key\"\nbase_url = \"{}\"\n", studio.base_url());
    let config = Config::new(argil.base_url()).avatar("a1").avatar("a2");
    let config = config.with("account = \"studio\"\n").with("\n[accounts.studio]\n").with(&account);
    let words =
        ["FAIL avatar `a1`: API key rejected", "ok   avatar \"avatar a2\" (`a2`): status IDLE"];
    Bench::new(config.text()).prints(&["check", "--online"], 2, &words);
    assert_eq!((argil.count("a2"), studio.count("a1")), (0, 0), "no id goes to another account");
}

#[test]
fn init_writes_a_valid_config_and_overwrites_none() {
    let bench = Bench::new("");
    let id = "3c90c3cc-0d44-4b50-8888-8dd25736052a";
    let path = bench.path("new.toml");
    let path = path.to_str().unwrap();
    let url = "https://ops.example.com/hook";
    let init = ["init", "--output", path, "--avatar", id, "a2", "--webhook", url];
    bench.prints(&init, 0, &["check --online"]);
    let check = |path: &str| {
        let mut check = bench.command(&["--config", path, "check"]);
        check.env("ARGIL_API_KEY", "k").output().unwrap()
    };
    let checked = check(path);
    assert_eq!(checked.status.code(), Some(0), "{}", stderr(&checked));
    let next = format!("2 avatars, 1 channel, database `{}", bench.path("").display());
    assert!(stdout(&checked).contains(&next), "{}", stdout(&checked));
    assert!(stdout(&checked).contains(&format!("`avatar-watch --config {path} check --online`")));
    let before = fs::read_to_string(path).unwrap();
    assert_eq!(bench.run(&init).status.code(), Some(1));
    assert_eq!(fs::read_to_string(path).unwrap(), before);
}

#[test]
fn init_writes_to_the_given_path() {
    let bench = Bench::new("");
    let path = bench.path("elsewhere.toml");
    let written = bench.run(&["--config", path.to_str().unwrap(), "init", "--avatar", "a1"]);
    assert!(written.status.success() && path.exists(), "{}", stderr(&written));
    let bad = bench.path("bad.toml");
    for answers in [["--avatar", "a b"], ["--webhook", "ftp://x"], ["--email", "no-address"]] {
        let init = [&["init", "--output", bad.to_str().unwrap()], &answers[..]].concat();
        bench.complains(&init, 2, &["\n  help: "]);
        assert!(!bad.exists() && !bench.path("webhook-secret").exists(), "nothing is left of it");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_config_is_not_treated_as_empty() {
    let (_argil, _receiver, bench, daemon) = settled().await;
    assert!(daemon.stop().success());
    assert_eq!(bench.json(&["status", "--json"])["avatars"][0]["configured"], true);
    fs::remove_file(bench.config()).unwrap();
    assert_eq!(bench.json(&["status", "--json"])["avatars"][0]["configured"], true);
    let shown = stdout(&bench.run(&["status"]));
    assert!(shown.contains("The config cannot be read") && !shown.contains("not in"), "{shown}");
}

#[test]
fn usage_errors_exit_with_two() {
    let bench = Bench::new("");
    for misuse in [&["runn"][..], &["test"], &["demo", "--speed", "0"], &["deliveries", "retry"]] {
        assert_eq!(bench.run(misuse).status.code(), Some(2), "{misuse:?}");
    }
    bench.prints(&["--help"], 0, &["First steps:", "demo"]);
}

#[test]
fn the_demo_delivers_everything_once() {
    let bench = Bench::new("");
    let arguments = ["demo", "--until-settled", "--speed", "40", "--avatars", "16", "--seed", "2"];
    bench.prints(&arguments, 0, &["Each was delivered exactly once"]);
}

#[test]
fn a_failed_write_of_output_is_an_error() {
    let bench = Bench::new("");
    for arguments in [&["secret"] as &[&str], &["--help"], &["help", "run"], &["--version"]] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = bench.command(arguments).stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(74), "{arguments:?}");
        assert!(stderr(&output).contains("the output cannot be written"), "{}", stderr(&output));
    }
    // One that may grow to one block and no more.
    let script = "ulimit -f 1; exec \"$0\" schema config > schema.json";
    let mut limited = Command::new("sh");
    limited.args(["-c", script, PROGRAM]).current_dir(bench.path("."));
    let output = limited.output().unwrap();
    assert_eq!(output.status.code(), Some(74), "{output:?}");
    assert!(stderr(&output).contains("File too large"), "{}", stderr(&output));
}
