//! What watching costs while nothing changes: the daemon against a bare reqwest loop that asks the
//! same server for the same avatars at the same pace, in the same run.
//!
//! `cargo bench --bench watching` prints CPU per poll, their ratio, memory, and what was written to
//! disk. It measures; it asserts nothing about time.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up has failed")]
#![expect(clippy::print_stdout, reason = "figures are what it is for")]

mod common;

use std::process::Child;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::{
    OURS, Usage, avatar_entries, configure, other_program, run_bare_loop_if_asked, serve_avatars,
    shown, start_bare_loop, start_daemon, wait_for,
};

fn main() {
    run_bare_loop_if_asked();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (base_url, polls) = serve_avatars(&runtime, "TRAINING");
    println!("{AVATARS} avatars, each polled every {INTERVAL:?}; {ROUNDS} rounds of {STRETCH:?}");
    let other = other_program();
    let (mut ratios, mut pairs, mut written) = (Vec::new(), Vec::new(), 0);
    for _ in 0..ROUNDS {
        let bare = measure(start_bare_loop(&base_url, AVATARS, INTERVAL), &polls);
        let daemon = measure_daemon(OURS, &base_url, &polls);
        println!(
            "daemon: {:.0} us of CPU a poll, {:.1} % of a core, {:.1} MiB, {} bytes written; bare \
             loop: {:.0} us",
            daemon.cpu_us(),
            daemon.usage.cpu.as_secs_f64() / STRETCH.as_secs_f64() * 100.0,
            daemon.usage.resident_kib as f64 / 1024.0,
            daemon.usage.written,
            bare.cpu_us(),
        );
        ratios.push(daemon.cpu_us() / bare.cpu_us());
        written += daemon.usage.written;
        if let Some(other) = &other {
            pairs.push(daemon.cpu_us() / measure_daemon(other, &base_url, &polls).cpu_us());
        }
    }
    println!(
        "watching, {AVATARS} avatars: {} times the CPU of a bare loop; {written} bytes written",
        shown(ratios)
    );
    if !pairs.is_empty() {
        println!("a poll costs {} times what it costs with the other program", shown(pairs));
    }
}

fn measure_daemon(program: &str, base_url: &str, polls: &AtomicUsize) -> Stretch {
    let folder = tempfile::tempdir().unwrap();
    measure(start_daemon(program, &configure(folder.path(), &config(base_url))), polls)
}

/// One measured stretch of one program.
struct Stretch {
    usage: Usage,
    polls: usize,
}

impl Stretch {
    fn cpu_us(&self) -> f64 {
        self.usage.cpu.as_secs_f64() * 1e6 / self.polls as f64
    }
}

/// Lets a program warm up, then measures it for a stretch, then ends it.
fn measure(mut process: Child, polls: &AtomicUsize) -> Stretch {
    let warm = polls.load(Ordering::Relaxed) + 2 * AVATARS;
    wait_for("polls", || polls.load(Ordering::Relaxed) >= warm);
    let (before, seen) = (Usage::of(&process), polls.load(Ordering::Relaxed));
    std::thread::sleep(STRETCH);
    let usage = Usage::of(&process).since(before);
    let polls = polls.load(Ordering::Relaxed) - seen;
    process.kill().unwrap();
    process.wait().unwrap();
    Stretch { usage, polls }
}

fn config(base_url: &str) -> String {
    let pace = format!("{}ms", INTERVAL.as_millis());
    format!(
        "[argil]\napi_key = \"k\"\nbase_url = \"{base_url}\"\nmax_requests_per_second = 10000\n\
         [poll]\ntraining = {{ min = \"{pace}\", max = \"{pace}\" }}\n{}",
        avatar_entries(AVATARS)
    )
}

const AVATARS: usize = 1000;
const INTERVAL: Duration = Duration::from_secs(5);
const STRETCH: Duration = Duration::from_secs(20);
const ROUNDS: usize = 5;
