//! Databases that another user altered: other tables, triggers and views, other owners and modes.
//! No command uses them, each reports the problem with a fix, and a running daemon continues when
//! the cause is removed.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rustix::process::Signal;

use super::{check_has, fail, run, start_again, watching, with_dead_channel};
use crate::harness::daemon::{Bench, stderr, stdout, wait_until};
use crate::harness::http::get;
use crate::harness::webhook::{Answer, Receiver};

/// Every write of a transition would last forever.
const ENDLESS: &str = "CREATE TRIGGER endless AFTER INSERT ON transitions BEGIN
    INSERT INTO accounts WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n)
    SELECT x, x FROM n; END";
const NAMED: &str = "was altered: unexpected trigger `endless`";

/// Each command that opens a database.
const COMMANDS: [&[&str]; 14] = [
    &["run"],
    &["check"],
    &["check", "--diff"],
    &["status"],
    &["status", "--json"],
    &["history"],
    &["deliveries"],
    &["deliveries", "show", "dlv_01"],
    &["deliveries", "retry", "--dead"],
    &["channels"],
    &["channels", "pause", "ops"],
    &["db", "backup", "copy.db"],
    &["db", "backup", "--keep", "2", "copies"],
    &["status", "--check"],
];

/// Checks that a command refuses the database with this code, or reports it, and changes nothing.
fn check_refused(bench: &Bench, command: &[&str], code: i32, texts: &[&str]) {
    let code = match *command {
        ["check", ..] => 2,
        ["status", "--check"] => 3,
        _ => code,
    };
    let before = fs::read(bench.database()).unwrap();
    let refused = bench.run(command);
    let said = format!("{}{}", stdout(&refused), stderr(&refused));
    assert_eq!(refused.status.code(), Some(code), "{command:?}: {said}");
    texts.iter().for_each(|text| check_has(&said, text));
    assert_eq!(fs::read(bench.database()).unwrap(), before, "{command:?}");
}

#[test]
fn no_command_uses_a_database_with_a_trigger_in_it() {
    let (_argil, bench, daemon) = watching(with_dead_channel);
    run(&bench, &["db", "backup", "backup.db"]);
    assert!(daemon.stop().success());
    Connection::open(bench.database()).unwrap().execute_batch(ENDLESS).unwrap();
    let texts = [NAMED, "avatar-watch.db` ", "`avatar-watch db restore FILE` replaces"];
    COMMANDS.iter().for_each(|command| check_refused(&bench, command, 65, &texts));
    assert!(!bench.path("copy.db").exists());
    assert_eq!(fs::read_dir(bench.path("copies")).unwrap().count(), 0);

    let said = fail(&bench, &["db", "verify"], 65);
    check_has(&said, "  structure: unexpected trigger `endless`\n");
    fail(&bench, &["db", "restore", "avatar-watch.db", "--database", "new.db"], 65);
    assert!(!bench.path("new.db").exists());

    run(&bench, &["db", "restore", "backup.db"]);
    run(&bench, &["db", "verify"]);
    assert!(start_again(&bench).stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_planted_beside_a_daemon_never_runs_and_observations_wait_until_it_is_removed() {
    let receiver = Receiver::start().await;
    receiver.script([Answer::Hold]);
    let (argil, bench, daemon) = watching(|config| config.webhook("ops", &receiver.url()).page());
    let page = daemon.page();
    wait_until("the daemon to be ready", || get(page, "/readyz").status == 200);
    let beside = Connection::open(bench.database()).unwrap();
    beside.execute_batch(ENDLESS).unwrap();
    argil.set_status("a1", "IDLE");
    daemon.wait_for_log("cannot write avatar changes yet; will retry");
    check_has(&daemon.log(), NAMED);
    let ready = get(page, "/readyz");
    assert_eq!(ready.status, 503, "{}", ready.body);
    check_has(&ready.body, "the database is not writable");
    assert_ne!(get(page, "/api/v1/transitions").status, 200);

    beside.execute_batch("DROP TRIGGER endless").unwrap();
    daemon.wait_for_log("TRAINING -> IDLE");
    wait_until("the daemon to be ready again", || get(page, "/readyz").status == 200);
    assert_eq!(get(page, "/api/v1/transitions").status, 200);
    run(&bench, &["db", "verify"]);

    // With an attempt in flight, which cannot be recorded either.
    receiver.wait_for(1).await;
    beside.execute_batch(ENDLESS).unwrap();
    receiver.release();
    daemon.wait_for_log("cannot write attempt results yet; will retry");
    let before = Instant::now();
    daemon.stop();
    assert!(before.elapsed() < Duration::from_secs(8), "{:?}", before.elapsed());
}

#[test]
fn a_stop_signal_is_handled_while_the_database_is_being_opened() {
    let (_argil, bench, daemon) = watching(with_dead_channel);
    daemon.kill();
    let held = Connection::open(bench.database()).unwrap();
    held.execute_batch("BEGIN IMMEDIATE").unwrap();
    fs::remove_file(bench.path("daemon.log")).unwrap();
    let daemon = bench.start();
    let holder = || fs::read_to_string(bench.path("avatar-watch.db.lock")).unwrap();
    wait_until("the daemon to open it", || holder().trim() == daemon.pid().to_string());
    daemon.signal(Signal::TERM);
    daemon.wait_for_log("stopped while opening the database");
    assert!(daemon.stop().success());
}

/// A page of a table (kind 5) or an index (kind 2) with the same page for all children
/// (<https://www.sqlite.org/fileformat2.html#b_tree_pages>).
fn interior(size: usize, (kind, key): (u8, &[u8]), child: usize) -> Vec<u8> {
    let cell = [&u32::try_from(child).unwrap().to_be_bytes(), key].concat();
    let cells = (size - 12) / (cell.len() + 2) - 1;
    let mut page = vec![0; size];
    put(&mut page, 3, cells);
    put(&mut page, 5, size - cell.len() * cells);
    (0..cells).for_each(|it| put(&mut page, 12 + 2 * it, size - cell.len() * (it + 1)));
    page[0] = kind;
    page[8..12].copy_from_slice(&cell[..4]);
    page[size - cell.len() * cells..].copy_from_slice(&cell.repeat(cells));
    page
}

fn put(page: &mut [u8], offset: usize, number: usize) {
    page[offset..offset + 2].copy_from_slice(&u16::try_from(number).unwrap().to_be_bytes());
}

/// Appends a page to a file, and levels of pages that each refer to the one below many times, so
/// that reading them practically does not end; returns the number of the topmost.
fn append_endless(bytes: &mut Vec<u8>, page: Vec<u8>, cells: (u8, &[u8])) -> usize {
    let size = page.len();
    bytes.extend(page);
    for _ in 0..9 {
        let child = bytes.len() / size;
        bytes.extend(interior(size, cells, child));
    }
    let last = bytes.len() / size;
    bytes[28..32].copy_from_slice(&u32::try_from(last).unwrap().to_be_bytes());
    last
}

/// The page size of a file, the root page of a table or an index, and the bytes.
fn file(database: &Path, name: &str) -> (usize, usize, Vec<u8>) {
    let beside = Connection::open(database).unwrap();
    beside.pragma_update(None, "journal_mode", "DELETE").unwrap();
    let sql = "SELECT rootpage FROM sqlite_schema WHERE name = ?1";
    let root: u32 = beside.query_row(sql, [name], |row| row.get(0)).unwrap();
    let size: u32 = beside.pragma_query_value(None, "page_size", |row| row.get(0)).unwrap();
    drop(beside);
    let whole = fs::read(database).unwrap();
    (usize::try_from(size).unwrap(), usize::try_from(root).unwrap(), whole)
}

/// Makes reading a table or an index of one page endless.
fn make_endless(database: &Path, name: &str) {
    let (size, root, mut bytes) = file(database, name);
    let old = bytes[(root - 1) * size..root * size].to_vec();
    let first = usize::from(u16::from_be_bytes([old[8], old[9]]));
    let key = match old[0] {
        // A rowid; a length, and as many bytes.
        13 => vec![1],
        10 => old[first..=first + usize::from(old[first])].to_vec(),
        other => panic!("`{name}` has more than one page: {other}"),
    };
    let cells = (if old[0] == 13 { 5 } else { 2 }, key.as_slice());
    let top = append_endless(&mut bytes, old, cells);
    let top = bytes[(top - 1) * size..top * size].to_vec();
    bytes[(root - 1) * size..root * size].copy_from_slice(&top);
    fs::write(database, bytes).unwrap();
}

/// Makes reading the schema endless, by repeating the index of a primary key.
fn make_schema_endless(database: &Path) {
    const INDEX: &str = "sqlite_autoindex_channels_1";
    let (size, root, mut bytes) = file(database, INDEX);
    let texts = ["index", INDEX, "channels"];
    let types = texts.iter().map(|text| u8::try_from(13 + 2 * text.len()).unwrap());
    // <https://www.sqlite.org/fileformat2.html#record_format>: a small number, and NULL.
    let record: Vec<u8> = std::iter::once(6).chain(types).chain([1, 0]).collect();
    let root = u8::try_from(root).unwrap();
    let record = [record, texts.concat().into_bytes(), vec![root]].concat();
    let cell = [vec![u8::try_from(record.len()).unwrap(), 127], record].concat();
    let mut leaf = vec![0; size];
    leaf[0] = 13;
    put(&mut leaf, 3, 1);
    put(&mut leaf, 5, size - cell.len());
    put(&mut leaf, 8, size - cell.len());
    leaf[size - cell.len()..].copy_from_slice(&cell);
    // The rightmost child of the first page is read last.
    assert_eq!(bytes[100], 5, "the schema has more than one page");
    let rightmost: [u8; 4] = bytes[108..112].try_into().unwrap();
    let top = append_endless(&mut bytes, leaf, (5, &[1]));
    let at_first = (top - 1) * size + size - 5;
    bytes[at_first..at_first + 4].copy_from_slice(&rightmost);
    bytes[108..112].copy_from_slice(&u32::try_from(top).unwrap().to_be_bytes());
    fs::write(database, bytes).unwrap();
}

#[test]
fn an_endless_schema_is_damage() {
    let (_argil, bench, daemon) = watching(with_dead_channel);
    run(&bench, &["db", "backup", "backup.db"]);
    assert!(daemon.stop().success());
    make_schema_endless(&bench.database());
    for command in [&["run"][..], &["status"], &["db", "verify"]] {
        check_has(&fail(&bench, command, 65), "reading its schema took too long");
    }
    run(&bench, &["db", "restore", "backup.db"]);
    run(&bench, &["db", "verify"]);
}

#[test]
fn endless_rows_are_found_by_the_check_and_do_not_delay_a_stop() {
    let (argil, bench, daemon) = watching(with_dead_channel);
    let config = fs::read_to_string(bench.config()).unwrap();
    let keep = |how_long: &str| {
        bench.configure(&format!("{config}\n[store]\nkeep_deliveries = \"{how_long}\"\n"));
    };
    argil.set_status("a1", "IDLE");
    daemon.wait_for_log("delivery to channel `ops` failed");
    assert!(daemon.stop().success());
    let old = "UPDATE events SET occurred_at = 1;
               UPDATE deliveries SET state = 'cancelled', next_attempt_at = NULL, updated_at = 1";
    Connection::open(bench.database()).unwrap().execute_batch(old).unwrap();
    let whole = fs::read(bench.database()).unwrap();
    for name in ["deliveries", "sqlite_autoindex_deliveries_2"] {
        fs::write(bench.database(), &whole).unwrap();
        for end in ["-wal", "-shm"] {
            drop(fs::remove_file(bench.path(&format!("avatar-watch.db{end}"))));
        }
        make_endless(&bench.database(), name);
        check_has(&fail(&bench, &["db", "verify"], 65), "2nd reference to page");
        fail(&bench, &["db", "backup", "copy.db"], 65);
        assert!(!bench.path("copy.db").exists());
    }
    // No statement of the daemon reads all rows of the table; the retention reads the index.
    keep("forever");
    fs::remove_file(bench.path("daemon.log")).unwrap();
    let daemon = bench.start();
    daemon.wait_for_log("watching with the database");
    let used = daemon.cpu_ticks();
    keep("7d");
    daemon.signal(Signal::HUP);
    wait_until("the daemon to read", || daemon.cpu_ticks() > used + 100);
    let before = Instant::now();
    daemon.stop();
    assert!(before.elapsed() < Duration::from_secs(8), "{:?}", before.elapsed());
}

#[test]
fn a_database_that_others_can_write_is_refused_with_a_fix() {
    let (_argil, bench, daemon) = watching(with_dead_channel);
    run(&bench, &["db", "backup", "backup.db"]);
    assert!(daemon.stop().success());
    let mode = |mode| fs::set_permissions(bench.database(), Permissions::from_mode(mode)).unwrap();
    let restore: &[&str] = &["db", "restore", "backup.db"];
    let check = |expected: &str, help: &str| {
        for command in COMMANDS.into_iter().chain([restore, &["db", "verify"]]) {
            check_refused(&bench, command, 74, &[expected, help]);
        }
    };
    for open in [0o666, 0o602] {
        mode(open);
        check("avatar-watch.db` can be written by everybody", "`chmod go-w ");
    }
    mode(0o600);
    let folder = bench.database().parent().unwrap().to_owned();
    for (open, help) in [(0o777, "`chmod go-w "), (0o1777, "`store.path = ")] {
        fs::set_permissions(&folder, Permissions::from_mode(open)).unwrap();
        check("` can be written by everybody", help);
    }
    fs::set_permissions(&folder, Permissions::from_mode(0o700)).unwrap();
    run(&bench, &["status"]);
}
