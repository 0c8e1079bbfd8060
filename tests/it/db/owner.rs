//! What root does beside a database of another user: everything it makes there can be used by that
//! user afterwards.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::geteuid;

use crate::harness::argil::FakeArgil;
use crate::harness::config::Config;
use crate::harness::daemon::{Bench, RUN, stderr};

/// A user of this machine that nobody is.
const USER: u32 = 61_843;

/// Everything in the folder, except the log of the daemon, which is the test's.
fn strangers(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let metadata = path.symlink_metadata().unwrap();
        if metadata.is_dir() {
            found.extend(strangers(&path));
        }
        if metadata.uid() != USER && !path.ends_with("daemon.log") {
            found.push(path);
        }
    }
    found
}

#[test]
fn what_root_makes_beside_a_database_is_its_owners() {
    if !geteuid().is_root() {
        println!("only root can be two users: nothing is tried");
        return;
    }
    let argil = FakeArgil::start();
    argil.set_status("a1", "TRAINING");
    let bench = Bench::new(Config::new(argil.base_url()).avatar("a1").text());
    // A copy that the user can reach, wherever this was built.
    let program = bench.path("program");
    fs::copy(crate::harness::daemon::PROGRAM, &program).unwrap();
    let folder = bench.path(".");
    for path in [&folder, &bench.config(), &program] {
        chown(path, Some(USER), Some(USER)).unwrap();
    }
    let as_user = |arguments: &[&str]| {
        let mut command = Command::new(&program);
        command.env_clear().env("AVATAR_WATCH_CONFIG", bench.config()).current_dir(&folder);
        command.uid(USER).gid(USER).args(arguments);
        command
    };
    let none: [PathBuf; 0] = [];

    // Root runs the daemon first, and makes the database.
    let daemon = bench.start();
    daemon.wait_for_log("seen first: TRAINING");
    assert_eq!(strangers(&folder), none, "while root runs it");
    daemon.kill();
    assert_eq!(strangers(&folder), none);
    let daemon = bench.start_by(as_user(&RUN));
    daemon.wait_for_log("was checked, and is sound");
    assert!(daemon.stop().success());

    // Root reads, copies and puts back.
    for by_root in [
        &["db", "verify"][..],
        &["status"],
        &["deliveries"],
        &["db", "backup", "--keep", "2", "backups"],
        &["db", "backup", "copy.db"],
        &["db", "restore", "copy.db"],
    ] {
        let done = bench.run(by_root);
        assert!(done.status.success(), "{by_root:?}: {}", stderr(&done));
        assert_eq!(strangers(&folder), none, "after {by_root:?}");
    }
    let backup = as_user(&["db", "backup", "--keep", "1", "backups"]).output().unwrap();
    assert!(backup.status.success(), "{}", stderr(&backup));
    assert_eq!(fs::read_dir(bench.path("backups")).unwrap().count(), 1);
    fs::remove_file(bench.path("daemon.log")).unwrap();
    let daemon = bench.start_by(as_user(&RUN));
    daemon.wait_for_log("watching with the database");
    assert!(daemon.stop().success());

    // A folder of root's own is not the user's business.
    let roots = tempfile::tempdir().unwrap();
    let file = roots.path().join("copy.db");
    let made = bench.run(&["db", "backup", file.to_str().unwrap()]);
    assert!(made.status.success(), "{}", stderr(&made));
    assert_eq!(fs::metadata(file).unwrap().uid(), 0);
}
