//! What every benchmark needs: a server on loopback, a config for the real daemon, a bare loop to
//! compare with, and what a process uses.

#![allow(dead_code, clippy::allow_attributes, reason = "each benchmark uses a part of it")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use avatar_watch::demo::fake_argil::id_in;
use avatar_watch::demo::fake_server::{self, Request, Response};
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// Serves for as long as the runtime lives; its origin, such as `http://127.0.0.1:1234`.
pub(crate) async fn serve(
    respond: impl Fn(&Request) -> Response + Send + Sync + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let respond = move |request: Request| std::future::ready(respond(&request));
    tokio::spawn(fake_server::serve(listener, Arc::default(), respond));
    origin
}

/// What Argil says of an avatar with this status.
pub(crate) fn avatar(id: &str, status: &str) -> String {
    format!(
        r#"{{"id":"{id}","name":"Jane","actorName":"Jane","createdAt":"2026-11-23T11:00:00Z",
        "updatedAt":"2026-11-23T11:00:00Z","gestures":[{{"label":"wave","slug":"wave",
        "startFrame":12}}],"status":"{status}","width":1080,"height":1920,"thumbnailUrl":null,
        "coverImageUrl":null,"extras":{{"order":"17"}},"orientation":"ASPECT_RATIO_9_16",
        "model":"ARGIL_ATOM"}}"#
    )
}

/// Serves avatars with this status; the base URL of the API, and how often it was asked.
pub(crate) fn serve_avatars(runtime: &Runtime, status: &'static str) -> (String, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let origin = runtime.block_on(serve(move |request| {
        counted.fetch_add(1, Ordering::Relaxed);
        Response::new(200, avatar(&id_in(&request.path), status))
    }));
    (format!("{origin}/v1"), asked)
}

/// `avatar-0`, `avatar-1`, … in a config.
pub(crate) fn avatar_entries(count: usize) -> String {
    (0..count).map(|number| format!("[[avatars]]\nid = \"avatar-{number}\"\n")).collect()
}

/// The number in such an id.
pub(crate) fn avatar_number(id: &str) -> usize {
    id.strip_prefix("avatar-").unwrap().parse().unwrap()
}

/// A webhook in a config.
pub(crate) fn webhook(name: &str, url: &str) -> String {
    format!(
        "[channels.{name}]\ntype = \"webhook\"\nurl = \"{url}\"\n\
         secret = \"whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD\"\n"
    )
}

/// Writes a config that the daemon accepts.
pub(crate) fn configure(folder: &Path, config: &str) -> PathBuf {
    let path = folder.join("avatar-watch.toml");
    fs::write(&path, config).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

/// The program of this build.
pub(crate) const OURS: &str = env!("CARGO_BIN_EXE_avatar-watch");

/// The program that `AVATAR_WATCH_OTHER` names, to be compared with this build in the same run.
pub(crate) fn other_program() -> Option<String> {
    std::env::var("AVATAR_WATCH_OTHER").ok()
}

/// The daemon with this config, which logs errors at most.
pub(crate) fn start_daemon(program: &str, config: &Path) -> Child {
    Command::new(program)
        .args(["--config", config.to_str().unwrap(), "run", "--log-level", "error"])
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}

/// Lets the daemon end in order.
pub(crate) fn stop(mut daemon: Child) {
    let pid = rustix::process::Pid::from_child(&daemon);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(daemon.wait().unwrap().success());
}

/// Runs the bare loop, if this process was started for it.
pub(crate) fn run_bare_loop_if_asked() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(place) = arguments.iter().position(|argument| argument == BARE_LOOP) {
        let [base_url, avatars, tick_us] = &arguments[place + 1..place + 4] else { panic!() };
        bare_loop(base_url, avatars.parse().unwrap(), tick_us.parse().unwrap());
    }
}

/// A process that asks for each avatar once in an interval, at an even pace.
pub(crate) fn start_bare_loop(base_url: &str, avatars: usize, interval: Duration) -> Child {
    let tick = interval.as_micros() / avatars as u128;
    Command::new(std::env::current_exe().unwrap())
        .args([BARE_LOOP, base_url, &avatars.to_string(), &tick.to_string()])
        .spawn()
        .unwrap()
}

/// What anyone would write first: one client, one tick after the other, one request a tick, the
/// body read and dropped.
fn bare_loop(base_url: &str, avatars: usize, tick_us: u64) -> ! {
    drop(rustls::crypto::ring::default_provider().install_default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = reqwest::Client::new();
        let mut ticks = tokio::time::interval(Duration::from_micros(tick_us));
        for number in (0..avatars).cycle() {
            ticks.tick().await;
            let request =
                client.get(format!("{base_url}/avatars/avatar-{number}")).header("x-api-key", "k");
            let answer = request.send().await.unwrap();
            answer.bytes().await.unwrap();
        }
        unreachable!("it asks until it is killed")
    })
}

/// What a process has used so far.
#[derive(Clone, Copy)]
pub(crate) struct Usage {
    /// Processor time, in all threads, and of the programs that it ran.
    pub(crate) cpu: Duration,
    /// Bytes sent towards the disk.
    pub(crate) written: u64,
    /// Resident memory now, in KiB.
    pub(crate) resident_kib: u64,
}

impl Usage {
    pub(crate) fn of(process: &Child) -> Self {
        let pid = process.id();
        Self {
            cpu: cpu(pid) + cpu_of_children(pid),
            written: field(&format!("/proc/{pid}/io"), "write_bytes:"),
            resident_kib: field(&format!("/proc/{pid}/status"), "VmRSS:"),
        }
    }

    pub(crate) fn since(self, before: Self) -> Self {
        Self { cpu: self.cpu - before.cpu, written: self.written - before.written, ..self }
    }
}

/// Unlike the ticks of `/proc/PID/stat`, exact to the nanosecond.
fn cpu(pid: u32) -> Duration {
    let clock = clock_getcpuclockid(Pid::from_raw(i32::try_from(pid).unwrap())).unwrap();
    clock_gettime(clock).unwrap().into()
}

/// The children that have ended.
fn cpu_of_children(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[13].parse::<u64>().unwrap() + fields[14].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND)
}

fn field(path: &str, name: &str) -> u64 {
    let text = fs::read_to_string(path).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// Waits for a fact; a benchmark in which it does not come true has failed.
pub(crate) fn wait_for(what: &str, mut fact: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !fact() {
        assert!(begun.elapsed() < LIMIT, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The figure that so many of a hundred do not exceed.
pub(crate) fn percentile(figures: &[f64], percent: usize) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[(sorted.len() * percent).div_ceil(100).max(1) - 1]
}

/// A figure of each round as `median (least to greatest)`.
pub(crate) fn shown(figures: impl IntoIterator<Item = f64>) -> String {
    let figures: Vec<f64> = figures.into_iter().collect();
    let [median, least, most] = [50, 0, 100].map(|percent| percentile(&figures, percent));
    format!("{median:.2} ({least:.2} to {most:.2})")
}

/// `USER_HZ` of every Linux that we build for.
const TICKS_PER_SECOND: u64 = 100;
const BARE_LOOP: &str = "--bare-loop";
const LIMIT: Duration = Duration::from_secs(120);
