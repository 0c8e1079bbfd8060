//! Rows with extreme numbers and timestamps: no command and no daemon panics on one.

use std::fs;
use std::path::Path;

use rusqlite::Connection;
use rustix::process::Signal;

use super::{watching, with_dead_channel};
use crate::harness::daemon::{stderr, wait_until};

const COMMANDS: [&[&str]; 7] = [
    &["status"],
    &["status", "--json"],
    &["history", "--json"],
    &["deliveries"],
    &["channels"],
    &["channels", "pause", "ops"],
    &["db", "verify"],
];

/// Sets every number of a table, as far as its constraints permit; returns whether it has a row.
fn set_all(database: &Path, table: &str, number: i64) -> bool {
    let beside = Connection::open(database).unwrap();
    beside.pragma_update(None, "foreign_keys", false).unwrap();
    let columns = "SELECT name FROM pragma_table_info(?1) WHERE type = 'INTEGER'";
    let mut columns = beside.prepare(columns).unwrap();
    let columns = columns.query_map([table], |row| row.get::<_, String>(0)).unwrap();
    for column in columns.map(Result::unwrap) {
        let sql = format!("UPDATE OR IGNORE {table} SET {column} = ?1");
        drop(beside.execute(&sql, [number]));
    }
    beside.query_row(&format!("SELECT count(*) > 0 FROM {table}"), [], |row| row.get(0)).unwrap()
}

#[test]
fn no_number_in_a_row_makes_a_command_or_the_daemon_panic() {
    let (argil, bench, daemon) =
        watching(|config| with_dead_channel(config).with("operator = true\n"));
    let config = fs::read_to_string(bench.config()).unwrap();
    argil.set_status("a1", "IDLE");
    daemon.wait_for_log("delivery to channel `ops` failed");
    bench.configure("nonsense");
    daemon.signal(Signal::HUP);
    daemon.wait_for_log("config.rejected firing");
    assert!(daemon.stop().success());
    bench.configure(&config);
    let whole = fs::read(bench.database()).unwrap();
    let tables = [
        "watches",
        "transitions",
        "events",
        "channels",
        "deliveries",
        "attempts",
        "conditions",
        "sqlite_sequence",
    ];
    for table in tables {
        for number in [i64::MIN, -1, i64::MAX] {
            for end in ["-wal", "-shm"] {
                drop(fs::remove_file(bench.path(&format!("avatar-watch.db{end}"))));
            }
            fs::write(bench.database(), &whole).unwrap();
            assert!(set_all(&bench.database(), table, number), "`{table}` is empty");
            for command in COMMANDS {
                let done = bench.run(command);
                let code = done.status.code();
                let said = stderr(&done);
                assert!([0, 1, 65, 74].map(Some).contains(&code), "{table} {number}: {said}");
            }
            fs::remove_file(bench.path("daemon.log")).unwrap();
            let mut daemon = bench.start();
            wait_until("the daemon to watch, or to end", || {
                let log = daemon.log();
                log.contains("polled avatar \"avatar a1\"") || log.contains("avatar-watch: ")
            });
            daemon.signal(Signal::TERM);
            let code = daemon.wait().code();
            let log = daemon.log();
            assert!([0, 65, 74].map(Some).contains(&code), "{table} {number}: {code:?} {log}");
            assert!(!log.contains("bug"), "{table} {number}: {log}");
        }
    }
}
