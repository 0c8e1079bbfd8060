//! Root and a database of another user: the daemon of that user can use all files that root
//! creates.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};

use super::{Guest, USER, run};
use crate::harness::argil::FakeArgil;
use crate::harness::config::Config;
use crate::harness::daemon::{Bench, RUN, stderr};

/// The files in the folder that belong to another user, except the log of the test.
fn foreign_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let metadata = path.symlink_metadata().unwrap();
        if metadata.is_dir() {
            found.extend(foreign_files(&path));
        }
        if metadata.uid() != USER && !path.ends_with("daemon.log") {
            found.push(path);
        }
    }
    found
}

#[test]
fn files_that_root_creates_belong_to_the_owner_of_the_folder() {
    let argil = FakeArgil::start();
    argil.set_status("a1", "TRAINING");
    let bench = Bench::new(Config::new(argil.base_url()).avatar("a1").text());
    let Some(guest) = Guest::of(&bench) else { return };
    let folder = bench.path(".");
    for path in [&folder, &bench.config(), &bench.path("program")] {
        chown(path, Some(USER), Some(USER)).unwrap();
    }
    let none: [PathBuf; 0] = [];

    // Root runs the daemon first, and creates the database.
    let daemon = bench.start();
    daemon.wait_for_log("baseline TRAINING");
    assert_eq!(foreign_files(&folder), none, "while root runs it");
    daemon.kill();
    assert_eq!(foreign_files(&folder), none);
    let daemon = bench.start_by(guest.command(&RUN));
    daemon.wait_for_log("was checked and is intact");
    assert!(daemon.stop().success());

    // Root reads, copies and restores.
    for by_root in [
        &["db", "verify"][..],
        &["status"],
        &["deliveries"],
        &["db", "backup", "copy.db"],
        &["db", "verify", "copy.db"],
        &["db", "backup", "--keep", "2", "backups"],
        &["db", "restore", "copy.db"],
    ] {
        run(&bench, by_root);
        assert_eq!(foreign_files(&folder), none, "after {by_root:?}");
    }
    let backup = guest.run(&["db", "backup", "--keep", "1", "backups"]);
    assert!(backup.status.success(), "{}", stderr(&backup));
    fs::remove_file(bench.path("daemon.log")).unwrap();
    let daemon = bench.start_by(guest.command(&RUN));
    daemon.wait_for_log("watching with the database");
    assert!(daemon.stop().success());
}
