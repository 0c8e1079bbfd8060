//! Readers: create no files, need no write access, and never see a part of a write.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::thread;

use super::{Guest, USER, check_has, run, start_again, watching, with_dead_channel};
use crate::harness::argil::FakeArgil;
use crate::harness::daemon::{Bench, Running, stderr, stdout};

const READING: [&[&str]; 8] = [
    &["status"],
    &["status", "--json"],
    &["history"],
    &["deliveries"],
    &["channels"],
    &["db", "verify"],
    &["check", "--diff"],
    &["completions", "bash"],
];

/// The files of a database, with all attributes that a change would affect.
type Files = BTreeMap<String, (u64, u32, u32, u64, i64, i64)>;

fn files(folder: &Path) -> Files {
    let described = fs::read_dir(folder).unwrap().map(|entry| {
        let path = entry.unwrap().path();
        let it = fs::metadata(&path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        (name, (it.ino(), it.uid(), it.mode(), it.size(), it.mtime(), it.mtime_nsec()))
    });
    described.collect()
}

/// A daemon after its first poll, with a database in its own folder.
fn watched() -> (FakeArgil, Bench, Running) {
    let store = "\n[store]\npath = \"state/a.db\"\n";
    let (argil, bench, daemon) = watching(|config| with_dead_channel(config).with(store));
    mode(&bench.path("state"), 0o755);
    argil.set_status("a1", "IDLE");
    daemon.wait_for_log("TRAINING -> IDLE");
    (argil, bench, daemon)
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

impl Guest<'_> {
    /// The status of the avatar, and whether the daemon runs.
    fn sees(&self) -> (String, bool) {
        let seen = self.run(&["status", "--json"]);
        assert!(seen.status.success(), "{}", stderr(&seen));
        let seen: serde_json::Value = serde_json::from_str(&stdout(&seen)).unwrap();
        let status = seen["avatars"][0]["status"].as_str().unwrap().to_owned();
        (status, seen["daemon"]["running"].as_bool().unwrap())
    }

    /// Runs all commands that read; the result of [`Self::sees`].
    fn reads_all(&self) -> (String, bool) {
        for command in READING.iter().filter(|it| it[0] != "check") {
            let done = self.run(command);
            assert!(done.status.success(), "{command:?}: {}", stderr(&done));
        }
        self.sees()
    }
}

#[test]
fn reading_changes_nothing_and_leaves_nothing_behind() {
    let (_argil, bench, daemon) = watched();
    let state = bench.path("state");
    let check = |what: &str| {
        let before = files(&state);
        for command in READING {
            run(&bench, command);
            // The index of a log is rebuilt by any process.
            let kept = |mut files: Files| {
                files.remove("a.db-shm");
                files
            };
            assert_eq!(kept(files(&state)), kept(before.clone()), "{what}: {command:?}");
            assert_eq!(files(&state).len(), before.len(), "{what}: {command:?}");
        }
    };
    daemon.kill();
    assert!(state.join("a.db-wal").exists());
    check("after a kill");
    fs::remove_file(state.join("a.db-shm")).unwrap();
    check("with a log that has no index");
    check_has(&run(&bench, &["history"]), "IDLE");
    let daemon = start_again(&bench);
    assert!(daemon.stop().success());
    assert_eq!(files(&state).keys().collect::<Vec<_>>(), ["a.db", "a.db.lock"]);
    check("after a clean end");
    fs::write(state.join("a.db-wal"), "").unwrap();
    check("with an empty log");
}

#[test]
fn a_user_with_read_access_reads_whatever_state_the_daemon_left() {
    let (_argil, bench, daemon) = watched();
    let Some(guest) = Guest::of(&bench) else { return };
    assert!(daemon.stop().success());
    let state = bench.path("state");
    mode(&state, 0o755);
    mode(&state.join("a.db"), 0o644);
    let idle = |running| ("IDLE".to_owned(), running);
    assert_eq!(guest.reads_all(), idle(false), "after a clean end");
    let daemon = start_again(&bench);
    assert_eq!(guest.reads_all(), idle(true), "beside the daemon");

    // An unreadable file is reported.
    let check = |name: &str| {
        mode(&state.join(name), 0o600);
        let refused = guest.run(&["status", "--check"]);
        assert_eq!(refused.status.code(), Some(3));
        let said = stdout(&refused);
        check_has(&said, &format!("{name}` cannot be read by user {USER}"));
        check_has(&said, "belongs to user `root`, group 0, with mode 0600");
        check_has(&stderr(&guest.run(&["history"])), "help: run the command as user `root`");
        mode(&state.join(name), 0o644);
    };
    ["a.db", "a.db-wal", "a.db-shm"].iter().for_each(|name| check(name));
    // The holder of the lock is known without reading it.
    mode(&state.join("a.db.lock"), 0o600);
    assert_eq!(guest.sees(), idle(true));
    mode(&state, 0o700);
    check_has(&stderr(&guest.run(&["history"])), "state` cannot be entered by user 61844");
    mode(&state, 0o755);

    daemon.kill();
    assert_eq!(guest.reads_all(), idle(false), "after a kill");
    fs::remove_file(state.join("a.db-shm")).unwrap();
    assert_eq!(guest.reads_all(), idle(false), "with a log that has no index");
    let before = files(&state);
    assert_eq!(guest.reads_all(), idle(false));
    let refused = guest.run(&["channels", "pause", "ops"]);
    assert_eq!(refused.status.code(), Some(74));
    check_has(&stderr(&refused), "a.db` cannot be opened for writing by user 61844");
    assert_eq!(files(&state), before);
    let daemon = start_again(&bench);
    assert!(daemon.stop().success());
    let before = files(&state);
    assert_eq!(guest.reads_all(), idle(false));
    assert_eq!(files(&state), before);
}

#[test]
fn a_file_of_another_user_that_prevents_a_start_is_reported() {
    let (_argil, bench, daemon) = watched();
    let Some(guest) = Guest::of(&bench) else { return };
    assert!(daemon.stop().success());
    let state = bench.path("state");
    for path in [&state, &state.join("a.db"), &state.join("a.db.lock")] {
        chown(path, Some(USER), Some(USER)).unwrap();
    }
    let check = |name: &str, lay: &dyn Fn(&Path), expected: &[&str]| {
        let path = state.join(name);
        let kept = bench.path("kept");
        drop(fs::rename(&path, &kept));
        lay(&path);
        for command in ["run", "check"] {
            let refused = guest.run(&[command]);
            let code = if command == "run" { 74 } else { 2 };
            let said = stderr(&refused);
            assert_eq!(refused.status.code(), Some(code), "{said}");
            let named = format!("{name}` ");
            [named.as_str(), "help: "].iter().chain(expected).for_each(|it| check_has(&said, it));
        }
        drop(fs::remove_file(&path));
        drop(fs::rename(&kept, &path));
    };
    let of_root = |path: &Path| {
        fs::write(path, "").unwrap();
        mode(path, 0o600);
    };
    for name in ["a.db-wal", "a.db-shm", "a.db.lock"] {
        let expected =
            ["belongs to user `root`", "with mode 0600", &format!("as root: `chown {USER} ")];
        check(name, &of_root, &expected);
    }
    let link = |path: &Path| std::os::unix::fs::symlink(bench.path("elsewhere"), path).unwrap();
    check("a.db-wal", &link, &["is a link", "`mv "]);
    chown(&state, Some(0), Some(0)).unwrap();
    let refused = guest.run(&["check"]);
    assert_eq!(refused.status.code(), Some(2));
    check_has(&stderr(&refused), "state` cannot be written to by user 61844");
    let none: [PathBuf; 0] = [];
    let beside = fs::read_dir(bench.path(".")).unwrap().map(|it| it.unwrap().path());
    let left: Vec<_> = beside.filter(|it| it.to_str().unwrap().contains("unfinished")).collect();
    assert_eq!(left, none);
}

#[test]
fn a_reader_sees_each_concurrent_write_completely() {
    let (_argil, bench, daemon) = watched();
    assert!(daemon.stop().success());
    let state = bench.path("state");
    let before = files(&state);
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for turn in 0..60 {
                let (switch, state) = [("pause", "paused"), ("resume", "active")][turn % 2];
                run(&bench, &["channels", switch, "ops"]);
                // An acknowledged write is visible from now on.
                let seen = bench.json(&["channels", "--json"]);
                assert_eq!(seen[0]["state"], state, "in turn {turn}");
            }
        });
        while !writer.is_finished() {
            run(&bench, &["db", "verify"]);
        }
    });
    // A process that ends while another one reads leaves the log to that one.
    run(&bench, &["channels", "pause", "ops"]);
    assert_eq!(
        files(&state).keys().collect::<Vec<_>>(),
        before.keys().collect::<Vec<_>>(),
        "and nothing is left"
    );
}
