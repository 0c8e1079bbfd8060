//! `wait` as scripts and people use it: the real program, a real API, a real terminal.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rusqlite::Connection;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::cli::pty::Pty;
use crate::harness::argil::{Answer, FakeArgil};
use crate::harness::config::{Config, KEY};
use crate::harness::daemon::{Bench, PROGRAM, stderr, stdout, wait_until};

/// An empty folder, where no config is.
fn nowhere() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// The program in that folder with nothing but the key and the address.
fn waiting(folder: &tempfile::TempDir, argil: &FakeArgil, arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command
        .env_clear()
        .env("ARGIL_API_KEY", KEY)
        .env("ARGIL_BASE_URL", argil.base_url().as_str())
        .current_dir(folder.path())
        .arg("wait")
        .args(arguments);
    command
}

fn wait(argil: &FakeArgil, arguments: &[&str]) -> Output {
    waiting(&nowhere(), argil, arguments).output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or_else(|| panic!("killed: {}", stderr(output)))
}

/// Starts it; what it prints is kept.
fn begin(command: &mut Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn signal(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

#[test]
fn the_script_of_the_guide_handles_every_result() {
    let argil = FakeArgil::start();
    for (id, status) in [("a1", "IDLE"), ("a2", "TRAINING_FAILED"), ("a3", "REFUSED")] {
        argil.set_status(id, status);
    }
    argil.set_status("a5", "TRAINING");
    let guide = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/wait.md")).unwrap();
    let script = guide.split("```sh\n").nth(2).unwrap().split("```").next().unwrap();
    let script = script.replace("--timeout 26h", "--timeout \"$LIMIT\" --quiet");
    let run = |id: &str, limit: &str| {
        let output = Command::new("/bin/sh")
            .env_clear()
            .env("PATH", Path::new(PROGRAM).parent().unwrap())
            .env("LIMIT", limit)
            .env("ARGIL_API_KEY", KEY)
            .env("ARGIL_BASE_URL", argil.base_url().as_str())
            .current_dir(nowhere().path())
            .args(["-c", &script, "script", id])
            .output()
            .unwrap();
        stdout(&output)
    };
    let check = |id, limit, expected: &str| assert_eq!(run(id, limit), expected);
    check("a1", "20s", "avatar a1: IDLE\nready: create the video\n");
    check("a2", "20s", "avatar a2: TRAINING_FAILED\ntraining failed: check the material\n");
    check("a3", "20s", "avatar a3: REFUSED\nrefused: ask the person again\n");
    check("a5", "1s", "avatar a5: timed-out\nstill in training after a day: ask Argil\n");
    check("a6", "20s", "a6: missing\nno such avatar: check the id\n");
    assert_eq!(argil.count("a6"), 3, "one 404 is not enough");
    argil.require_key("another");
    let rejected = "a7: key-rejected\nAPI key rejected: check that it is of this workspace\n";
    check("a7", "20s", rejected);
}

#[tokio::test(flavor = "multi_thread")]
async fn wait_blocks_until_the_training_ends_and_shows_progress() {
    let argil = FakeArgil::start();
    argil.require_key(KEY);
    argil.set_status("a1", "TRAINING");
    argil.answer_next("a1", Answer::status(200, r#"{"id": "a1", "status": "NOT_TRAINED"}"#));
    let folder = nowhere();
    let child = begin(&mut waiting(&folder, &argil, &["a1"]));
    argil.wait_until("polls of the training", |_| argil.count("a1") >= 3).await;
    argil.set_status("a1", "IDLE");
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        (code(&output), stdout(&output).as_str()),
        (0, "avatar a1: IDLE\n"),
        "{}",
        stderr(&output)
    );
    let expected = "avatar-watch: avatar `a1` is NOT_TRAINED\n\
        avatar-watch: `avatar a1` is TRAINING\n";
    assert_eq!(stderr(&output), expected);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
}

#[test]
fn wait_ends_with_all_avatars_or_any() {
    let argil = FakeArgil::start();
    for (id, status) in [
        ("idle", "IDLE"),
        ("failed", "TRAINING_FAILED"),
        ("refused", "REFUSED"),
        ("busy", "PAUSED"),
    ] {
        argil.set_status(id, status);
    }
    let check = |arguments: &[&str], expected: i32, lines: &[&str]| {
        let output = wait(&argil, arguments);
        let said = stdout(&output);
        let mut said: Vec<&str> = said.lines().collect();
        said.sort_unstable();
        assert_eq!((code(&output), said.as_slice()), (expected, lines), "{arguments:?}");
    };
    check(&["idle", "idle", "IDLE"], 0, &["avatar idle: IDLE"]);
    let all = ["avatar failed: TRAINING_FAILED", "avatar idle: IDLE", "avatar refused: REFUSED"];
    check(&["--all", "idle", "refused", "failed"], 4, &all);
    check(&["--any", "busy", "idle"], 0, &["avatar idle: IDLE"]);
    check(&["--any", "busy", "failed"], 3, &["avatar failed: TRAINING_FAILED"]);
    check(
        &["--timeout", "1s", "busy", "refused"],
        5,
        &["avatar busy: timed-out", "avatar refused: REFUSED"],
    );
    check(&["--timeout", "1s", "--any", "busy"], 5, &["avatar busy: timed-out"]);
}

#[test]
fn a_rejected_key_ends_the_wait() {
    let argil = FakeArgil::start();
    argil.require_key("another");
    let output = wait(&argil, &["a1", "a2"]);
    assert_eq!(code(&output), 7);
    let said = stdout(&output);
    assert!(said.contains("a1: key-rejected\n") && said.contains("a2: key-rejected\n"), "{said}");
    assert!(stderr(&output).contains("401"), "{}", stderr(&output));
    let asked = argil.requests().len();
    assert!(asked <= 2, "it does not hammer: {asked} requests");
    assert!(!format!("{said}{}", stderr(&output)).contains(KEY));

    let argil = FakeArgil::start();
    argil.answer_with(|_| Some(Answer::status(403, "{}")));
    let output = wait(&argil, &["a1"]);
    assert_eq!((code(&output), argil.count("a1")), (7, 2), "{}", stderr(&output));
}

#[test]
fn temporary_failures_do_not_end_the_wait() {
    let argil = FakeArgil::start();
    argil.set_status("a1", "IDLE");
    for answer in [Answer::status(500, "oh"), Answer::status(403, "{}"), Answer::status(404, "{}")]
    {
        argil.answer_next("a1", answer);
    }
    let output = wait(&argil, &["a1"]);
    assert_eq!(
        (code(&output), stdout(&output).as_str()),
        (0, "avatar a1: IDLE\n"),
        "{}",
        stderr(&output)
    );
    assert_eq!(argil.count("a1"), 4);
}

#[test]
fn json_has_one_object_per_line() {
    let argil = FakeArgil::start();
    argil.set_status("a1", "REFUSED");
    argil.set_status("a2", "TRAINING");
    let output = wait(&argil, &["a1", "a2", "--json", "--timeout", "1s"]);
    assert_eq!(code(&output), 5);
    let said = stdout(&output);
    let lines: Vec<Value> = said.lines().map(|it| serde_json::from_str(it).unwrap()).collect();
    let check = |line: &Value, expected: Value| {
        let waited = line["waited_seconds"].as_f64().unwrap();
        assert!((0.0..20.0).contains(&waited), "{line}");
        assert!(line["detected_at"].as_str().unwrap().ends_with('Z'), "{line}");
        let mut line = line.clone();
        line.as_object_mut().unwrap().remove("waited_seconds");
        line.as_object_mut().unwrap().remove("detected_at");
        assert_eq!(line, expected);
    };
    assert_eq!(lines.len(), 2);
    check(
        &lines[0],
        json!({"id": "a1", "name": "avatar a1", "outcome": "refused", "status": "REFUSED",
            "reason": null, "exit_status": 4}),
    );
    check(
        &lines[1],
        json!({"id": "a2", "name": "avatar a2", "outcome": "timed_out", "status": "TRAINING",
            "reason": null, "exit_status": 5}),
    );
}

#[test]
fn a_timeout_without_a_response_has_a_reason() {
    let (argil, silent) = (FakeArgil::start(), std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let address = format!("http://{}/v1", silent.local_addr().unwrap());
    let folder = nowhere();
    let mut command = waiting(&folder, &argil, &["a1", "--json", "--timeout", "1s"]);
    let output = command.env("ARGIL_BASE_URL", address).output().unwrap();
    let said: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let reason = said["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("no response from the API within the timeout"), "{said}");
    assert_eq!(code(&output), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_the_wait_at_once() {
    for (sent, expected) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let argil = FakeArgil::start();
        argil.set_status("a1", "TRAINING");
        let child = begin(&mut waiting(&nowhere(), &argil, &["a1", "--json"]));
        argil.wait_until("a poll", |_| argil.count("a1") == 1).await;
        signal(&child, sent);
        let output = child.wait_with_output().unwrap();
        assert_eq!((code(&output), stdout(&output).as_str()), (expected, ""));
    }
}

#[test]
fn usage_errors_have_help_and_send_no_request() {
    let argil = FakeArgil::start();
    let check = |edit: &dyn Fn(&mut Command), arguments: &[&str], expected: &str| {
        let folder = nowhere();
        let mut command = waiting(&folder, &argil, arguments);
        edit(&mut command);
        let output = command.output().unwrap();
        let said = stderr(&output);
        assert_eq!((code(&output), stdout(&output).as_str()), (2, ""), "{said}");
        assert!(said.contains(expected), "{said}");
    };
    let as_it_is = |_: &mut Command| {};
    check(&as_it_is, &[], "<AVATAR>");
    check(&as_it_is, &["a1", "--timeout", "5"], "write `2h`");
    check(&as_it_is, &["a1", "--any", "--all"], "cannot be used with");
    let keyless = |command: &mut Command| {
        command.env_remove("ARGIL_API_KEY");
    };
    check(&keyless, &["a1"], "export ARGIL_API_KEY=");
    let elsewhere = |command: &mut Command| {
        command.env("ARGIL_BASE_URL", "http://example.com");
    };
    check(&elsewhere, &["a1"], "`--base-url` ");
    let config = Config::new(argil.base_url()).avatar("a1");
    let output = Bench::new(config.text()).run(&["wait", "a1", "--account", "other"]);
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("no account `other`; known accounts: `argil`"));
    assert_eq!(argil.requests().len(), 0);
}

/// An avatar of another account than the default one; the API accepts only its key.
fn with_another_account(argil: &FakeArgil, avatar: &str) -> Bench {
    argil.require_key("other-key");
    let config = Config::new(argil.base_url())
        .with("[accounts.other]\napi_key = \"other-key\"\n")
        .with(&format!("base_url = \"{}\"\n", argil.base_url()))
        .with(&format!("[[avatars]]\naccount = \"other\"\n{avatar}\n"));
    Bench::new(config.text())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_config_provides_accounts_names_and_history() {
    let argil = FakeArgil::start();
    argil.set_avatar("a1", json!({"id": "a1", "status": "TRAINING", "model": "ARGIL_ATOM"}));
    let bench = with_another_account(&argil, "id = \"a1\"\nname = \"Jane\"");
    let daemon = bench.start();
    daemon.wait_for_log("baseline TRAINING");
    let database = Connection::open(bench.database()).unwrap();
    for length in [30_000, 31_000, 32_000] {
        let sql = "INSERT INTO transitions(avatar_id, avatar_seq, to_status, detected_at,
                   trained_model, trained_after, trained_since, trained_until)
                   VALUES ('x', ?1, 'IDLE', ?1, 'ARGIL_ATOM', -1, 0, ?1)";
        database.execute(sql, [length]).unwrap();
    }
    // From here on, all polls are those of `wait`.
    assert!(daemon.stop().success());
    let child = begin(&mut bench.command(&["wait", "a1", "--json"]));
    let polls = argil.count("a1");
    argil.wait_until("polls of `wait`", |_| argil.count("a1") >= polls + 2).await;
    argil.set_status("a1", "IDLE");
    let output = child.wait_with_output().unwrap();
    let said = stderr(&output);
    assert_eq!(code(&output), 0, "{said}");
    assert_eq!(said, "avatar-watch: `Jane` is TRAINING; usually 30s to 32s (3 trainings)\n");
    let line: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!((&line["name"], &line["outcome"]), (&json!("Jane"), &json!("ready")));
}

#[test]
fn only_a_named_config_with_problems_is_an_error() {
    let argil = FakeArgil::start();
    argil.set_status("a1", "IDLE");
    let bench = Bench::new("nonsense = 1\n");
    let named = bench.run(&["wait", "a1"]);
    assert_eq!(code(&named), 78);
    assert!(stderr(&named).contains("`nonsense`"), "{}", stderr(&named));
    // Found at the default path; without a key it is required.
    let found = bench.command(&["wait", "a1"]).env_remove("AVATAR_WATCH_CONFIG").output().unwrap();
    assert_eq!(code(&found), 78);
    let mut command = bench.command(&["wait", "a1"]);
    command.env_remove("AVATAR_WATCH_CONFIG").env("ARGIL_API_KEY", KEY);
    let address = command.env("ARGIL_BASE_URL", argil.base_url().as_str()).output().unwrap();
    assert_eq!((code(&address), stderr(&address).as_str()), (0, ""), "the config is not read");
}

#[test]
fn the_key_is_sent_only_to_the_base_url_of_the_config() {
    let argil = FakeArgil::start();
    argil.set_status("a1", "IDLE");
    let folder = nowhere();
    let ask = |config: &str| {
        fs::write(folder.path().join("avatar-watch.toml"), config).unwrap();
        let mut command = waiting(&folder, &argil, &["a1", "--timeout", "20s"]);
        command.env_remove("ARGIL_BASE_URL").output().unwrap()
    };
    let needy = format!(
        "[argil]\napi_key = {{ env = \"NOT_SET\" }}\nbase_url = \"{}\"\n",
        argil.base_url()
    );
    let output = ask(&needy);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stderr(&output).contains("using only its `argil.base_url`"), "{}", stderr(&output));
    assert_eq!(argil.count("a1"), 1);
    // Without a readable config the `base_url` is unknown.
    let output = ask(&format!("{needy}[[["));
    assert_eq!(code(&output), 78, "{}", stderr(&output));
    assert_eq!(argil.count("a1"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_shows_progress_and_is_restored() {
    let argil = FakeArgil::start();
    argil.set_status("a1", "TRAINING");
    let Pty { keyboard: _keyboard, line, shown, reading } = Pty::open();
    let folder = nowhere();
    let mut command = waiting(&folder, &argil, &["a1"]);
    command.env("TERM", "xterm").stdout(Stdio::piped()).stderr(line);
    let child = command.spawn().unwrap();
    drop(command);

    wait_until("the progress", || shown.lock().unwrap().contains("`avatar a1` is TRAINING for"));
    wait_until("it to move on", || shown.lock().unwrap().contains("TRAINING for 2s"));
    argil.set_status("a1", "IDLE");
    let output = child.wait_with_output().unwrap();
    reading.join().unwrap();
    assert_eq!((code(&output), stdout(&output).as_str()), (0, "avatar a1: IDLE\n"));
    let shown = shown.lock().unwrap().clone();
    let rest = shown.rsplit("TRAINING").next().unwrap();
    assert!(rest.contains("\u{1b}[2K"), "the line is not removed: {shown:?}");
}

#[test]
fn many_avatars_stay_within_the_rate_limit() {
    let argil = FakeArgil::start();
    let ids: Vec<String> = (0..25).map(|number| format!("a{number}")).collect();
    ids.iter().for_each(|id| argil.set_status(id, "IDLE"));
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let begun = std::time::Instant::now();
    assert_eq!(code(&wait(&argil, &ids)), 0);
    assert!(begun.elapsed() >= Duration::from_millis(2_350), "ten a second");
}

#[test]
fn the_reason_of_failures_is_shown_at_once_and_at_the_end() {
    for (answer, said) in [
        (Answer::status(302, "").with("location", "http://portal.test/"), "portal.test"),
        (Answer::status(429, "{}").with("retry-after", "60"), "429"),
        (Answer::status(500, "oops"), "500"),
    ] {
        let argil = FakeArgil::start();
        argil.answer_with(move |_| Some(answer.clone()));
        let output = wait(&argil, &["a1", "--json", "--timeout", "1s"]);
        assert_eq!(code(&output), 5);
        let line: Value = serde_json::from_str(&stdout(&output)).unwrap();
        assert!(line["reason"].as_str().unwrap().contains(said), "{line}");
        let progress = stderr(&output);
        assert!(progress.contains("last poll failed: ") && progress.contains(said), "{progress}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stored_statuses_are_not_results_and_ids_are_normalized() {
    let id = "3c90c3cc-0d44-4b50-8888-8dd25736052a";
    let argil = FakeArgil::start();
    argil.set_status(id, "IDLE");
    let bench = with_another_account(&argil, &format!("id = \"{id}\""));
    let daemon = bench.start();
    daemon.wait_for_log("baseline IDLE");
    assert!(daemon.stop().success());
    let shouted = bench.run(&["wait", &id.to_uppercase()]);
    assert_eq!((code(&shouted), stdout(&shouted)), (0, format!("avatar {id}: IDLE\n")));
    argil.answer_with(|_| Some(Answer::status(500, "oops")));
    let output = bench.run(&["wait", id, "--json", "--timeout", "1s"]);
    let line: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!((code(&output), &line["status"]), (5, &Value::Null), "{line}");
    assert!(!stderr(&output).contains("IDLE"), "{}", stderr(&output));
}

#[test]
fn an_empty_base_url_is_unset() {
    let argil = FakeArgil::start();
    argil.set_status("a1", "IDLE");
    let bench = Bench::new(Config::new(argil.base_url()).text());
    let output = bench.command(&["wait", "a1"]).env("ARGIL_BASE_URL", "").output().unwrap();
    assert_eq!((code(&output), stderr(&output).as_str()), (0, ""));
}

#[test]
fn an_avatar_can_be_named() {
    let argil = FakeArgil::start();
    argil.set_status("a1", "IDLE");
    let named = |id: &str| format!("[[avatars]]\nid = \"{id}\"\nname = \"Jane, English\"\n");
    let config = Config::new(argil.base_url());
    let bench = Bench::new(&format!("{}{}", config.text(), named("a1")));
    bench.prints(&["wait", " jane, ENGLISH"], 0, &[": IDLE"]);
    bench.complains(&["wait", "Jane, German"], 2, &["no avatar `Jane, German` in config"]);
    let said = bench.complains(&["wait", "Jane"], 2, &["did you mean `Jane, English`?"]);
    assert!(!said.contains("missing"), "{said}");
    bench.configure(&format!("{}{}{}", config.text(), named("a1"), named("a2")));
    let several = "`Jane, English` fits 2 avatars: `a1`, `a2`";
    bench.complains(&["wait", "Jane, English"], 2, &[several]);
    bench.prints(&["wait", "a1"], 0, &[": IDLE"]);
}

#[test]
fn a_name_that_only_the_account_knows_is_found_in_its_list() {
    let argil = FakeArgil::start();
    argil.set_avatar("a1", json!({"id": "a1", "status": "IDLE", "name": "Jane, English"}));
    let output = wait(&argil, &["jane, english"]);
    assert_eq!((code(&output), argil.lists()), (0, 1), "{}", stderr(&output));
    for text in ["Jane", "Jane, Enlish"] {
        let output = wait(&argil, &[text]);
        let said = stderr(&output);
        assert!(code(&output) == 2 && said.contains("did you mean `Jane, English`?"), "{said}");
    }
    let output = wait(&argil, &["a1"]);
    assert_eq!((code(&output), argil.lists()), (0, 3), "an id needs no list");
}

#[test]
fn of_several_accounts_a_name_brings_its_own_and_a_typo_is_no_question_of_accounts() {
    let (one, two) = (FakeArgil::start(), FakeArgil::start());
    two.set_avatar("b1", json!({"id": "b1", "status": "IDLE", "name": "Tom"}));
    let account = |name: &str, argil: &FakeArgil| {
        format!("[accounts.{name}]\napi_key = \"{KEY}\"\nbase_url = \"{}\"\n", argil.base_url())
    };
    let bench = Bench::new(&format!("{}{}", account("one", &one), account("two", &two)));
    bench.prints(&["wait", "tom"], 0, &["IDLE"]);
    let said = bench.complains(&["wait", "Tomm"], 2, &["did you mean `Tom`?"]);
    assert!(!said.contains("--account"), "{said}");
    bench.complains(&["wait", "b1"], 2, &["choose one with `--account NAME`"]);
}
