//! What maintenance of the database costs beside a daemon at work: backup, verification and
//! retention of a long history.
//!
//! The daemon sends 20 webhooks a second, evenly; `cargo bench --bench maintenance` prints how soon
//! they come, alone and during each task, the memory of the commands, and the speed, the share of a
//! core and the released space of the retention. `-- --transitions 1000000` takes a longer history,
//! `-- --deliveries 10` one with more channels. It asserts only that all of it works.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up has failed")]
#![expect(clippy::print_stdout, reason = "figures are what it is for")]

mod common;
mod history;

use std::collections::VecDeque;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use avatar_watch::demo::fake_argil::id_in;
use avatar_watch::demo::fake_server::{Request, Response};
use common::{
    OURS, Usage, avatar, avatar_entries, avatar_number, configure, other_program, percentile,
    serve, stop, webhook,
};
use rusqlite::Connection;
use rustix::process::{Pid, Signal, kill_process};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let number = |name: &str, default| {
        let place = arguments.iter().position(|argument| argument == name);
        place.map_or(default, |place| arguments[place + 1].parse().unwrap())
    };
    let transitions = number("--transitions", 100_000);
    let deliveries = number("--deliveries", 3);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let begun = Instant::now();
    let small = Setup::new(transitions / 10, deliveries);
    let large = Setup::new(transitions, deliveries);
    println!(
        "{transitions} transitions with {deliveries} deliveries each: {:.0} MB, made in {:.0?}",
        megabytes(&large.database()),
        begun.elapsed()
    );
    for (what, arguments) in [("backup", ["db", "backup"]), ("verify", ["db", "verify"])] {
        let [small, large] = [&small, &large].map(|setup| setup.run(arguments));
        println!(
            "db {what} without a daemon: {:.1?}, {} MiB at most; of a tenth of the history {} MiB",
            large.took,
            large.resident_kib / 1024,
            small.resident_kib / 1024
        );
    }
    let world = Arc::new(World::new());
    let shown = Arc::clone(&world);
    let origin = runtime.block_on(serve(move |request| respond(&shown, request)));
    large.configure(&origin, "forever");
    let daemon = large.start();
    world.wait_until_busy();
    world.report("alone", || std::thread::sleep(AT_LEAST));
    world.report("during db backup", || large.repeat(["db", "backup"]));
    world.report("during db verify", || large.repeat(["db", "verify"]));
    world.report("during the retention", || large.retain(&daemon, &origin));
    stop(daemon);
    println!("after a stop: {:.0} MB", megabytes(&large.database()));
    assert!(large.run(["db", "verify"]).is_success, "it is intact");
}

/// A database with a history, in a folder of its own.
struct Setup {
    folder: tempfile::TempDir,
    config: PathBuf,
}

/// A command that has ended.
struct Ended {
    took: Duration,
    resident_kib: u64,
    is_success: bool,
}

impl Setup {
    fn new(transitions: usize, deliveries: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let setup = Self { config: folder.path().join("avatar-watch.toml"), folder };
        history::generate(&setup.database(), AVATARS, "", transitions, deliveries);
        setup.configure("http://127.0.0.1:9", "forever");
        setup
    }

    fn database(&self) -> PathBuf {
        self.folder.path().join("avatar-watch.db")
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn configure(&self, origin: &str, keep: &str) {
        let config = format!(
            "[argil]\napi_key = \"k\"\nbase_url = \"{origin}/v1\"\n\
             max_requests_per_second = 10000\n\
             [poll]\nsettled = \"{INTERVAL_MS}ms\"\njitter = 0.5\n\
             training = {{ min = \"{INTERVAL_MS}ms\", max = \"{INTERVAL_MS}ms\" }}\n\
             [store]\nkeep_transitions = \"{keep}\"\nkeep_deliveries = \"{keep}\"\n\
             [web]\nlisten = \"off\"\n{}{}",
            webhook("ops", &format!("{origin}/hook")),
            avatar_entries(AVATARS)
        );
        configure(self.folder.path(), &config);
    }

    fn start(&self) -> Child {
        let config = self.config.to_str().unwrap();
        Command::new(program())
            .args(["--config", config, "run", "--log-level", "info"])
            .stderr(File::create(self.log()).unwrap())
            .spawn()
            .unwrap()
    }

    /// Runs `db backup` into a file that is removed, or `db verify`.
    fn run(&self, arguments: [&str; 2]) -> Ended {
        let copy = self.folder.path().join("copy.db");
        let begun = Instant::now();
        let mut command = Command::new(program());
        command.args(["--config", self.config.to_str().unwrap()]).args(arguments);
        if arguments[1] == "backup" {
            command.arg(&copy);
        }
        let mut running = command.stdout(Stdio::null()).spawn().unwrap();
        let mut resident_kib = 0;
        let status = loop {
            // Gone as soon as it ends.
            resident_kib = peak_kib(&running).unwrap_or(resident_kib);
            if let Some(status) = running.try_wait().unwrap() {
                break status;
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let took = begun.elapsed();
        if copy.exists() {
            fs::remove_file(&copy).unwrap();
        }
        Ended { took, resident_kib, is_success: status.success() }
    }

    /// Runs it again and again, for enough webhooks beside it.
    fn repeat(&self, arguments: [&str; 2]) {
        let begun = Instant::now();
        while begun.elapsed() < AT_LEAST {
            assert!(self.run(arguments).is_success);
        }
    }

    /// Lets a reload start a retention that removes the whole history, and waits until it has.
    fn retain(&self, daemon: &Child, origin: &str) {
        let (bytes, rows, passes) = (megabytes(&self.database()), self.rows(), self.passes());
        self.configure(origin, "1d");
        let (begun, before) = (Instant::now(), Usage::of(daemon));
        kill_process(Pid::from_child(daemon), Signal::HUP).unwrap();
        while self.passes() == passes {
            assert!(begun.elapsed() < LIMIT, "the retention does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
        let (took, used) = (begun.elapsed().as_secs_f64(), Usage::of(daemon).since(before));
        let removed = (rows - self.rows()) as f64;
        println!(
            "retention: {removed:.0} rows in {took:.1} s, {:.0} a second, {:.1} % of a core with \
             the polling; from {bytes:.0} to {:.0} MB",
            removed / took,
            used.cpu.as_secs_f64() / took * 100.0,
            megabytes(&self.database())
        );
    }

    /// The rows that the retention is about.
    fn rows(&self) -> u64 {
        let sql = "SELECT (SELECT count(*) FROM transitions) + (SELECT count(*) FROM events)
                     + (SELECT count(*) FROM deliveries) + (SELECT count(*) FROM attempts)";
        Connection::open(self.database()).unwrap().query_row(sql, (), |row| row.get(0)).unwrap()
    }

    fn passes(&self) -> usize {
        fs::read_to_string(self.log()).unwrap().matches("removed expired rows").count()
    }
}

/// This build, or the program to compare it with.
fn program() -> String {
    other_program().unwrap_or_else(|| OURS.to_owned())
}

fn peak_kib(process: &Child) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id())).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn megabytes(file: &Path) -> f64 {
    fs::metadata(file).unwrap().len() as f64 / 1e6
}

/// The avatars as the fake Argil shows them, and how soon they were notified.
struct World(Mutex<Seen>);

struct Seen {
    avatars: Vec<AvatarSeen>,
    latencies_ms: Vec<f64>,
}

#[derive(Clone, Default)]
struct AvatarSeen {
    polls: usize,
    /// When responses showed it as ready, until that is notified.
    ready_at: VecDeque<Instant>,
}

impl World {
    fn new() -> Self {
        let avatars = vec![AvatarSeen::default(); AVATARS];
        Self(Mutex::new(Seen { avatars, latencies_ms: Vec::new() }))
    }

    fn wait_until_busy(&self) {
        common::wait_for("webhooks", || self.0.lock().unwrap().latencies_ms.len() > 4 * AVATARS);
    }

    /// Prints how soon webhooks came while some work was done.
    fn report(&self, what: &str, work: impl FnOnce()) {
        self.0.lock().unwrap().latencies_ms.clear();
        let begun = Instant::now();
        work();
        let latencies = std::mem::take(&mut self.0.lock().unwrap().latencies_ms);
        println!(
            "{what} ({:.0?}): {} webhooks, p50 {:.1}, p99 {:.1}, max {:.1} ms",
            begun.elapsed(),
            latencies.len(),
            percentile(&latencies, 50),
            percentile(&latencies, 99),
            percentile(&latencies, 100)
        );
    }
}

/// The fake Argil, at which each avatar is ready at every other poll, and the receiver.
fn respond(world: &World, request: &Request) -> Response {
    let now = Instant::now();
    let mut seen = world.0.lock().unwrap();
    if request.method == "POST" {
        let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
        let number = avatar_number(body["data"]["avatar"]["id"].as_str().unwrap());
        // In the order of their transitions.
        if let Some(ready_at) = seen.avatars[number].ready_at.pop_front() {
            seen.latencies_ms.push(now.duration_since(ready_at).as_secs_f64() * 1e3);
        }
        return Response::new(204, "");
    }
    let id = id_in(&request.path);
    let avatar_seen = &mut seen.avatars[avatar_number(&id)];
    avatar_seen.polls += 1;
    let is_ready = avatar_seen.polls.is_multiple_of(2);
    if is_ready {
        avatar_seen.ready_at.push_back(now);
    }
    Response::new(200, avatar(&id, if is_ready { "IDLE" } else { "TRAINING" }))
}

const AVATARS: usize = 100;
/// At most; each is ready at every other poll.
const INTERVAL_MS: u64 = 3333;
const AT_LEAST: Duration = Duration::from_secs(20);
const LIMIT: Duration = Duration::from_hours(2);
