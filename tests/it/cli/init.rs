//! The first five minutes: `init`, `check --online`, `test`. Each step says the next one, and what
//! is wrong says how to fix it.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, Signal, kill_process};
use rustix::termios::{LocalModes, tcgetattr};
use serde_json::json;

use crate::cli::pty::Pty;
use crate::harness::argil::{self, FakeArgil};
use crate::harness::config::{Config, KEY};
use crate::harness::daemon::{Bench, files_with, stdout, wait_until};
use crate::harness::webhook::{Answer, Receiver};

/// The program on a terminal of its own.
struct Terminal {
    keyboard: File,
    line: File,
    shown: Arc<Mutex<String>>,
    child: Child,
}

impl Terminal {
    fn run(bench: &Bench, arguments: &[&str]) -> Self {
        let Pty { keyboard, line, shown, .. } = Pty::open();
        let program = bench.command(arguments);
        // The terminal's own keys reach only who has it as the controlling one.
        let mut command = Command::new("setsid");
        command.arg("--ctty").arg(program.get_program()).args(program.get_args());
        command.current_dir(program.get_current_dir().unwrap());
        for (name, value) in program.get_envs() {
            value.map(|value| command.env(name, value));
        }
        command.env_remove("AVATAR_WATCH_CONFIG").env_remove("ARGIL_API_KEY");
        command.stdout(Stdio::piped());
        command.stdin(line.try_clone().unwrap()).stderr(line.try_clone().unwrap());
        let child = command.spawn().unwrap();
        Self { keyboard, line, shown, child }
    }

    fn shown(&self) -> String {
        self.shown.lock().unwrap().clone()
    }

    /// Types an answer after a question has appeared `times` times.
    fn answer(&mut self, question: &str, times: usize, typed: &str) {
        wait_until(&format!("`{question}` on {:?}", self.shown()), || {
            self.shown().matches(question).count() == times
        });
        self.keyboard.write_all(typed.as_bytes()).unwrap();
    }

    fn shows_what_is_typed(&self) -> bool {
        tcgetattr(&self.line).unwrap().local_modes.contains(LocalModes::ECHO)
    }

    fn signal(&self, signal: Signal) {
        let process = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(process, signal).unwrap();
    }

    fn is_stopped(&self) -> bool {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        status.contains("State:\tT")
    }

    fn end(self) -> (Option<i32>, String) {
        let output = self.child.wait_with_output().unwrap();
        (output.status.code(), stdout(&output))
    }
}

fn mode(path: PathBuf) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn init_prompts_without_echo_and_keeps_secrets_out_of_the_config() {
    let (bench, argil) = (Bench::new(""), FakeArgil::start());
    argil.require_key("C4N4RY-key");
    argil.set_avatar("a1", json!({"id": "a1", "status": "TRAINING", "name": "Jane\nEnglish"}));
    argil.set_avatar("a2", json!({"id": "a2", "status": "IDLE", "name": "Béla"}));
    fs::remove_file(bench.config()).unwrap();
    let base_url = argil.base_url();
    let mut terminal = Terminal::run(&bench, &["init", "--base-url", base_url.as_str()]);
    terminal.answer("API key, from", 1, "C4N4RY-kee\r");
    terminal.answer("API key, from", 2, "C4N4RY-keyy\u{7f}\r");
    terminal.answer("Avatars to watch", 1, "Jäne\n");
    terminal.answer(
        "Avatars to watch",
        2,
        "2, https://app.argil.ai/avatars/3c90c3cc-0d44-4b50-8888-8dd25736052a\n",
    );
    terminal.answer("URL of a webhook", 1, "https://ops.example.com/hook\n");
    terminal.answer("Mailbox to notify", 1, "studio@example.com\n");
    terminal.answer("SMTP server", 1, "mail..example.com:25\n");
    terminal.answer("SMTP server", 2, "mail.example.com:465\n");
    terminal.answer("SMTP password of studio@example.com", 1, "C4N4RY-password\r");
    terminal.answer("Which channel to notify when", 1, "maybe\n");
    terminal.answer("Which channel to notify when", 2, "both\n");
    wait_until("the end", || bench.config().exists());
    let shown = terminal.shown();
    assert!(!shown.contains("C4N4RY"), "{shown}");
    let asked_for_key = shown.split("API key, from").count() - 1;
    assert_eq!(asked_for_key, 2, "again after a rejection: {shown}");
    for expected in ["The account has 2 avatars:", "IDLE             a2  Béla", "API key rejected"]
    {
        assert!(shown.contains(expected), "{shown}");
    }
    assert!(!shown.contains("Jane\n"), "{shown}");
    assert!(terminal.shows_what_is_typed(), "the terminal is as it was");
    let (code, said) = terminal.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.ends_with("Next:\n  avatar-watch check --online\n"), "{said}");
    assert!(!said.contains("C4N4RY") && !said.contains("whsec_"), "{said}");
    let secrets = ["argil-api-key", "webhook-secret", "smtp-password"];
    assert_eq!(secrets.map(|name| mode(bench.path(name))), [0o600; 3]);
    assert_eq!(fs::read_to_string(bench.path("argil-api-key")).unwrap(), "C4N4RY-key\n");
    assert!(!files_with(bench.path("").as_path(), "C4N4RY").contains(&bench.config()));
    let config = fs::read_to_string(bench.config()).unwrap();
    assert!(config.contains("# Béla\n[[avatars]]\nid = \"a2\""), "{config}");
    assert_eq!(config.matches("\noperator = true").count(), 2, "{config}");
    assert!(config.contains("port = 465\ntls = \"implicit\""), "{config}");
    let checked = bench.prints(&["check"], 0, &["2 avatars, 2 channels"]);
    assert!(!checked.contains("warning"), "{checked}");
}

#[test]
fn init_lists_avatars_with_a_stored_key_that_it_reads_like_a_config() {
    let (bench, argil) = (Bench::new(""), FakeArgil::start());
    argil.set_avatar("a1", json!({"id": "a1", "status": "IDLE", "name": "Jane"}));
    let base_url = argil.base_url();
    let arguments = ["init", "--base-url", base_url.as_str(), "--output", "new.toml"];
    let key = bench.path("argil-api-key");
    fs::write(&key, format!("{KEY}\n")).unwrap();
    let mut terminal = Terminal::run(&bench, &arguments);
    terminal.answer("Enter: keep that in", 1, "\r");
    terminal.answer("Avatars to watch", 1, "jane\n");
    terminal.answer("URL of a webhook", 1, "\n");
    terminal.answer("Mailbox to notify", 1, "\n");
    wait_until("the end", || bench.path("new.toml").exists());
    let (code, said) = terminal.end();
    assert_eq!(code, Some(0));
    assert!(said.contains("argil-api-key` existed already and is used unchanged"), "{said}");
    // A pipe blocks nothing.
    fs::remove_file(&key).unwrap();
    fs::remove_file(bench.path("new.toml")).unwrap();
    mknodat(CWD, &key, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    let mut terminal = Terminal::run(&bench, &arguments);
    terminal.answer("Enter: keep that in", 1, "\r");
    terminal.answer("Avatar ids", 1, "\u{4}");
    assert!(terminal.shown().contains("The avatars cannot be listed: `argil.api_key"));
    assert_eq!(terminal.end().0, Some(130));
}

#[test]
fn init_knows_a_chat_by_its_url() {
    let bench = Bench::new("");
    for (url, chat) in [
        ("https://hooks.slack.com/services/T0/B0/x", "slack"),
        ("https://discord.com/api/webhooks/1/x", "discord"),
        ("https://acme.webhook.office.com/webhookb2/x", "teams"),
        ("https://ntfy.sh/studio", "ntfy"),
    ] {
        let key = bench.path("key");
        fs::write(&key, "k\n").unwrap();
        let key = key.to_str().unwrap();
        let flags = ["init", "--force", "--api-key-file", key, "--avatar", "a1", "--webhook", url];
        bench.prints(&flags, 0, &["Next:"]);
        let config = fs::read_to_string(bench.config()).unwrap();
        assert!(config.contains(&format!("[channels.{chat}]\ntype = \"{chat}\"\n")), "{config}");
        assert!(!bench.path("webhook-secret").exists() && !config.contains(url), "{config}");
        assert_eq!(fs::read_to_string(bench.path("chat-url")).unwrap(), format!("{url}\n"));
        assert_eq!(mode(bench.path("chat-url")), 0o600);
        bench.prints(&["check"], 0, &["1 avatar, 1 channel"]);
        assert!(!bench.complains(&["check"], 0, &[]).contains("operator"));
        bench.configure(&config.replace("operator = true", ""));
        bench.complains(&["check"], 0, &["warning: no channel has `operator = true`"]);
        let plain = config.replace(&format!("type = \"{chat}\""), "type = \"webhook\"");
        bench.configure(&plain);
        bench.complains(&["check"], 2, &[&format!("help: write `type = \"{chat}\"`")]);
    }
}

#[test]
fn an_interrupted_init_writes_nothing_and_restores_the_terminal() {
    let bench = Bench::new("");
    fs::remove_file(bench.config()).unwrap();
    let asked = || {
        let terminal = Terminal::run(&bench, &["init"]);
        wait_until("the question", || terminal.shown().contains("API key"));
        assert!(!terminal.shows_what_is_typed());
        terminal
    };
    let mut terminal = asked();
    terminal.answer("API key", 1, "\r");
    terminal.answer("Avatar ids", 1, "\u{4}");
    wait_until("the end", || terminal.shown().contains("nothing was written"));
    assert_eq!(terminal.end().0, Some(130));
    // By a key, and by a signal.
    for signal in [Signal::INT, Signal::QUIT, Signal::TERM, Signal::HUP] {
        let mut terminal = asked();
        match signal {
            Signal::INT => terminal.answer("API key", 1, "C4N4RY\u{3}"),
            Signal::QUIT => terminal.answer("API key", 1, "C4N4RY\u{1c}"),
            _ => terminal.signal(signal),
        }
        let ended = terminal.child.wait().unwrap().signal();
        assert_eq!(ended, Some(signal.as_raw()));
        assert!(terminal.shows_what_is_typed(), "the terminal is as it was");
    }
    // A stop restores the terminal; after a continue it prompts again.
    let mut terminal = asked();
    terminal.answer("API key", 1, "C4N4RY\u{1a}");
    wait_until("the stop", || terminal.is_stopped());
    assert!(terminal.shows_what_is_typed(), "the terminal is as it was");
    terminal.signal(Signal::CONT);
    wait_until("the question again", || terminal.shown().matches("API key").count() == 2);
    assert!(!terminal.shows_what_is_typed());
    terminal.answer("API key", 2, "\r");
    terminal.answer("Avatar ids", 1, "\u{3}");
    assert_eq!(terminal.child.wait().unwrap().signal(), Some(Signal::INT.as_raw()));
    assert!(!terminal.shown().contains("C4N4RY"), "{}", terminal.shown());
    assert_eq!(fs::read_dir(bench.path("")).unwrap().count(), 0);
}

#[test]
fn without_a_terminal_and_flags_init_writes_a_starter_config() {
    let bench = Bench::new("");
    fs::remove_file(bench.config()).unwrap();
    // A pipe that is never written and never closed.
    let mut child = bench.command(&["init"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let typing = child.as_mut().unwrap().stdin.take();
    let output = child.unwrap().wait_with_output().unwrap();
    drop(typing);
    let said = stdout(&output);
    assert!(output.status.success() && bench.config().exists(), "{said}");
    assert!(said.contains("add the id of your avatar to the config"), "{said}");
    assert!(said.contains("export ARGIL_API_KEY=…"), "{said}");
}

#[test]
fn existing_configs_and_secrets_are_kept() {
    let bench = Bench::new("old");
    let flags = ["init", "--webhook", "https://ops.example.com/hook", "--email", "a@example.com"];
    bench.complains(&flags, 1, &["help: use `--output PATH` for another file"]);
    assert!(!bench.path("webhook-secret").exists());
    let forced = |expected: &str| {
        let forced = [&flags[..], &["--force", "--smtp-host", "mail.example.com"]].concat();
        bench.prints(&forced, 0, &[expected]);
        fs::read_to_string(bench.path("webhook-secret")).unwrap()
    };
    let secret = forced("The old config is kept as");
    assert_eq!(forced(".old.1`"), secret, "a receiver knows it already");
    assert_eq!(fs::read_to_string(bench.path("avatar-watch.toml.old")).unwrap(), "old");
    let key = bench.path("key");
    fs::write(&key, "k\n").unwrap();
    let output = bench.path("other.toml");
    let (key, output) = (key.to_str().unwrap(), output.to_str().unwrap());
    bench.prints(&["init", "--api-key-file", key, "--output", output], 0, &[]);
    bench.prints(&["--config", output, "check"], 0, &[]);
    let lost = ["init", "--api-key-file", "nowhere", "--output", "third.toml"];
    bench.complains(&lost, 2, &["`argil.api_key.file` cannot be read"]);
    assert!(!bench.path("third.toml").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn each_step_prints_the_next_one_and_each_failure_its_help() {
    let (argil, receiver) = (FakeArgil::start(), Receiver::start().await);
    let config = Config::new(argil.base_url()).avatar("a1").webhook("ops", &receiver.url());
    let bench = Bench::new(config.text());
    let path = bench.config();
    let path = path.display();
    let missing = ["FAIL avatar `a1`", "  help: check the id", "is `base_url` right?"];
    let shown = bench.prints(&["check", "--online"], 2, &missing);
    assert!(!shown.contains("Next: "), "what is wrong comes first: {shown}");
    argil.set_status("a1", "IDLE");
    bench.prints(&["check"], 0, &[&format!("Next: `avatar-watch --config {path} check --online`")]);
    let next = format!("Next: `avatar-watch --config {path} test ops` sends a test message.");
    bench.prints(&["check", "--online"], 0, &["ok   channel `ops`", &next]);
    assert!(receiver.received().is_empty(), "a check sends nothing");
    let (run, service) = ("run` starts the daemon", "`sudo systemctl enable --now avatar-watch`");
    bench.prints(
        &["test", "ops"],
        0,
        &[&format!("Next: `avatar-watch --config {path} {run}"), service],
    );
    assert_eq!(receiver.received()[0].json()["type"], "test.ping");
    bench.complains(&["test", "opps"], 2, &["known channels: `ops`"]);
    receiver.script([Answer::status(401), Answer::status(404)]);
    let refused = "  help: does the receiver have the `secret` of this channel";
    bench.prints(&["test", "ops"], 1, &["FAIL ops", "at `response` (401)", refused]);
    bench.prints(&["test", "ops"], 1, &["FAIL ops", "  help: is the path of `url` right"]);
    bench.configure(Config::new(argil.base_url()).avatar("a1").text());
    bench.prints(&["check", "--online"], 0, &[run, "; no channel is configured yet."]);
    bench.configure(Config::new("http://127.0.0.1:9/v1").avatar("a1").avatar("a2").text());
    let shown =
        bench.prints(&["check", "--online"], 2, &["help: check `base_url`", "were not polled"]);
    assert!(!shown.contains("a2"), "{shown}");
}

#[test]
fn check_online_limits_the_number_of_requests() {
    let argil = FakeArgil::start();
    let config = (0..25).fold(Config::new(argil.base_url()), |config, number| {
        argil.set_status(&format!("a{number}"), "IDLE");
        config.avatar(&format!("a{number}"))
    });
    let bench = Bench::new(config.text());
    bench.prints(&["check", "--online"], 0, &["5 avatars more not polled"]);
    let asked: usize = (0..25).map(|number| argil.count(&format!("a{number}"))).sum();
    assert_eq!(asked, 20);
}

#[test]
fn a_rejected_key_in_a_file_is_asked_for_again_and_replaced() {
    let (bench, argil) = (Bench::new(""), FakeArgil::start());
    argil.require_key("C4N4RY-new");
    argil.set_avatar("a1", json!({"id": "a1", "status": "IDLE", "name": "Jane"}));
    fs::remove_file(bench.config()).unwrap();
    fs::write(bench.path("argil-api-key"), "C4N4RY-old\n").unwrap();
    let base_url = argil.base_url();
    let mut terminal = Terminal::run(&bench, &["init", "--base-url", base_url.as_str()]);
    terminal.answer("API key, from", 1, "\r");
    terminal.answer("argil-api-key` cannot be used: API key rejected", 1, "");
    terminal.answer("API key, from", 2, "C4N4RY-new\r");
    terminal.answer("Avatars to watch", 1, "all\n");
    terminal.answer("URL of a webhook", 1, "ops.example.com/hook\n");
    terminal.answer("put `https://` in front", 1, "\n");
    terminal.answer("Mailbox to notify", 1, "studio@example.com\n");
    terminal.answer("SMTP server", 1, "\n");
    terminal.answer("Also notify studio@example.com", 1, "\n");
    wait_until("the end", || bench.config().exists());
    assert!(!terminal.shown().contains("SMTP password"), "{}", terminal.shown());
    assert_eq!(terminal.end().0, Some(0));
    let read = |name: &str| fs::read_to_string(bench.path(name)).unwrap();
    assert_eq!(read("argil-api-key"), "C4N4RY-new\n");
    assert_eq!(read("argil-api-key.old"), "C4N4RY-old\n");
    bench.complains(&["check"], 2, &["`channels.mail.smtp.host` is a placeholder"]);
}

#[test]
fn the_key_is_no_answer_to_the_question_for_ids() {
    let (bench, argil) = (Bench::new(""), FakeArgil::start());
    argil.answer_list_next(argil::Answer::status(500, "oops"));
    fs::remove_file(bench.config()).unwrap();
    let base_url = argil.base_url();
    let mut terminal = Terminal::run(&bench, &["init", "--base-url", base_url.as_str()]);
    terminal.answer("API key, from", 1, "k3y\r");
    for (number, wrong) in ["k3y", "all", "Jane", "jane2@example.com"].into_iter().enumerate() {
        terminal.answer("Avatar ids", number + 1, &format!("{wrong}\n"));
    }
    terminal.answer("Avatar ids", 5, "\u{4}");
    assert!(terminal.shown().contains("resembles an API key"), "{}", terminal.shown());
    assert_eq!(terminal.end().0, Some(130));
}

#[test]
fn flags_name_avatars_of_the_account_or_are_refused() {
    let (bench, argil) = (Bench::new(""), FakeArgil::start());
    argil.set_avatar("a1", json!({"id": "a1", "status": "IDLE", "name": "Jane"}));
    argil.set_avatar("a2", json!({"id": "a2", "status": "IDLE", "name": "Tom"}));
    let base_url = argil.base_url();
    fs::write(bench.path("argil-api-key"), format!("{KEY}\n")).unwrap();
    let init = ["init", "--force", "--base-url", base_url.as_str(), "--avatar"];
    let ids = |names: &[&str]| {
        bench.prints(&[&init[..], names].concat(), 0, &["Next:"]);
        let config = fs::read_to_string(bench.config()).unwrap();
        ["a1", "a2"].map(|id| config.contains(&format!("\nid = \"{id}\"")))
    };
    assert_eq!(ids(&["all"]), [true, true]);
    assert_eq!(ids(&["tom"]), [false, true]);
    let refused = |name: &str, said: &str| {
        bench.complains(&[&init[..], &[name]].concat(), 2, &[said, "  help: `--avatar` takes"]);
    };
    refused("Jan", "`Jan` is not in the list");
    fs::remove_file(bench.path("argil-api-key")).unwrap();
    refused("all", "`ARGIL_API_KEY` is not set");
    refused("Jane", "`ARGIL_API_KEY` is not set");
    refused("jane2@example.com", "is a mail address");
}
