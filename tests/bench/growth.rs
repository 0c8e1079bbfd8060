//! What grows with the number of avatars: time to check a config, to start, to reload and to
//! answer, and memory. One avatar in ten is in training, at most a hundred; they are polled twice a
//! second, so that a pause of polling shows.
//!
//! `cargo bench --bench growth` prints a table for 10, 1,000, 10,000 and 100,000 avatars;
//! `-- 10 1000` measures those only, and `AVATAR_WATCH_OTHER=PROGRAM` another build as well.
//! `-- --history` prints one for 10,000 avatars with a past of none, 100,000 and 1,000,000
//! transitions. It measures; it asserts nothing about time.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up has failed")]
#![expect(clippy::print_stdout, reason = "figures are what it is for")]

mod common;
mod daemon;
mod history;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use avatar_watch::demo::fake_argil::id_in;
use avatar_watch::demo::fake_server::{Request, Response};
use common::{OURS, Usage, avatar, configure, other_program, serve, wait_for};
use daemon::Daemon;
use rusqlite::Connection;
use rustix::process::{Pid, Signal, kill_process};
use tokio::runtime::Runtime;

fn main() {
    let numbers = std::env::args().skip(1).filter(|it| !it.starts_with("--"));
    let mut sizes: Vec<Size> = numbers.map(|it| Size(it.parse().unwrap(), 0)).collect();
    if std::env::args().any(|argument| argument == "--history") {
        sizes = [0, 100_000, 1_000_000].map(|transitions| Size(10_000, transitions)).to_vec();
    } else if sizes.is_empty() {
        sizes = [10, 1000, 10_000, 100_000].map(|avatars| Size(avatars, 0)).to_vec();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    print_table(&runtime, OURS, &sizes);
    other_program().iter().for_each(|program| print_table(&runtime, program, &sizes));
}

/// Avatars, and transitions in the past with three deliveries each.
#[derive(Clone, Copy)]
struct Size(usize, usize);

fn print_table(runtime: &Runtime, program: &str, sizes: &[Size]) {
    println!("{program}:");
    let columns: Vec<_> = sizes.iter().map(|size| measure(runtime, program, *size)).collect();
    let mut heads = [format!("{:<44}", "avatars"), format!("{:<44}", "transitions in the past")];
    for Size(avatars, transitions) in sizes {
        write!(heads[0], "{avatars:>18}").unwrap();
        write!(heads[1], "{transitions:>18}").unwrap();
    }
    heads.iter().for_each(|head| println!("{head}"));
    for (row, (title, _)) in columns[0].iter().enumerate() {
        let mut line = format!("{title:<44}");
        columns.iter().for_each(|column| write!(line, "{:>18}", column[row].1).unwrap());
        println!("{line}");
    }
}

/// The figures of one size, each with its title.
type Figures = Vec<(&'static str, String)>;

/// When the fake Argil was asked for an avatar: all times, since the start of the daemon.
type Polls = Arc<Mutex<Vec<Instant>>>;

fn measure(runtime: &Runtime, program: &str, Size(avatars, transitions): Size) -> Figures {
    let polls = Polls::default();
    let asked = Arc::clone(&polls);
    let respond = move |request: &Request| {
        if request.method == "POST" {
            return Response::new(204, "");
        }
        asked.lock().unwrap().push(Instant::now());
        let id = id_in(&request.path);
        let number: usize = id.split('-').nth(1).unwrap().parse().unwrap();
        let is_training = number.is_multiple_of(10) && number < 10 * TRAINING_MAX;
        Response::new(200, avatar(&id, if is_training { "TRAINING" } else { "IDLE" }))
    };
    let origin = runtime.block_on(serve(respond));
    let folder = tempfile::tempdir().unwrap();
    let config = write_config(folder.path(), &origin, avatars);
    if transitions > 0 {
        let database = folder.path().join("avatar-watch.db");
        history::generate(&database, avatars, ID_END, transitions, 3);
    }
    let mut figures = Figures::new();
    let mut time = |title, arguments: &[&str]| {
        figures.push((title, milliseconds(run(program, &config, arguments))));
    };
    time("`check`", &["check"]);
    let begun = Instant::now();
    let daemon = Daemon::start(program, &config, folder.path());
    wait_for("a poll", || !polls.lock().unwrap().is_empty());
    let first = polls.lock().unwrap()[0];
    figures.push(("start to first poll", milliseconds(first.duration_since(begun))));
    wait_for("all polls", || {
        daemon.number("avatar_watch_avatars{status=\"IDLE\"}") as usize + TRAINING_MAX >= avatars
    });
    figures.push(("start to all polled", milliseconds(begun.elapsed())));
    // What the metrics read is gone with another write.
    std::thread::sleep(PAUSE);
    figures.push(("resident, all polled", daemon.resident()));
    for (page, after_write, again) in [
        ("/metrics", "`/metrics` after a write: time, CPU", "again"),
        ("/", "`/` after a write: time, CPU", "again"),
        ("/api/v1/status", "`/api/v1/status` after a write: time, CPU", "again"),
        ("/deliveries", "`/deliveries` after a write: time, CPU", "again"),
        ("/api/v1/channels", "`/api/v1/channels` after a write: time, CPU", "again"),
        ("/api/v1/transitions", "`/api/v1/transitions` after a write: time, CPU", "again"),
    ] {
        figures.push((after_write, daemon.cost(page, Some(folder.path()))));
        figures.push((again, daemon.cost(page, None)));
    }
    let id = id(1);
    figures.push(("one avatar after a write: time, CPU", {
        daemon.cost(&format!("/avatars/{id}"), Some(folder.path()))
    }));
    figures.push(("resident, pages read", daemon.resident()));
    let mut time = |title, arguments: &[&str]| {
        figures.push((title, milliseconds(run(program, &config, arguments))));
    };
    time("`status`", &["status"]);
    time("`status ID`", &["status", &id]);
    time("`status --check`", &["status", "--check"]);
    time("`channels`", &["channels"]);
    time("`history`", &["history"]);
    time("`history ID`", &["history", &id]);
    time("`deliveries`", &["deliveries"]);
    time("`deliveries --state pending`", &["deliveries", "--state", "pending"]);
    for (title, pause, resident) in [
        ("reload", "longest time without a poll", "resident, reloaded once"),
        ("reload again", "longest time without a poll", "resident, reloaded twice"),
    ] {
        let from = polls.lock().unwrap().len();
        figures.push((title, milliseconds(daemon.reload(&config))));
        std::thread::sleep(PAUSE);
        let times = polls.lock().unwrap()[from..].to_vec();
        let longest = times.windows(2).map(|pair| pair[1] - pair[0]).max();
        figures.push((pause, milliseconds(longest.unwrap_or_default())));
        figures.push((resident, daemon.resident()));
    }
    let begun = Instant::now();
    daemon.stop();
    figures.push(("stop", milliseconds(begun.elapsed())));
    for title in ["start again, to first poll", "start after kill -9, to first poll"] {
        let before = polls.lock().unwrap().len();
        let begun = Instant::now();
        let daemon = Daemon::start(program, &config, folder.path());
        wait_for("a poll", || polls.lock().unwrap().len() > before);
        let first = polls.lock().unwrap()[before];
        figures.push((title, milliseconds(first.duration_since(begun))));
        daemon.kill();
    }
    figures
}

impl Daemon {
    fn resident(&self) -> String {
        format!("{:.1} MiB", Usage::of(&self.child).resident_kib as f64 / 1024.0)
    }

    /// The median time of a response, and the CPU of one, each after a write to the database in a
    /// folder.
    fn cost(&self, page: &str, written: Option<&Path>) -> String {
        let (mut times, mut cpu) = (Vec::new(), Duration::ZERO);
        for _ in 0..ROUNDS {
            written.iter().for_each(|folder| write_anything(folder));
            let before = Usage::of(&self.child);
            let begun = Instant::now();
            assert!(self.ask(page).starts_with("HTTP/1.1 200"));
            times.push(begun.elapsed());
            cpu += Usage::of(&self.child).since(before).cpu;
        }
        times.sort();
        let cpu = cpu / u32::try_from(ROUNDS).unwrap();
        format!("{}, {}", milliseconds(times[ROUNDS / 2]), milliseconds(cpu))
    }

    /// The time that a reload with one change takes.
    fn reload(&self, config: &Path) -> Duration {
        let changes = || self.logged().matches("config reloaded: ").count();
        let before = changes();
        let text = fs::read_to_string(config).unwrap();
        let name = format!("name = \"Jane {before}\"");
        let from = text.find("name = ").unwrap();
        let to = from + text[from..].find('\n').unwrap();
        fs::write(config, format!("{}{name}{}", &text[..from], &text[to..])).unwrap();
        let begun = Instant::now();
        kill_process(Pid::from_child(&self.child), Signal::HUP).unwrap();
        wait_for("a reload", || changes() > before);
        begun.elapsed()
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Any write by another process makes what the page read void.
fn write_anything(folder: &Path) {
    let database = Connection::open(folder.join("avatar-watch.db")).unwrap();
    database.busy_timeout(Duration::from_secs(10)).unwrap();
    database.execute("UPDATE channels SET updated_at = updated_at + 1", ()).unwrap();
}

fn run(program: &str, config: &Path, arguments: &[&str]) -> Duration {
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let begun = Instant::now();
            let status = Command::new(program)
                .args(["--config", config.to_str().unwrap()])
                .args(arguments)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .unwrap();
            assert!(status.code().is_some_and(|code| code < 3), "{arguments:?}: {status}");
            begun.elapsed()
        })
        .collect();
    times.sort();
    times[ROUNDS / 2]
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

/// The config, with most of the avatars in drop-ins: a file may have 1 MiB.
fn write_config(folder: &Path, origin: &str, avatars: usize) -> PathBuf {
    let head = format!(
        "[argil]\napi_key = \"k\"\nbase_url = \"{origin}/v1\"\nmax_requests_per_second = 10000\n\
         [poll]\nsettled = \"1h\"\njitter = 0.0\n\
         training = {{ min = \"500ms\", max = \"500ms\" }}\n\
         [web]\nlisten = \"127.0.0.1:0\"\n[channels.ops]\ntype = \"webhook\"\n\
         url = \"{origin}/hook\"\nsecret = \"whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD\"\n"
    );
    let entry = |number| format!("[[avatars]]\nid = \"{}\"\n", id(number));
    let first = format!("{head}{}name = \"Jane\"\n", entry(0));
    fs::create_dir(folder.join("avatars.d")).unwrap();
    for (place, numbers) in (1..avatars).collect::<Vec<_>>().chunks(FILE_MAX).enumerate() {
        let text: String = numbers.iter().map(|number| entry(*number)).collect();
        fs::write(folder.join(format!("avatars.d/{place}.toml")), text).unwrap();
    }
    configure(folder, &first)
}

/// As long as the ids of Argil.
fn id(number: usize) -> String {
    format!("avatar-{number}{ID_END}")
}

const ID_END: &str = "-0d44-4b50-8888-8dd25736052a";

/// The avatars in training.
const TRAINING_MAX: usize = 100;
/// The avatars in one file.
const FILE_MAX: usize = 15_000;
const ROUNDS: usize = 5;
/// Longer than the interval of a poll.
const PAUSE: Duration = Duration::from_secs(1);
