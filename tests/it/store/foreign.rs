//! Files that are not a database of avatar-watch: each command describes them, ends with 65, and
//! changes neither them nor their folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use crate::harness::argil::FakeArgil;
use crate::harness::config::Config;
use crate::harness::daemon::{Bench, stderr};

const OURS: &str = "PRAGMA application_id = 1098274657; CREATE TABLE watches(x)";

fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

#[test]
fn a_file_of_another_program_is_described_and_not_changed() {
    let argil = FakeArgil::start();
    let config = Config::new(argil.base_url()).avatar("a1");
    let bench = Bench::new(config.with("\n[store]\npath = \"folder/file.db\"\n").text());
    fs::create_dir(bench.path("folder")).unwrap();
    let file = bench.path("folder/file.db");
    let check = |commands: &[&[&str]], expected: &str| {
        let before = contents(&bench.path("folder"));
        for command in commands {
            let ended = bench.run(command);
            assert_eq!(ended.status.code(), Some(65), "{command:?}: {}", stderr(&ended));
            assert!(stderr(&ended).contains(expected), "{command:?}: {}", stderr(&ended));
            assert_eq!(contents(&bench.path("folder")), before, "{command:?}");
        }
    };
    let read: [&[&str]; 3] = [
        &["db", "verify"],
        &["db", "backup", "copy.db"],
        &["db", "restore", "folder/file.db", "--database", "new.db"],
    ];
    check(&read, "there is no database at `");
    fs::write(&file, "").unwrap();
    check(&read, "is empty: no database was written to it yet");
    fs::write(&file, "a letter to a friend").unwrap();
    check(&read, "file is not a database");

    let made = |sql: &str| {
        fs::remove_file(&file).unwrap();
        Connection::open(&file).unwrap().execute_batch(sql).unwrap();
    };
    let all = [&["run"][..], read[0], read[1], read[2], &["status"], &["deliveries", "--json"]];
    made("CREATE TABLE addresses(x); CREATE TABLE watches(y)");
    let found = "it has application id 0, version 0 and table `addresses`, table `watches`";
    check(&all, found);
    let backup: &[&str] = &["db", "restore", "folder/file.db"];
    check(&[backup], found);
    made("PRAGMA user_version = 7; PRAGMA journal_mode = WAL; CREATE TABLE watches(x)");
    check(&[&["run"]], "it has application id 0, version 7 and table `watches`");
    made(OURS);
    check(&read, "schema version 0 does not exist");
    let before = fs::read(&file).unwrap();
    let started = bench.run(&["run"]);
    assert_eq!(started.status.code(), Some(65), "{}", stderr(&started));
    assert_eq!(fs::read(&file).unwrap(), before);

    // With `--json` it is a finding.
    let verified = bench.json(&["db", "verify", "none.db", "--json"]);
    assert_eq!(
        (&verified["sound"], &verified["findings"][0]["what"]),
        (&false.into(), &"there is no database at `none.db`".into())
    );
    assert!(!bench.path("new.db").exists() && !bench.path("copy.db").exists());
}
