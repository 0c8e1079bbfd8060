//! What readers of the page cost, and whether they hold up what is sent: a thousand avatars with a
//! past, the real daemon, a receiver that is up.
//!
//! `cargo bench --bench reading` prints the CPU of one `/` as a multiple of one `/healthz`, which
//! reads nothing; then how long news takes from its detection to its delivery, with a crowd that
//! reads `/` in a loop and without readers. `AVATAR_WATCH_OTHER=PROGRAM` measures another build
//! in the same run, and prints the ratio. It measures; it asserts nothing about time.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up has failed")]
#![expect(clippy::print_stdout, reason = "figures are what it is for")]

mod common;
mod daemon;

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use avatar_watch::demo::fake_argil::id_in;
use avatar_watch::demo::fake_server::{Request, Response};
use common::{OURS, Usage, avatar_entries, configure, other_program, serve, wait_for, webhook};
use daemon::{Daemon, ask};

/// What the fake Argil shows: a status for each avatar, which changes while `moves`.
#[derive(Default)]
struct World {
    moves: AtomicBool,
    polls: Mutex<HashMap<String, usize>>,
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let world = Arc::new(World::default());
    let shown = Arc::clone(&world);
    let base_url = runtime.block_on(serve(move |request| respond(&shown, request)));
    let folder = tempfile::tempdir().unwrap();
    world.moves.store(true, Ordering::SeqCst);
    let daemon = start(OURS, folder.path(), &base_url, "1s");
    wait_for("a past", || daemon.number("avatar_watch_transitions_total{status=\"IDLE\"}") > PAST);
    daemon.stop();
    println!("{AVATARS} avatars, {PAST} of their trainings ended and were notified");
    let other = other_program();
    let costs: Vec<f64> = [Some(OURS), other.as_deref()]
        .into_iter()
        .flatten()
        .map(|program| measure(program, folder.path(), &base_url, &world))
        .collect();
    if let [ours, other] = costs[..] {
        println!("`/` costs {:.2} times what it costs with the other program", ours / other);
    }
}

/// The CPU of one `/`, in seconds; everything else is only printed.
fn measure(program: &str, past: &Path, base_url: &str, world: &World) -> f64 {
    println!("{program}:");
    let folder = tempfile::tempdir().unwrap();
    fs::copy(past.join("avatar-watch.db"), folder.path().join("avatar-watch.db")).unwrap();
    world.moves.store(false, Ordering::SeqCst);
    let daemon = start(program, folder.path(), base_url, "1h");
    let polled = "avatar_watch_polls_total{account=\"argil\",outcome=\"seen\"}";
    wait_for("a poll of all avatars", || daemon.number(polled) >= AVATARS as f64);
    // Transitions of the first polls are notified before the measurement.
    wait_for("silence", || {
        daemon.number("avatar_watch_deliveries_pending{channel=\"ops\"}") == 0.0
    });
    let [page, health] = ["/", "/healthz"].map(|path| cost(&daemon, path));
    println!("  `/`: {:.2} ms of CPU, {:.0} times `/healthz`", page * 1e3, page / health);
    daemon.stop();
    for readers in [0, CROWD] {
        let folder = tempfile::tempdir().unwrap();
        fs::copy(past.join("avatar-watch.db"), folder.path().join("avatar-watch.db")).unwrap();
        let daemon = start(program, folder.path(), base_url, "2s");
        wait_for("a poll of all avatars", || daemon.number(polled) >= AVATARS as f64);
        let before = dwell(&daemon);
        let reading = Arc::new(AtomicBool::new(true));
        let crowd: Vec<_> = (0..readers)
            .map(|_| {
                let (page, reading) = (daemon.page.clone(), Arc::clone(&reading));
                std::thread::spawn(move || {
                    let mut read = 0_u64;
                    while reading.load(Ordering::SeqCst) {
                        read += u64::from(ask(&page, "/").starts_with("HTTP/1.1 200"));
                    }
                    read
                })
            })
            .collect();
        world.moves.store(true, Ordering::SeqCst);
        std::thread::sleep(STRETCH);
        world.moves.store(false, Ordering::SeqCst);
        let after = dwell(&daemon);
        // Before the first delivery there are no buckets.
        let before: Vec<f64> = match before.is_empty() {
            true => vec![0.0; after.len()],
            false => before.into_iter().map(|(_, count)| count).collect(),
        };
        reading.store(false, Ordering::SeqCst);
        let read: u64 = crowd.into_iter().map(|reader| reader.join().unwrap()).sum();
        let notified = after.last().unwrap().1 - before.last().unwrap();
        let within = |share: f64| {
            let bound = before
                .iter()
                .zip(&after)
                .find(|(before, after)| after.1 - **before >= notified * share);
            bound.map_or_else(|| "no bound".to_owned(), |(_, (bound, _))| format!("{bound} s"))
        };
        println!(
            "  {readers} readers, {read} pages: {notified} messages, half in {}, 99 of 100 \
             within {}",
            within(0.5),
            within(0.99)
        );
        daemon.stop();
    }
    page
}

fn start(program: &str, folder: &Path, base_url: &str, pace: &str) -> Daemon {
    let config = format!(
        "[argil]\napi_key = \"k\"\nbase_url = \"{base_url}/v1\"\n\
         max_requests_per_second = 10000\n[poll]\nnot_trained = \"{pace}\"\n\
         settled = \"{pace}\"\ntraining = {{ min = \"{pace}\", max = \"{pace}\" }}\n\
         [web]\nlisten = \"127.0.0.1:0\"\n{}{}",
        webhook("ops", &format!("{base_url}/hook")),
        avatar_entries(AVATARS)
    );
    Daemon::start(program, &configure(folder, &config), folder)
}

/// How many messages were delivered within each bound of seconds.
fn dwell(daemon: &Daemon) -> Vec<(String, f64)> {
    let numbers = daemon.ask("/metrics");
    let of_ops = |line: &str| {
        let rest = line.strip_prefix("avatar_watch_delivery_latency_seconds_bucket{")?.to_owned();
        let bound = rest.split("le=\"").nth(1)?.split('"').next()?.to_owned();
        Some((bound, rest.rsplit(' ').next()?.parse().ok()?))
    };
    numbers.lines().filter_map(of_ops).collect()
}

/// The CPU of one answer, in seconds.
fn cost(daemon: &Daemon, path: &str) -> f64 {
    daemon.ask(path);
    let before = Usage::of(&daemon.child);
    let mut asked = 0;
    let begun = Instant::now();
    while begun.elapsed() < STRETCH {
        assert!(daemon.ask(path).starts_with("HTTP/1.1 200"));
        asked += 1;
    }
    Usage::of(&daemon.child).since(before).cpu.as_secs_f64() / f64::from(asked)
}

/// The fake Argil and the receiver.
fn respond(world: &World, request: &Request) -> Response {
    if request.method == "POST" {
        return Response::new(204, "");
    }
    let id = id_in(&request.path);
    let mut polls = world.polls.lock().unwrap();
    let polled = polls.entry(id.clone()).or_default();
    *polled += usize::from(world.moves.load(Ordering::SeqCst));
    let status = if *polled % 2 == 1 { "TRAINING" } else { "IDLE" };
    let avatar =
        format!(r#"{{"id":"{id}","name":"Jane","status":"{status}","model":"ARGIL_ATOM"}}"#);
    Response::new(200, avatar)
}

const AVATARS: usize = 1000;
/// Trainings that end before anything is measured.
const PAST: f64 = 6000.0;
const CROWD: usize = 30;
const STRETCH: Duration = Duration::from_secs(10);
