//! `db backup`, `verify` and `restore` of the real program, with and without a running daemon.

mod extremes;
mod foreign;
mod full;
mod killed;
mod links;
mod owner;
mod planted;
mod reading;
mod starting;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use rusqlite::Connection;
use serde_json::Value;

use crate::harness::argil::FakeArgil;
use crate::harness::config::Config;
use crate::harness::daemon::{Bench, Running, stderr, stdout, wait_until};
use crate::harness::webhook::{Answer, Receiver};

/// A running daemon with one avatar and one delivered transition.
async fn settled() -> (FakeArgil, Receiver, Bench, Running) {
    let (argil, receiver) = (FakeArgil::start(), Receiver::start().await);
    argil.set_status("a1", "TRAINING");
    let config = Config::new(argil.base_url()).avatar("a1").webhook("ops", &receiver.url());
    let bench = Bench::new(config.text());
    let daemon = bench.start();
    daemon.wait_for_log("baseline TRAINING");
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
    let made = bench.run(&["db", "backup", "copy.db"]);
    assert_eq!(made.status.code(), Some(0), "{}", stderr(&made));
    assert!(stdout(&made).contains("copy.db: "), "{}", stdout(&made));
    let copy = bench.path("copy.db");
    assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    let verified = bench.json(&["db", "verify", "copy.db", "--json"]);
    assert_eq!((&verified["sound"], &verified["transitions"]), (&true.into(), &2.into()));
    let of_copy = bench.json(&["history", "--json", "--database", "copy.db"]);
    assert_eq!(of_copy, history(&bench));

    let again = bench.run(&["db", "backup", "copy.db"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(stderr(&again).contains("exists, and is not overwritten"), "{}", stderr(&again));
    let folder = bench.run(&["db", "backup", "."]);
    assert_eq!(folder.status.code(), Some(2));
    assert!(stderr(&folder).contains("--keep"), "{}", stderr(&folder));
    assert!(daemon.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn keep_limits_the_number_of_dated_backups() {
    let (_argil, _receiver, bench, daemon) = settled().await;
    let config = bench.config();
    let backup = ["--config", config.to_str().unwrap(), "db", "backup", "--keep", "2", "backups"];
    for _ in 0..4 {
        let made = bench.run(&backup);
        assert_eq!(made.status.code(), Some(0), "{}", stderr(&made));
    }
    let folder = bench.path("backups");
    assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    let kept: Vec<_> = fs::read_dir(folder).unwrap().map(|it| it.unwrap().path()).collect();
    assert_eq!(kept.len(), 2, "{kept:?}");
    for file in kept {
        let verified = bench.run(&["db", "verify", file.to_str().unwrap()]);
        assert_eq!(verified.status.code(), Some(0), "{}", stderr(&verified));
    }
    assert!(daemon.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_outbox_is_sent_again_under_the_same_id() {
    let (argil, receiver) = (FakeArgil::start(), Receiver::start().await);
    argil.set_status("a1", "TRAINING");
    let config = Config::new(argil.base_url()).avatar("a1").webhook("ops", &receiver.url());
    let bench = Bench::new(config.text());
    receiver.script([Answer::Hold]);
    let daemon = bench.start();
    daemon.wait_for_log("baseline TRAINING");
    argil.set_status("a1", "IDLE");
    receiver.wait_for(1).await;
    assert!(bench.run(&["db", "backup", "copy.db"]).status.success());
    receiver.release();
    wait_for_delivered(&bench, 1);
    argil.set_status("a1", "TRAINING");
    daemon.wait_for_log("IDLE -> TRAINING");

    let refused = bench.run(&["db", "restore", "copy.db"]);
    assert_eq!(refused.status.code(), Some(75), "{}", stderr(&refused));
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
    assert!(bench.run(&["db", "backup", "copy.db"]).status.success());
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
    let verified = bench.run(&["db", "verify"]);
    assert_eq!(verified.status.code(), Some(65));
    for part in [
        "rows: row 1 of `deliveries`",
        "rows: the history of avatar `a1`",
        "history: of 2 transitions 1",
    ] {
        assert!(stderr(&verified).contains(part), "{part} in {}", stderr(&verified));
    }
    let mut bytes = fs::read(bench.database()).unwrap();
    let start = usize::try_from((page - 1) * 4096).unwrap();
    bytes[start..start + 4096].fill(0xAA);
    fs::write(bench.database(), bytes).unwrap();
    let verified = bench.json(&["db", "verify", "--json"]);
    assert_eq!(
        (&verified["sound"], &verified["findings"][0]["part"]),
        (&false.into(), &"structure".into())
    );

    let started = bench.run(&["run"]);
    assert_eq!(started.status.code(), Some(65), "{}", stderr(&started));
    assert!(stderr(&started).contains("db restore FILE"), "{}", stderr(&started));
    let bad = bench.run(&["db", "backup", "bad.db"]);
    assert_eq!(bad.status.code(), Some(65), "{}", stderr(&bad));
    assert!(!bench.path("bad.db").exists());

    let restored = bench.run(&["db", "restore", "copy.db"]);
    assert_eq!(restored.status.code(), Some(0), "{}", stderr(&restored));
    assert!(stdout(&restored).contains("old database kept as"), "{}", stdout(&restored));
    assert_eq!(bench.run(&["db", "verify"]).status.code(), Some(0));
    let checked = "did not stop cleanly";
    for expected in [true, false] {
        let before = fs::read_to_string(bench.path("daemon.log")).unwrap().len();
        let daemon = bench.start();
        wait_until("the start", || daemon.log()[before..].contains("watching with the database"));
        // The backup was made beside a daemon; the start after that follows a clean end.
        assert_eq!(daemon.log()[before..].contains(checked), expected, "{}", daemon.log());
        assert!(daemon.stop().success());
    }
}

#[test]
fn a_start_after_a_kill_refuses_a_history_that_was_edited() {
    let argil = FakeArgil::start();
    argil.set_status("a1", "TRAINING");
    let bench = Bench::new(Config::new(argil.base_url()).avatar("a1").text());
    let daemon = bench.start();
    daemon.wait_for_log("avatar `a1`: baseline");
    daemon.kill();
    let edited = Connection::open(bench.database()).unwrap();
    edited.execute("UPDATE watches SET status = 'REFUSED'", []).unwrap();
    drop(edited);
    let output = bench.run(&["run"]);
    assert_eq!(output.status.code(), Some(65), "{}", stderr(&output));
    assert!(stderr(&output).contains("its watch is at 1 and REFUSED"), "{}", stderr(&output));
}
