//! Files that somebody else had in their hands: other tables, triggers and views, other owners and
//! modes. No command uses them, each says what is wrong and what helps; a daemon that runs goes on
//! when they are gone again.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rustix::process::{Signal, geteuid};

use crate::harness::argil::FakeArgil;
use crate::harness::config::Config;
use crate::harness::daemon::{Bench, Running, stderr, stdout, wait_until};
use crate::harness::http::get;

/// Every write of a transition would last forever.
const ENDLESS: &str = "CREATE TRIGGER endless AFTER INSERT ON transitions BEGIN
    INSERT INTO gaps WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n)
    SELECT x, x, x'', x'' FROM n; END";
const NAMED: &str = "is not as avatar-watch makes it: the trigger `endless` is none of ours";

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
    &["deliveries", "retry", "--failed"],
    &["channels"],
    &["channels", "pause", "ops"],
    &["db", "backup", "copy.db"],
    &["db", "backup", "--keep", "2", "copies"],
    &["status", "--check"],
];

fn watching(listen: bool) -> (FakeArgil, Bench, Running) {
    let argil = FakeArgil::start();
    argil.set_status("a1", "TRAINING");
    let config = Config::new(argil.base_url()).avatar("a1").webhook("ops", "http://127.0.0.1:9/");
    let bench = Bench::new(if listen { config.page() } else { config }.text());
    let daemon = bench.start();
    daemon.wait_for_log("seen first: TRAINING");
    (argil, bench, daemon)
}

#[test]
fn no_command_uses_a_database_with_a_trigger_in_it() {
    let (_argil, bench, daemon) = watching(false);
    assert!(bench.run(&["db", "backup", "backup.db"]).status.success());
    assert!(daemon.stop().success());
    Connection::open(bench.database()).unwrap().execute_batch(ENDLESS).unwrap();
    let before = fs::read(bench.database()).unwrap();
    for command in COMMANDS {
        let refused = bench.run(command);
        let said = format!("{}{}", stdout(&refused), stderr(&refused));
        let code = match *command {
            ["check", ..] => 2,
            ["status", "--check"] => 3,
            _ => 65,
        };
        assert_eq!(refused.status.code(), Some(code), "{command:?}: {said}");
        for text in [NAMED, "avatar-watch.db` ", "`avatar-watch db restore FILE` puts a backup"] {
            assert!(said.contains(text), "{command:?}: `{text}` in {said}");
        }
        assert_eq!(fs::read(bench.database()).unwrap(), before, "{command:?}");
    }
    assert!(!bench.path("copy.db").exists());
    assert_eq!(fs::read_dir(bench.path("copies")).unwrap().count(), 0);

    let verified = bench.run(&["db", "verify"]);
    assert_eq!(verified.status.code(), Some(65));
    let said = stderr(&verified);
    assert!(said.contains("  structure: the trigger `endless` is none of ours\n"), "{said}");
    let refused = bench.run(&["db", "restore", "avatar-watch.db", "--database", "new.db"]);
    assert_eq!(refused.status.code(), Some(65), "{}", stderr(&refused));
    assert!(!bench.path("new.db").exists());

    let restored = bench.run(&["db", "restore", "backup.db"]);
    assert_eq!(restored.status.code(), Some(0), "{}", stderr(&restored));
    assert!(bench.run(&["db", "verify"]).status.success());
    fs::remove_file(bench.path("daemon.log")).unwrap();
    let daemon = bench.start();
    daemon.wait_for_log("watching with the database");
    assert!(daemon.stop().success());
}

#[test]
fn a_trigger_planted_beside_a_daemon_runs_never_and_what_was_seen_is_written_when_it_is_gone() {
    let (argil, bench, daemon) = watching(true);
    let page = daemon.page();
    wait_until("the daemon to be ready", || get(page, "/readyz").status == 200);
    let beside = Connection::open(bench.database()).unwrap();
    beside.execute_batch(ENDLESS).unwrap();
    argil.set_status("a1", "IDLE");
    daemon.wait_for_log("changes of avatars are not written yet, and wait");
    assert!(daemon.log().contains(NAMED), "{}", daemon.log());
    let ready = get(page, "/readyz");
    assert_eq!(ready.status, 503, "{}", ready.body);
    assert!(ready.body.contains("the database cannot be written"), "{}", ready.body);
    assert_ne!(get(page, "/api/v1/transitions").status, 200);

    beside.execute_batch("DROP TRIGGER endless").unwrap();
    daemon.wait_for_log("from TRAINING to IDLE");
    wait_until("the daemon to be ready again", || get(page, "/readyz").status == 200);
    assert_eq!(get(page, "/api/v1/transitions").status, 200);
    assert!(bench.run(&["db", "verify"]).status.success());

    beside.execute_batch(ENDLESS).unwrap();
    argil.set_status("a1", "TRAINING");
    wait_until("the daemon not to be ready", || get(page, "/readyz").status == 503);
    let before = Instant::now();
    daemon.stop();
    assert!(before.elapsed() < Duration::from_secs(10), "{:?}", before.elapsed());
}

#[test]
fn an_order_to_stop_is_followed_while_the_database_is_being_opened() {
    let (_argil, bench, daemon) = watching(false);
    daemon.kill();
    let held = Connection::open(bench.database()).unwrap();
    held.execute_batch("BEGIN IMMEDIATE").unwrap();
    fs::remove_file(bench.path("daemon.log")).unwrap();
    let daemon = bench.start();
    let holder = || fs::read_to_string(bench.path("avatar-watch.db.lock")).unwrap();
    wait_until("the daemon to open it", || holder().trim() == daemon.pid().to_string());
    daemon.signal(Signal::TERM);
    daemon.wait_for_log("stopped while the database was being opened");
    assert!(daemon.stop().success());
}

/// Makes the pages of a table or an index lead to each other in so many ways that its rows have no
/// end: each of some new pages says for each of its children that it is the next one, down to the
/// old rows. <https://www.sqlite.org/fileformat2.html#b_tree_pages>
fn lead_in_circles(database: &Path, name: &str) {
    let root: u32 = {
        let beside = Connection::open(database).unwrap();
        beside.pragma_update(None, "journal_mode", "DELETE").unwrap();
        let sql = "SELECT rootpage FROM sqlite_schema WHERE name = ?1";
        beside.query_row(sql, [name], |row| row.get(0)).unwrap()
    };
    let root = usize::try_from(root).unwrap();
    let mut bytes = fs::read(database).unwrap();
    let number = |two: &[u8]| usize::from(u16::from_be_bytes([two[0], two[1]]));
    let size = number(&bytes[16..]);
    let old = bytes[(root - 1) * size..root * size].to_vec();
    let first = number(&old[8..]);
    let (kind, key) = match old[0] {
        // A rowid.
        13 => (5, vec![1]),
        // A length, and as many bytes.
        10 => (2, old[first..=first + usize::from(old[first])].to_vec()),
        other => panic!("`{name}` has more than one page: {other}"),
    };
    let interior = |child: usize| {
        let cell = [&u32::try_from(child).unwrap().to_be_bytes(), key.as_slice()].concat();
        let cells = (size - 12) / (cell.len() + 2) - 1;
        let mut page = vec![0; size];
        let mut put = |place: usize, number: usize| {
            page[place..place + 2].copy_from_slice(&u16::try_from(number).unwrap().to_be_bytes());
        };
        put(3, cells);
        put(5, size - cell.len() * cells);
        (0..cells).for_each(|it| put(12 + 2 * it, size - cell.len() * (it + 1)));
        page[0] = kind;
        page[8..12].copy_from_slice(&cell[..4]);
        page[size - cell.len() * cells..].copy_from_slice(&cell.repeat(cells));
        page
    };
    bytes.extend(old);
    for _ in 0..8 {
        let child = bytes.len() / size;
        bytes.extend(interior(child));
    }
    let child = bytes.len() / size;
    bytes[(root - 1) * size..root * size].copy_from_slice(&interior(child));
    bytes[28..32].copy_from_slice(&u32::try_from(child).unwrap().to_be_bytes());
    fs::write(database, bytes).unwrap();
}

#[test]
fn rows_without_an_end_are_found_by_the_check_and_hold_up_no_order_to_stop() {
    let argil = FakeArgil::start();
    argil.set_status("a1", "TRAINING");
    let config = Config::new(argil.base_url()).avatar("a1").webhook("ops", "http://127.0.0.1:9/");
    let keep = |how_long: &str| {
        config.clone().with(&format!("\n[store]\nkeep_deliveries = \"{how_long}\"\n"))
    };
    let bench = Bench::new(keep("forever").text());
    let daemon = bench.start();
    daemon.wait_for_log("seen first: TRAINING");
    argil.set_status("a1", "IDLE");
    daemon.wait_for_log("`ops` did not take it");
    assert!(daemon.stop().success());
    let old = "UPDATE events SET occurred_at = 1;
               UPDATE deliveries SET state = 'cancelled', next_attempt_at = NULL, updated_at = 1";
    Connection::open(bench.database()).unwrap().execute_batch(old).unwrap();
    let whole = fs::read(bench.database()).unwrap();
    // The table is read by the start, which takes back open tries; the index by the retention.
    for (name, by_retention) in [("deliveries", false), ("deliveries_event", true)] {
        fs::write(bench.database(), &whole).unwrap();
        for end in ["-wal", "-shm"] {
            drop(fs::remove_file(bench.path(&format!("avatar-watch.db{end}"))));
        }
        lead_in_circles(&bench.database(), name);
        let verified = bench.run(&["db", "verify"]);
        assert_eq!(verified.status.code(), Some(65), "{name}: {}", stderr(&verified));
        assert!(stderr(&verified).contains("2nd reference to page"), "{}", stderr(&verified));

        bench.configure(keep("forever").text());
        fs::remove_file(bench.path("daemon.log")).unwrap();
        let daemon = bench.start();
        if by_retention {
            daemon.wait_for_log("watching with the database");
            bench.configure(keep("7d").text());
            daemon.signal(Signal::HUP);
            daemon.wait_for_log("the config was read again");
        }
        let used = processor_ticks(daemon.pid());
        wait_until("the daemon to be at it", || processor_ticks(daemon.pid()) > used + 100);
        let before = Instant::now();
        daemon.stop();
        assert!(before.elapsed() < Duration::from_secs(8), "{name}: {:?}", before.elapsed());
    }
}

/// Hundredths of a second that a process has used
/// (<https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html>).
fn processor_ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_ascii_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[test]
fn a_database_that_others_own_or_can_write_is_refused_with_what_helps() {
    let (_argil, bench, daemon) = watching(false);
    assert!(bench.run(&["db", "backup", "backup.db"]).status.success());
    assert!(daemon.stop().success());
    let mode = |mode| fs::set_permissions(bench.database(), Permissions::from_mode(mode)).unwrap();
    let restore: &[&str] = &["db", "restore", "backup.db"];
    let check = |expected: &str, help: &str| {
        let before = fs::read(bench.database()).unwrap();
        for command in COMMANDS.into_iter().chain([restore, &["db", "verify"]]) {
            let code = match *command {
                ["check", ..] => 2,
                ["status", "--check"] => 3,
                _ => 74,
            };
            let refused = bench.run(command);
            let said = format!("{}{}", stdout(&refused), stderr(&refused));
            assert_eq!(refused.status.code(), Some(code), "{command:?}: {said}");
            assert!(said.contains(expected), "{command:?}: {said}");
            assert!(said.contains(help), "{command:?}: {said}");
            assert_eq!(fs::read(bench.database()).unwrap(), before, "{command:?}");
        }
    };
    for open in [0o666, 0o602] {
        mode(open);
        check("avatar-watch.db` can be written by everybody", "`chmod go-w ");
    }
    mode(0o600);
    if geteuid().is_root() {
        // In a folder of root's own nobody else can have put it there.
        let folder = bench.database().parent().unwrap().to_owned();
        fs::set_permissions(&folder, Permissions::from_mode(0o1777)).unwrap();
        chown(bench.database(), Some(61_846), None).unwrap();
        check("avatar-watch.db` belongs to user 61846, not to root", "`chown root ");
        chown(bench.database(), Some(0), None).unwrap();
        fs::set_permissions(&folder, Permissions::from_mode(0o700)).unwrap();
    }
    assert!(bench.run(&["status"]).status.success());
}
