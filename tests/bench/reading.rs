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

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use avatar_watch::demo::fake_argil::id_in;
use avatar_watch::demo::fake_server::{Request, Response};
use common::{configure, serve};
use rustix::process::{Pid, Signal, kill_process};

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
    let ours = env!("CARGO_BIN_EXE_avatar-watch");
    let daemon = Daemon::start(ours, folder.path(), &base_url, "1s");
    wait_for("a past", || daemon.number("avatar_watch_transitions_total{status=\"IDLE\"}") > PAST);
    daemon.stop();
    println!("{AVATARS} avatars, {PAST} of their trainings ended and were notified");
    let other = std::env::var("AVATAR_WATCH_OTHER").ok();
    let costs: Vec<f64> = [Some(ours), other.as_deref()]
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
    let daemon = Daemon::start(program, folder.path(), base_url, "1h");
    let polled = "avatar_watch_polls_total{account=\"argil\",outcome=\"seen\"}";
    wait_for("a poll of all avatars", || daemon.number(polled) >= AVATARS as f64);
    // Transitions of the first polls are notified before the measurement.
    wait_for("silence", || {
        daemon.number("avatar_watch_deliveries_pending{channel=\"ops\"}") == 0.0
    });
    let [page, health] = ["/", "/healthz"].map(|path| daemon.cost(path));
    println!("  `/`: {:.2} ms of CPU, {:.0} times `/healthz`", page * 1e3, page / health);
    daemon.stop();
    for readers in [0, CROWD] {
        let folder = tempfile::tempdir().unwrap();
        fs::copy(past.join("avatar-watch.db"), folder.path().join("avatar-watch.db")).unwrap();
        let daemon = Daemon::start(program, folder.path(), base_url, "2s");
        wait_for("a poll of all avatars", || daemon.number(polled) >= AVATARS as f64);
        let before = daemon.dwell();
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
        let after = daemon.dwell();
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

struct Daemon {
    child: Child,
    page: String,
}

impl Daemon {
    fn start(program: &str, folder: &Path, base_url: &str, pace: &str) -> Self {
        let mut config = format!(
            "[argil]\napi_key = \"k\"\nbase_url = \"{base_url}/v1\"\n\
             max_requests_per_second = 10000\n[poll]\nnot_trained = \"{pace}\"\n\
             settled = \"{pace}\"\ntraining = {{ min = \"{pace}\", max = \"{pace}\" }}\n\
             [web]\nlisten = \"127.0.0.1:0\"\n[channels.ops]\ntype = \"webhook\"\n\
             url = \"{base_url}/hook\"\nsecret = \"whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD\"\n"
        );
        for number in 0..AVATARS {
            write!(config, "[[avatars]]\nid = \"avatar-{number}\"\n").unwrap();
        }
        let path = configure(folder, &config);
        let log = folder.join("log");
        let child = Command::new(program)
            .args(["--config", path.to_str().unwrap(), "run", "--log-level", "info"])
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut page = None;
        wait_for("a page", || {
            let text = fs::read_to_string(&log).unwrap();
            let rest = text.split_once("status page at `http://").map(|(_, rest)| rest.to_owned());
            page = rest.and_then(|rest| rest.split_once('/').map(|(page, _)| page.to_owned()));
            page.is_some()
        });
        Self { child, page: page.unwrap() }
    }

    fn stop(mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success());
    }

    /// One of the numbers; zero before it is there.
    fn number(&self, name: &str) -> f64 {
        let numbers = ask(&self.page, "/metrics");
        let found = numbers.lines().find_map(|line| line.strip_prefix(name));
        found.map_or(0.0, |value| value.trim().parse().unwrap())
    }

    /// How many messages were delivered within each bound of seconds.
    fn dwell(&self) -> Vec<(String, f64)> {
        let numbers = ask(&self.page, "/metrics");
        let of_ops = |line: &str| {
            let rest =
                line.strip_prefix("avatar_watch_delivery_latency_seconds_bucket{")?.to_owned();
            let bound = rest.split("le=\"").nth(1)?.split('"').next()?.to_owned();
            Some((bound, rest.rsplit(' ').next()?.parse().ok()?))
        };
        numbers.lines().filter_map(of_ops).collect()
    }

    /// The CPU of one answer, in seconds.
    fn cost(&self, path: &str) -> f64 {
        ask(&self.page, path);
        let before = self.cpu();
        let mut asked = 0;
        let begun = Instant::now();
        while begun.elapsed() < STRETCH {
            assert!(ask(&self.page, path).starts_with("HTTP/1.1 200"));
            asked += 1;
        }
        (self.cpu() - before).as_secs_f64() / f64::from(asked)
    }

    fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND)
    }
}

fn ask(page: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(page).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {page}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

fn wait_for(what: &str, mut fact: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !fact() {
        assert!(begun.elapsed() < LIMIT, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
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
const LIMIT: Duration = Duration::from_secs(120);
/// `USER_HZ` of every Linux that we build for.
const TICKS_PER_SECOND: u64 = 100;
