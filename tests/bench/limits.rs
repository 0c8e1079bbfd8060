//! What this machine can do, without the daemon: requests of a bare reqwest loop, and commits of
//! SQLite as the store makes them. `cargo bench --bench limits`.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up has failed")]
#![expect(clippy::print_stdout, reason = "figures are what it is for")]

mod common;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use common::{run_bare_loop_if_asked, serve_avatars, shown, start_bare_loop, wait_for};
use rusqlite::Connection;

fn main() {
    run_bare_loop_if_asked();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (base_url, asked) = serve_avatars(&runtime, "TRAINING");
    let requests = (0..ROUNDS).map(|_| {
        // An interval of a microsecond: as fast as it can, one request after the other.
        let mut bare = start_bare_loop(&base_url, 1, Duration::from_micros(1));
        let before = asked.load(Ordering::Relaxed);
        wait_for("requests", || asked.load(Ordering::Relaxed) > before + 100);
        let (before, begun) = (asked.load(Ordering::Relaxed), Instant::now());
        std::thread::sleep(STRETCH);
        let rate = (asked.load(Ordering::Relaxed) - before) as f64 / begun.elapsed().as_secs_f64();
        bare.kill().unwrap();
        bare.wait().unwrap();
        rate
    });
    println!("limits: {} requests a second of a bare loop", shown(requests));
    for rows in [1, 100] {
        let commits = (0..ROUNDS).map(|_| commits(rows));
        println!("limits: {} commits a second of {rows} rows in SQLite", shown(commits));
    }
}

/// Commits a second, each of that many rows, with a write-ahead log and a sync each.
fn commits(rows: usize) -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let connection = Connection::open(folder.path().join("limits.db")).unwrap();
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
             CREATE TABLE t(seq INTEGER PRIMARY KEY, body BLOB) STRICT",
        )
        .unwrap();
    let body = [b'x'; 1000];
    let (begun, mut commits) = (Instant::now(), 0);
    while begun.elapsed() < STRETCH {
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        let mut insert = connection.prepare_cached("INSERT INTO t(body) VALUES(?1)").unwrap();
        (0..rows).for_each(|_| {
            insert.execute([&body]).unwrap();
        });
        drop(insert);
        connection.execute_batch("COMMIT").unwrap();
        commits += 1;
    }
    f64::from(commits) / begun.elapsed().as_secs_f64()
}

const STRETCH: Duration = Duration::from_secs(3);
const ROUNDS: usize = 5;
