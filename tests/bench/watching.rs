//! What watching costs while nothing changes: the daemon against a bare reqwest loop that asks the
//! same server for the same avatars at the same pace, in the same run.
//!
//! `cargo bench --bench watching` prints CPU per poll, their ratio, memory, and what was written to
//! disk. It measures; it asserts nothing about time.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up has failed")]
#![expect(clippy::print_stdout, reason = "figures are what it is for")]

mod common;

use std::fmt::Write as _;
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use avatar_watch::demo::fake_argil::id_in;
use avatar_watch::demo::fake_server::Response;
use common::{
    Usage, avatar, configure, run_bare_loop_if_asked, serve, spread, start_bare_loop, start_daemon,
    wait_for,
};

fn main() {
    run_bare_loop_if_asked();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let polls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&polls);
    let origin = runtime.block_on(serve(move |request| {
        counted.fetch_add(1, Ordering::Relaxed);
        Response::new(200, avatar(&id_in(&request.path), "TRAINING"))
    }));
    let base_url = format!("{origin}/v1");
    println!("{AVATARS} avatars, each polled every {INTERVAL:?}; {ROUNDS} rounds of {STRETCH:?}");
    let (mut ratios, mut written) = (Vec::new(), 0);
    for round in 1..=ROUNDS {
        let bare = measure(start_bare_loop(&base_url, AVATARS, INTERVAL), &polls);
        let folder = tempfile::tempdir().unwrap();
        let daemon = measure(start_daemon(&configure(folder.path(), &config(&base_url))), &polls);
        let (ours, theirs) = (daemon.cpu_us(), bare.cpu_us());
        println!(
            "round {round}: daemon {ours:.0} us per poll ({} polls, {} KiB resident, {} bytes \
             written), bare loop {theirs:.0} us per poll ({} polls, {} KiB): {:.2} times",
            daemon.polls,
            daemon.usage.resident_kib,
            daemon.usage.written,
            bare.polls,
            bare.usage.resident_kib,
            ours / theirs,
        );
        ratios.push(ours / theirs);
        written += daemon.usage.written;
    }
    let (least, median, most) = spread(ratios);
    println!(
        "{median:.2} ({least:.2} to {most:.2}) times the CPU of a bare loop; {written} bytes \
         written in all"
    );
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
    let mut config = format!(
        "[argil]\napi_key = \"k\"\nbase_url = \"{base_url}\"\nmax_requests_per_second = 10000\n\
         [poll]\ntraining = {{ min = \"{pace}\", max = \"{pace}\" }}\n"
    );
    for number in 0..AVATARS {
        write!(config, "[[avatars]]\nid = \"avatar-{number}\"\n").unwrap();
    }
    config
}

const AVATARS: usize = 1000;
const INTERVAL: Duration = Duration::from_secs(5);
const STRETCH: Duration = Duration::from_secs(20);
const ROUNDS: usize = 5;
