//! What watching costs: the daemon against a bare reqwest loop that asks the same server for the
//! same avatars at the same pace, in the same run.
//!
//! `cargo bench` prints CPU per poll, their ratio, memory, and what was written to disk while
//! nothing changed. It measures; it asserts nothing about time.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up has failed")]
#![expect(clippy::print_stdout, reason = "figures are what it is for")]

mod common;

use std::fmt::Write as _;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use avatar_watch::demo::fake_argil::id_in;
use avatar_watch::demo::fake_server::{Request, Response};

use common::{configure, serve};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.iter().position(|argument| argument == BARE_LOOP) {
        Some(place) => bare_loop(&arguments[place + 1], arguments[place + 2].parse().unwrap()),
        None => compare(),
    }
}

/// One measured stretch of one program.
struct Stretch {
    cpu: Duration,
    polls: u64,
    written: u64,
    resident_kib: u64,
}

fn compare() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let polls = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&polls);
    let origin = runtime.block_on(serve(move |request| {
        counted.fetch_add(1, Ordering::Relaxed);
        training(request)
    }));
    let base_url = format!("{origin}/v1");
    println!("{AVATARS} avatars, each polled every {INTERVAL:?}; {ROUNDS} rounds of {STRETCH:?}");
    let (mut ratios, mut written) = (Vec::new(), 0);
    for round in 1..=ROUNDS {
        let bare = measure(start_bare_loop(&base_url), &polls);
        let folder = tempfile::tempdir().unwrap();
        let daemon = measure(start_daemon(&base_url, folder.path()), &polls);
        let (ours, theirs) = (per_poll(&daemon), per_poll(&bare));
        println!(
            "round {round}: daemon {ours:.0} us per poll ({} polls, {} KiB resident, {} bytes \
             written), bare loop {theirs:.0} us per poll ({} polls, {} KiB): {:.2} times",
            daemon.polls,
            daemon.resident_kib,
            daemon.written,
            bare.polls,
            bare.resident_kib,
            ours / theirs,
        );
        ratios.push(ours / theirs);
        written += daemon.written;
    }
    ratios.sort_by(f64::total_cmp);
    let median = ratios[ratios.len() / 2];
    println!("median: {median:.2} times the CPU of a bare loop; {written} bytes written in all");
}

fn per_poll(stretch: &Stretch) -> f64 {
    stretch.cpu.as_secs_f64() * 1e6 / stretch.polls.max(1) as f64
}

/// Lets a program warm up, then measures it for a stretch, then ends it.
fn measure(mut child: Child, polls: &AtomicU64) -> Stretch {
    let pid = child.id();
    wait_for_polls(polls, polls.load(Ordering::Relaxed) + 2 * AVATARS);
    let (cpu, seen, written) = (cpu(pid), polls.load(Ordering::Relaxed), written(pid));
    std::thread::sleep(STRETCH);
    let stretch = Stretch {
        cpu: self::cpu(pid) - cpu,
        polls: polls.load(Ordering::Relaxed) - seen,
        written: self::written(pid) - written,
        resident_kib: resident_kib(pid),
    };
    child.kill().unwrap();
    child.wait().unwrap();
    stretch
}

fn wait_for_polls(polls: &AtomicU64, wanted: u64) {
    let begun = Instant::now();
    while polls.load(Ordering::Relaxed) < wanted {
        assert!(begun.elapsed() < Duration::from_secs(60), "there are no polls");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What Argil says of an avatar in training.
fn training(request: &Request) -> Response {
    let id = id_in(&request.path);
    let avatar = format!(
        r#"{{"id":"{id}","name":"Jane","actorName":"Jane","createdAt":"2026-11-23T11:00:00Z",
        "updatedAt":"2026-11-23T11:00:00Z","gestures":[{{"label":"wave","slug":"wave",
        "startFrame":12}}],"status":"TRAINING","width":1080,"height":1920,"thumbnailUrl":null,
        "coverImageUrl":null,"extras":{{"order":"17"}},"orientation":"ASPECT_RATIO_9_16",
        "model":"ARGIL_ATOM"}}"#
    );
    Response::new(200, avatar)
}

fn start_daemon(base_url: &str, folder: &std::path::Path) -> Child {
    let pace = format!("{}ms", INTERVAL.as_millis());
    let mut config = format!(
        "[argil]\napi_key = \"k\"\nbase_url = \"{base_url}\"\nmax_requests_per_second = 10000\n\
         [poll]\ntraining = {{ min = \"{pace}\", max = \"{pace}\" }}\n"
    );
    for number in 0..AVATARS {
        write!(config, "[[avatars]]\nid = \"avatar-{number}\"\n").unwrap();
    }
    let path = configure(folder, &config);
    Command::new(env!("CARGO_BIN_EXE_avatar-watch"))
        .args(["--config", path.to_str().unwrap(), "run", "--log-level", "warn"])
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn start_bare_loop(base_url: &str) -> Child {
    let pace = (INTERVAL / u32::try_from(AVATARS).unwrap()).as_micros().to_string();
    Command::new(std::env::current_exe().unwrap())
        .args([BARE_LOOP, base_url, &pace])
        .spawn()
        .unwrap()
}

/// What anyone would write first: one client, one tick after the other, one request a tick, the
/// body read and dropped.
fn bare_loop(base_url: &str, tick_us: u64) {
    drop(rustls::crypto::ring::default_provider().install_default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = reqwest::Client::new();
        let mut ticks = tokio::time::interval(Duration::from_micros(tick_us));
        for number in (0..AVATARS).cycle() {
            ticks.tick().await;
            let request =
                client.get(format!("{base_url}/avatars/avatar-{number}")).header("x-api-key", "k");
            let answer = request.send().await.unwrap();
            answer.bytes().await.unwrap();
        }
    });
}

/// The processor time of a process so far, in all threads.
fn cpu(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND)
}

/// The bytes that a process has sent towards the disk so far.
fn written(pid: u32) -> u64 {
    field(&format!("/proc/{pid}/io"), "write_bytes:")
}

fn resident_kib(pid: u32) -> u64 {
    field(&format!("/proc/{pid}/status"), "VmRSS:")
}

fn field(path: &str, name: &str) -> u64 {
    let text = fs::read_to_string(path).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

const AVATARS: u64 = 1000;
const INTERVAL: Duration = Duration::from_secs(5);
const STRETCH: Duration = Duration::from_secs(20);
const ROUNDS: usize = 3;
const BARE_LOOP: &str = "--bare-loop";
/// `USER_HZ` of every Linux that we build for.
const TICKS_PER_SECOND: u64 = 100;
