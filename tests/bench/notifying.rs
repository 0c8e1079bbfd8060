//! What a notified transition costs, and how soon it is notified: the daemon against a bare reqwest
//! loop that asks the same server for the same avatars at the same pace, in the same run.
//!
//! Each avatar is polled every 5 s for 75 s and leaves TRAINING once within the first 50 s, so that
//! N avatars are N notified transitions. `cargo bench --bench notifying` prints CPU, memory, bytes
//! written and latency for 10, 100, 1,000 and 10,000 avatars; `-- 100 1000` measures those only,
//! `-- --rounds 5` repeats. It measures; it asserts only that each transition is notified once.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up has failed")]
#![expect(clippy::print_stdout, reason = "figures are what it is for")]

mod common;

use std::fmt::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use avatar_watch::demo::fake_argil::id_in;
use avatar_watch::demo::fake_server::{Request, Response};
use common::{
    Usage, avatar, configure, run_bare_loop_if_asked, serve, spread, start_bare_loop, start_daemon,
};
use tokio::runtime::Runtime;

fn main() {
    run_bare_loop_if_asked();
    let numbers: Vec<String> = std::env::args().skip(1).filter(|it| it != "--bench").collect();
    let (mut sizes, mut rounds) = (Vec::new(), 1);
    let mut given = numbers.iter();
    while let Some(argument) = given.next() {
        match argument.as_str() {
            "--rounds" => rounds = given.next().unwrap().parse().unwrap(),
            size => sizes.push(size.parse().unwrap()),
        }
    }
    if sizes.is_empty() {
        sizes = vec![10, 100, 1000, 10_000];
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    for avatars in sizes {
        let measured: Vec<_> = (0..rounds).map(|_| compare(&runtime, avatars)).collect();
        if rounds > 1 {
            let shown = |figure: fn(&Figures) -> f64| {
                let (least, median, most) = spread(measured.iter().map(figure));
                format!("{median:.2} ({least:.2} to {most:.2})")
            };
            println!(
                "{avatars} avatars, median of {rounds} rounds: {} times the CPU of a bare loop; {} ms \
                 of CPU and {} KiB written a notified transition; p99 {} ms",
                shown(|it| it.ratio),
                shown(|it| it.transition_ms),
                shown(|it| it.transition_kib),
                shown(|it| it.p99_ms),
            );
        }
    }
}

struct Figures {
    ratio: f64,
    transition_ms: f64,
    transition_kib: f64,
    p99_ms: f64,
}

/// The avatars as the fake Argil shows them, and when they were notified.
struct World {
    begun: Instant,
    avatars: Mutex<Vec<Seen>>,
}

#[derive(Clone, Default)]
struct Seen {
    polls: usize,
    /// When a response first showed that it left TRAINING.
    left_at: Option<Instant>,
    notified_at: Vec<Instant>,
}

fn compare(runtime: &Runtime, avatars: usize) -> Figures {
    let bare =
        measure(runtime, avatars, |base_url, _| start_bare_loop(base_url, avatars, INTERVAL));
    let daemon = measure(runtime, avatars, |base_url, folder| {
        start_daemon(&configure(folder, &config(base_url, avatars)))
    });
    let notified: Vec<f64> = daemon.seen.iter().map(latency_ms).collect();
    let (_, p50, most) = spread(notified.clone());
    let mut sorted = notified;
    sorted.sort_by(f64::total_cmp);
    let p99 = sorted[(sorted.len() * 99).div_ceil(100) - 1];
    let ratio = daemon.whole.cpu.as_secs_f64() / bare.whole.cpu.as_secs_f64();
    // What polls cost is known from the rest of the time, in which nothing changes.
    let poll_s = daemon.rest.cpu.as_secs_f64() / daemon.rest_polls as f64;
    let busy_s = daemon.busy.cpu.as_secs_f64() - poll_s * daemon.busy_polls as f64;
    let transition_ms = busy_s * 1e3 / avatars as f64;
    let transition_kib = daemon.busy.written as f64 / 1024.0 / avatars as f64;
    println!(
        "{avatars} avatars: {:.0} ms of CPU, bare loop {:.0} ms: {ratio:.2} times; a poll {:.0} us, a \
         notified transition {transition_ms:.2} ms and {transition_kib:.0} KiB written; latency p50 \
         {p50:.1}, p99 {p99:.1}, max {most:.1} ms; {:.0} MiB; polls {} and {}",
        daemon.whole.cpu.as_secs_f64() * 1e3,
        bare.whole.cpu.as_secs_f64() * 1e3,
        poll_s * 1e6,
        daemon.whole.resident_kib as f64 / 1024.0,
        daemon.busy_polls + daemon.rest_polls,
        bare.busy_polls + bare.rest_polls,
    );
    Figures { ratio, transition_ms, transition_kib, p99_ms: p99 }
}

fn latency_ms(seen: &Seen) -> f64 {
    let [notified_at] = seen.notified_at[..] else {
        panic!("notified {} times", seen.notified_at.len())
    };
    notified_at.duration_since(seen.left_at.unwrap()).as_secs_f64() * 1e3
}

struct Measured {
    whole: Usage,
    /// While avatars leave TRAINING.
    busy: Usage,
    busy_polls: usize,
    /// After that.
    rest: Usage,
    rest_polls: usize,
    seen: Vec<Seen>,
}

/// Measures a program from its start.
fn measure(
    runtime: &Runtime,
    avatars: usize,
    start: impl FnOnce(&str, &Path) -> std::process::Child,
) -> Measured {
    let world = Arc::new(World {
        begun: Instant::now(),
        avatars: Mutex::new(vec![Seen::default(); avatars]),
    });
    let shown = Arc::clone(&world);
    let origin = runtime.block_on(serve(move |request| respond(&shown, request)));
    let folder = tempfile::tempdir().unwrap();
    let mut process = start(&format!("{origin}/v1"), folder.path());
    let polls = || world.avatars.lock().unwrap().iter().map(|it| it.polls).sum::<usize>();
    // Baselines are no part of what a transition costs.
    while world.begun.elapsed() < FIRST_LEAVES_AFTER {
        std::thread::sleep(Duration::from_millis(20));
    }
    let (first, first_polls) = (Usage::of(&process), polls());
    let until = FIRST_LEAVES_AFTER + LEAVING + INTERVAL + SLACK;
    std::thread::sleep(until.saturating_sub(world.begun.elapsed()));
    let (middle, middle_polls) = (Usage::of(&process), polls());
    std::thread::sleep(WHOLE.saturating_sub(world.begun.elapsed()));
    let (last, last_polls) = (Usage::of(&process), polls());
    process.kill().unwrap();
    process.wait().unwrap();
    let seen = world.avatars.lock().unwrap().clone();
    Measured {
        whole: last,
        busy: middle.since(first),
        busy_polls: middle_polls - first_polls,
        rest: last.since(middle),
        rest_polls: last_polls - middle_polls,
        seen,
    }
}

fn config(base_url: &str, avatars: usize) -> String {
    let pace = format!("{}s", INTERVAL.as_secs());
    let origin = base_url.trim_end_matches("/v1");
    let mut config = format!(
        "[argil]\napi_key = \"k\"\nbase_url = \"{base_url}\"\nmax_requests_per_second = 10000\n\
         [poll]\nsettled = \"{pace}\"\n\
         training = {{ min = \"{pace}\", max = \"{pace}\" }}\n\
         [web]\nlisten = \"off\"\n[channels.ops]\ntype = \"webhook\"\nurl = \"{origin}/hook\"\n\
         secret = \"whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD\"\n"
    );
    for number in 0..avatars {
        write!(config, "[[avatars]]\nid = \"avatar-{number}\"\n").unwrap();
    }
    config
}

/// The fake Argil and the receiver.
fn respond(world: &World, request: &Request) -> Response {
    let now = Instant::now();
    let mut avatars = world.avatars.lock().unwrap();
    if request.method == "POST" {
        let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
        let id = body["data"]["avatar"]["id"].as_str().unwrap();
        avatars[number(id)].notified_at.push(now);
        return Response::new(204, "");
    }
    let id = id_in(&request.path);
    let count = avatars.len();
    let seen = &mut avatars[number(&id)];
    let leaves_after = FIRST_LEAVES_AFTER + LEAVING.mul_f64(number(&id) as f64 / count as f64);
    let left = world.begun.elapsed() >= leaves_after && seen.polls > 0;
    seen.polls += 1;
    if left {
        seen.left_at.get_or_insert(now);
    }
    Response::new(200, avatar(&id, if left { "IDLE" } else { "TRAINING" }))
}

fn number(id: &str) -> usize {
    id.strip_prefix("avatar-").unwrap().parse().unwrap()
}

const INTERVAL: Duration = Duration::from_secs(5);
const FIRST_LEAVES_AFTER: Duration = Duration::from_secs(6);
const LEAVING: Duration = Duration::from_secs(44);
const SLACK: Duration = Duration::from_secs(1);
const WHOLE: Duration = Duration::from_secs(75);
