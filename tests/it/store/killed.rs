//! `db backup` and `db restore`, killed during their work: the next one removes the stale copy, the
//! copy of a running process stays, and the database is always complete.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use rusqlite::Connection;
use rustix::process::{Pid, Signal, kill_process};

use super::{run, watching};
use crate::harness::daemon::{Bench, stderr, wait_until};

/// A database of that many rows of 2,000 bytes, without a daemon.
fn big(rows: u32) -> Bench {
    let (_argil, bench, daemon) = watching(|config| config);
    assert!(daemon.stop().success());
    fill(&bench, rows);
    bench
}

/// Adds rows.
fn fill(bench: &Bench, rows: u32) {
    let database = Connection::open(bench.database()).unwrap();
    let sql = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < ?1)
               INSERT INTO unrecognized(avatar_id, status, reported_at)
               SELECT 'x', hex(randomblob(1000)), 1 FROM n";
    database.execute(sql, [rows]).unwrap();
    database.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
}

fn rows(bench: &Bench) -> u32 {
    let database = Connection::open(bench.database()).unwrap();
    database.query_row("SELECT count(*) FROM unrecognized", [], |row| row.get(0)).unwrap()
}

fn unfinished(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let is_unfinished = |path: &PathBuf| {
        path.file_name().unwrap().to_str().unwrap().starts_with(".avatar-watch-unfinished-")
    };
    entries.filter(is_unfinished).collect()
}

fn start(bench: &Bench, arguments: &[&str]) -> Child {
    bench.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Waits until another copy is in progress.
fn begun(folder: &Path, before: &[PathBuf]) -> PathBuf {
    let mut found = None;
    wait_until("an unfinished copy", || {
        let has_bytes = |it: &PathBuf| fs::metadata(it).is_ok_and(|file| file.len() > 0);
        let is_copy = |it: &PathBuf| it.extension().is_some_and(|end| end == "db");
        let mut new = unfinished(folder).into_iter().filter(|it| !before.contains(it));
        found = new.find(|it| is_copy(it) && has_bytes(it));
        found.is_some()
    });
    found.unwrap()
}

/// Kills a command during its copy, which it leaves.
fn killed_during(bench: &Bench, arguments: &[&str]) -> PathBuf {
    let mut killed = start(bench, arguments);
    let left = begun(&bench.path("."), &[]);
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert!(left.exists());
    left
}

#[test]
fn a_backup_removes_stale_copies_and_keeps_those_in_progress() {
    let bench = big(30_000);
    let folder = bench.path(".");
    let left = killed_during(&bench, &["db", "backup", "first.db"]);
    assert!(!bench.path("first.db").exists());

    let mut alive = start(&bench, &["db", "backup", "second.db"]);
    let pid = Pid::from_raw(i32::try_from(alive.id()).unwrap()).unwrap();
    let held = begun(&folder, std::slice::from_ref(&left));
    kill_process(pid, Signal::STOP).unwrap();
    assert!(!left.exists(), "the stale copy, without `--keep`");
    run(&bench, &["db", "backup", "third.db"]);
    assert!(unfinished(&folder).contains(&held), "the copy in progress");
    kill_process(pid, Signal::CONT).unwrap();
    assert!(alive.wait().unwrap().success());
    assert!(unfinished(&folder).is_empty());
    for copy in ["second.db", "third.db"] {
        run(&bench, &["db", "verify", copy]);
    }
}

#[test]
fn a_restore_that_is_killed_leaves_the_old_database_or_the_new_one() {
    let bench = big(3_000);
    let folder = bench.path(".");
    run(&bench, &["db", "backup", "copy.db"]);
    fill(&bench, 1);
    killed_during(&bench, &["db", "restore", "copy.db"]);
    assert_eq!(rows(&bench), 3_001);

    let mut seen = [false; 2];
    for kill in 0..200_u64 {
        let mut restore = start(&bench, &["db", "restore", "copy.db"]);
        // After another delay each time.
        std::thread::sleep(Duration::from_millis(kill * 20));
        // It may have ended.
        drop(restore.kill());
        restore.wait().unwrap();
        let verified = bench.run(&["db", "verify"]);
        assert!(verified.status.success(), "kill {kill}: {}", stderr(&verified));
        let is_new = rows(&bench) == 3_000;
        assert!(is_new || rows(&bench) == 3_001, "kill {kill}: {} rows", rows(&bench));
        seen[usize::from(is_new)] = true;
        if is_new {
            break;
        }
    }
    assert_eq!(seen, [true, true], "killed before and after the change");
    run(&bench, &["db", "restore", "copy.db"]);
    assert!(unfinished(&folder).is_empty());
}
