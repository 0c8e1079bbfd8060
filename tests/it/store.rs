//! `db backup`, `verify` and `restore` of the real program, with and without a running daemon.

mod extremes;
mod foreign;
mod full;
mod killed;
mod links;
mod owner;
mod planted;
mod reading;
mod start_timeout;

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Output};

use rusqlite::Connection;
use rustix::process::geteuid;
use serde_json::Value;

use crate::harness::argil::FakeArgil;
use crate::harness::config::Config;
use crate::harness::daemon::{Bench, PROGRAM, Running, stderr, stdout};
use crate::harness::webhook::{Answer, Receiver};

/// A user id that does not exist on this machine.
const USER: u32 = 61_844;

/// A running daemon that has polled an avatar in training.
fn watching(configured: impl FnOnce(Config) -> Config) -> (FakeArgil, Bench, Running) {
    let argil = FakeArgil::start();
    let bench = Bench::new(configured(Config::new(argil.base_url()).avatar("a1")).text());
    let daemon = bench.start_training(&argil);
    assert!(!daemon.log().contains("did not stop cleanly"), "{}", daemon.log());
    (argil, bench, daemon)
}

/// Adds a channel that no receiver listens to.
fn with_dead_channel(config: Config) -> Config {
    config.webhook("ops", "http://127.0.0.1:9/")
}

/// Starts the daemon with a new log, and waits until it watches.
fn start_again(bench: &Bench) -> Running {
    fs::remove_file(bench.path("daemon.log")).unwrap();
    let daemon = bench.start();
    daemon.wait_for_log("watching with the database");
    daemon
}

/// The output of a command that succeeds.
fn run(bench: &Bench, arguments: &[&str]) -> String {
    let done = bench.run(arguments);
    assert_eq!(done.status.code(), Some(0), "{arguments:?}: {}", stderr(&done));
    stdout(&done)
}

/// The messages of a command that ends with this code.
fn fail(bench: &Bench, arguments: &[&str], code: i32) -> String {
    let failed = bench.run(arguments);
    assert_eq!(failed.status.code(), Some(code), "{arguments:?}: {}", stderr(&failed));
    stderr(&failed)
}

/// Whether a text contains another one, which it is shown with if not.
#[track_caller]
fn check_has(text: &str, part: &str) {
    assert!(text.contains(part), "`{part}` in {text}");
}

/// Another user of the machine, with a copy of the program that this user can run.
struct Guest<'a>(&'a Bench);

impl<'a> Guest<'a> {
    /// `None` unless this process is root.
    fn of(bench: &'a Bench) -> Option<Self> {
        if !geteuid().is_root() {
            println!("skipped: requires root");
            return None;
        }
        fs::copy(PROGRAM, bench.path("program")).unwrap();
        chown(bench.config(), Some(USER), None).unwrap();
        fs::set_permissions(bench.path("."), Permissions::from_mode(0o755)).unwrap();
        Some(Self(bench))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.0.path("program"));
        command.env_clear().env("AVATAR_WATCH_CONFIG", self.0.config());
        command.current_dir(self.0.path(".")).uid(USER).gid(USER).args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }
}

/// A running daemon with one avatar and one delivered transition.
async fn settled() -> (FakeArgil, Receiver, Bench, Running) {
    let receiver = Receiver::start().await;
    let (argil, bench, daemon) = watching(|config| config.webhook("ops", &receiver.url()));
    argil.set_status("a1", "IDLE");
    wait_for_delivered(&bench, 1);
    (argil, receiver, bench, daemon)
}

fn wait_for_delivered(bench: &Bench, count: usize) {
    bench.wait_for_deliveries("the delivery", |rows| {
        rows.iter().filter(|row| row["state"] == "delivered").count() == count
    });
}

fn history(bench: &Bench) -> Value {
    bench.json(&["history", "--json"])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_beside_the_daemon_is_complete_and_private_and_overwrites_no_file() {
    let (_argil, _receiver, bench, daemon) = settled().await;
    check_has(&run(&bench, &["db", "backup", "copy.db"]), "copy.db: ");
    let copy = bench.path("copy.db");
    assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    let verified = bench.json(&["db", "verify", "copy.db", "--json"]);
    assert_eq!((&verified["sound"], &verified["transitions"]), (&true.into(), &2.into()));
    let of_copy = bench.json(&["history", "--json", "--database", "copy.db"]);
    assert_eq!(of_copy, history(&bench));

    let whole = fs::read(&copy).unwrap();
    check_has(&fail(&bench, &["db", "backup", "copy.db"], 1), "exists, and is not overwritten");
    assert_eq!(fs::read(&copy).unwrap(), whole);
    let second = bench.json(&["db", "backup", "second.db", "--json"]);
    assert_eq!(second["bytes"], fs::metadata(bench.path("second.db")).unwrap().len());
    check_has(&fail(&bench, &["db", "backup", "."], 2), "--keep");
    assert!(daemon.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_outbox_is_sent_again_under_the_same_id() {
    let receiver = Receiver::start().await;
    receiver.script([Answer::Hold]);
    let (argil, bench, daemon) = watching(|config| config.webhook("ops", &receiver.url()));
    argil.set_status("a1", "IDLE");
    receiver.wait_for(1).await;
    run(&bench, &["db", "backup", "copy.db"]);
    receiver.release();
    wait_for_delivered(&bench, 1);
    argil.set_status("a1", "TRAINING");
    daemon.wait_for_log("IDLE -> TRAINING");

    fail(&bench, &["db", "restore", "copy.db"], 75);
    assert!(daemon.stop().success());
    let before = history(&bench);

    let restored = bench.json(&["db", "restore", "copy.db", "--json"]);
    assert_eq!(restored["restored"], true);
    assert_eq!(restored["lost"]["transitions"], 1);
    assert_eq!(restored["lost"]["sent_again"], 1);
    let kept = restored["kept"].as_str().unwrap();
    assert_eq!(bench.json(&["history", "--json", "--database", kept]), before);
    assert_eq!(history(&bench).as_array().unwrap().len(), 2);

    let daemon = bench.start();
    wait_for_delivered(&bench, 1);
    daemon.wait_for_log("IDLE -> TRAINING");
    daemon
        .wait_for_log("the last run did not stop cleanly; the database was checked and is intact");
    assert!(daemon.stop().success());
    let received = receiver.received();
    assert_eq!(received.len(), 2);
    assert_eq!(received[0].header("webhook-id"), received[1].header("webhook-id"));
    assert_eq!(received[0].body, received[1].body);
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_reported_completely_and_ends_a_start_after_an_unclean_end() {
    let (_argil, _receiver, bench, daemon) = settled().await;
    run(&bench, &["db", "backup", "copy.db"]);
    daemon.kill();
    let database = Connection::open(bench.database()).unwrap();
    database
        .execute_batch(
            "PRAGMA foreign_keys = OFF;
             UPDATE transitions SET to_status = 'REFUSED' WHERE seq = 2;
             DELETE FROM transitions WHERE seq = 1;
             DELETE FROM channels;
             PRAGMA wal_checkpoint(TRUNCATE);",
        )
        .unwrap();
    let page = "SELECT rootpage FROM sqlite_schema WHERE name = 'attempts'";
    let page: i64 = database.query_row(page, [], |row| row.get(0)).unwrap();
    drop(database);
    let verified = fail(&bench, &["db", "verify"], 65);
    check_has(&verified, "rows: row 1 of `deliveries`");
    check_has(&verified, "rows: the history of avatar `a1`");
    check_has(&verified, "history: of 2 transitions 1");
    let mut bytes = fs::read(bench.database()).unwrap();
    let start = usize::try_from((page - 1) * 4096).unwrap();
    bytes[start..start + 4096].fill(0xAA);
    fs::write(bench.database(), bytes).unwrap();
    let verified = bench.json(&["db", "verify", "--json"]);
    assert_eq!(
        (&verified["sound"], &verified["findings"][0]["part"]),
        (&false.into(), &"structure".into())
    );

    check_has(&fail(&bench, &["run"], 65), "db restore FILE");
    fail(&bench, &["db", "backup", "bad.db"], 65);
    assert!(!bench.path("bad.db").exists());

    check_has(&run(&bench, &["db", "restore", "copy.db"]), "old database kept as");
    run(&bench, &["db", "verify"]);
    for expected in [true, false] {
        let daemon = start_again(&bench);
        // The backup was made beside a daemon; the start after that follows a clean end.
        assert_eq!(daemon.log().contains("did not stop cleanly"), expected, "{}", daemon.log());
        assert!(daemon.stop().success());
    }
}
