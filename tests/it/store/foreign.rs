//! Files that are not a database of avatar-watch: each command describes them, ends with 65, and
//! changes neither them nor their folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::{check_has, fail};
use crate::harness::argil::FakeArgil;
use crate::harness::config::Config;
use crate::harness::daemon::Bench;

/// A name that is not a URI.
const FILE: &str = "folder/odd 50%?#.db";
const OURS: &str = "PRAGMA application_id = 1098274657; CREATE TABLE watches(x)";

fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

#[test]
fn a_file_of_another_program_is_described_and_not_changed() {
    let argil = FakeArgil::start();
    let config = Config::new(argil.base_url()).avatar("a1");
    let bench = Bench::new(config.with(&format!("\n[store]\npath = \"{FILE}\"\n")).text());
    fs::create_dir(bench.path("folder")).unwrap();
    let file = bench.path(FILE);
    let check = |commands: &[&[&str]], expected: &str| {
        let before = contents(&bench.path("folder"));
        for command in commands {
            check_has(&fail(&bench, command, 65), expected);
            assert_eq!(contents(&bench.path("folder")), before, "{command:?}");
        }
    };
    let read: [&[&str]; 3] = [
        &["db", "verify"],
        &["db", "backup", "copy.db"],
        &["db", "restore", FILE, "--database", "new.db"],
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
    let write: [&[&str]; 3] =
        [&["run"], &["db", "restore", FILE], &["deliveries", "retry", "--dead"]];
    let all = [&read[..], &write, &[&["status"], &["deliveries", "--json"]]].concat();
    let with_id = "PRAGMA application_id = 5; CREATE TABLE a(x); DROP TABLE a";
    for (sql, expected) in [
        (
            "CREATE TABLE addresses(x); CREATE INDEX b ON addresses(x); CREATE TABLE watches(y);
             CREATE TABLE d(x)",
            "it has application id 0, version 0 and table `addresses`, index `b`, table `watches`, \
             and 1 more",
        ),
        ("CREATE TABLE watches(x)", "version 0 and table `watches`"),
        (with_id, "it has application id 5, version 0 and no tables"),
        ("PRAGMA user_version = 5", "version 5 and no tables"),
    ] {
        made(sql);
        check(&all, expected);
    }
    made("PRAGMA user_version = 7; PRAGMA journal_mode = WAL; CREATE TABLE watches(x)");
    check(&[&["run"]], "it has application id 0, version 7 and table `watches`");
    made(OURS);
    check(&read, "schema version 0 does not exist");
    let before = fs::read(&file).unwrap();
    fail(&bench, &["run"], 65);
    assert_eq!(fs::read(&file).unwrap(), before);

    // With `--json` it is a finding.
    let verified = bench.json(&["db", "verify", "none.db", "--json"]);
    assert_eq!(
        (&verified["sound"], &verified["findings"][0]["what"]),
        (&false.into(), &"there is no database at `none.db`".into())
    );
    assert!(!bench.path("new.db").exists() && !bench.path("copy.db").exists());
}
