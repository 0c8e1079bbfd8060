//! How fast all avatars are seen for the first time, and how fast a change of all of them at once
//! is recorded.
//!
//! `cargo bench --bench sweeping` prints both as avatars a second, for 10,000, 30,000 and 100,000
//! avatars; `-- 10000` measures that only. The figures should not depend on the number.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up has failed")]
#![expect(clippy::print_stdout, reason = "figures are what it is for")]

mod common;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use avatar_watch::demo::fake_argil::id_in;
use avatar_watch::demo::fake_server::Response;
use common::{OURS, Usage, avatar, avatar_entries, configure, serve, start_daemon, wait_for};
use rusqlite::{Connection, OpenFlags};
use tokio::runtime::Runtime;

fn main() {
    let numbers = std::env::args().skip(1).filter(|it| it != "--bench");
    let mut sizes: Vec<usize> = numbers.map(|it| it.parse().unwrap()).collect();
    if sizes.is_empty() {
        sizes = vec![10_000, 30_000, 100_000];
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    sizes.into_iter().for_each(|avatars| measure(&runtime, avatars));
}

fn measure(runtime: &Runtime, avatars: usize) {
    let left = Arc::new(AtomicBool::new(false));
    let first: Arc<Mutex<Option<Instant>>> = Arc::default();
    let (has_left, asked) = (Arc::clone(&left), Arc::clone(&first));
    let origin = runtime.block_on(serve(move |request| {
        asked.lock().unwrap().get_or_insert_with(Instant::now);
        let status = if has_left.load(Ordering::SeqCst) { "IDLE" } else { "TRAINING" };
        Response::new(200, avatar(&id_in(&request.path), status))
    }));
    let folder = tempfile::tempdir().unwrap();
    let config = format!(
        "[argil]\napi_key = \"k\"\nbase_url = \"{origin}/v1\"\nmax_requests_per_second = 10000\n\
         [poll]\ntraining = {{ min = \"10s\", max = \"10s\" }}\n[web]\nlisten = \"off\"\n{}",
        avatar_entries(avatars)
    );
    let path = configure(folder.path(), &config);
    let mut daemon = start_daemon(OURS, &path);
    wait_for("a poll", || first.lock().unwrap().is_some());
    let begun = first.lock().unwrap().unwrap();
    wait_for("all avatars", || count(folder.path(), "TRAINING") == avatars);
    let seen = avatars as f64 / begun.elapsed().as_secs_f64();
    // They are due in the order of their first polls, 10 s after those.
    left.store(true, Ordering::SeqCst);
    wait_for("a change", || count(folder.path(), "IDLE") > 0);
    let begun = Instant::now();
    wait_for("all changes", || count(folder.path(), "IDLE") == avatars);
    let changed = avatars as f64 / begun.elapsed().as_secs_f64();
    let resident = Usage::of(&daemon).resident_kib / 1024;
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    println!(
        "sweeping, {avatars} avatars: {seen:.0} a second are seen first, {changed:.0} changes a \
         second recorded; {resident} MiB"
    );
}

/// The avatars with this status in the database.
fn count(folder: &Path, status: &str) -> usize {
    let path = folder.join("avatar-watch.db");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    let Ok(connection) = Connection::open_with_flags(path, flags) else { return 0 };
    let sql = "SELECT count(*) FROM watches WHERE status = ?1";
    connection.query_row(sql, [status], |row| row.get(0)).unwrap_or(0)
}
