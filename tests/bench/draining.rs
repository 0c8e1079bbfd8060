//! What a queue costs: messages that wait, for one channel and many, and a receiver that is down.
//!
//! `cargo bench --bench draining` prints messages a second once the receiver is up, how many of
//! them share a sync of the disk, and what 100,000 messages cost while it is down. It checks that
//! every message came once and in the order of its avatar. Nothing about time is asserted.
//! `-- --queue` measures the receiver that is down only.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up has failed")]
#![expect(clippy::print_stdout, reason = "figures are what it is for")]

mod common;

use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use avatar_watch::demo::fake_server::{self, Request, Response};
use avatar_watch::domain::avatar::status::Status;
use avatar_watch::domain::avatar::transition::{Previous, Transition};
use avatar_watch::domain::avatar::{Avatar, AvatarId};
use avatar_watch::domain::delivery::channel_name::ChannelName;
use avatar_watch::domain::delivery::retry_policy::DeliveryPolicy;
use avatar_watch::domain::delivery::{DeliveryId, RetryState};
use avatar_watch::domain::event::{Event, EventKind, Subject};
use avatar_watch::domain::id::EventId;
use avatar_watch::domain::polling::watch::{LastObserved, Watch};
use avatar_watch::domain::random::RandomBits;
use avatar_watch::domain::time::timestamp::Timestamp;
use avatar_watch::notify::format::standard;
use avatar_watch::store::handle::{NewEvent, ObservationCommit, Store};
use avatar_watch::store::tables::channels::ChannelTarget;
use avatar_watch::store::tables::outbox::NewDelivery;
use common::{
    OURS, Usage, avatar_entries, configure, other_program, serve, serve_avatars, shown,
    start_daemon, stop, wait_for, webhook,
};
use rustix::process::{Pid, Signal};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

/// The ids that came, in their order, and when the first and the last did.
#[derive(Default)]
struct Came {
    ids: Vec<String>,
    first: Option<Instant>,
    last: Option<Instant>,
}

fn main() {
    let only_queue = std::env::args().any(|argument| argument == "--queue");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    for channels in [1, 8, 100].into_iter().filter(|_| !only_queue) {
        let (mut rates, mut pairs) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let rate = drain(&runtime, OURS, channels, 10_000);
            rates.push(rate);
            if let Some(other) = other_program() {
                pairs.push(rate / drain(&runtime, &other, channels, 10_000));
            }
        }
        println!("draining, {channels} channels: {} messages a second, in order", shown(rates));
        if !pairs.is_empty() {
            println!("that is {} times what the other program sends", shown(pairs));
        }
    }
    if !only_queue {
        count_syncs(&runtime);
    }
    wait_for_a_receiver(&runtime);
}

/// Messages a second, when everything waits as the daemon starts.
fn drain(runtime: &Runtime, program: &str, channels: usize, messages: usize) -> f64 {
    let (came, url) = receiver(runtime);
    let folder = tempfile::tempdir().unwrap();
    let lines = runtime.block_on(fill(folder.path(), channels, messages));
    let daemon = start_daemon(program, &config(folder.path(), &url, channels, ""));
    wait_for("messages", || came.lock().unwrap().ids.len() >= messages);
    stop(daemon);
    came.lock().unwrap().check(&lines)
}

/// How often the daemon makes the disk safe, where `strace` is installed.
fn count_syncs(runtime: &Runtime) {
    const MESSAGES: usize = 10_000;
    let (came, url) = receiver(runtime);
    let folder = tempfile::tempdir().unwrap();
    let lines = runtime.block_on(fill(folder.path(), 1, MESSAGES));
    let syncs = folder.path().join("syncs");
    let started = Command::new("strace")
        .args(["-f", "--seccomp-bpf", "-I2", "-e", "trace=fsync,fdatasync", "-o"])
        .arg(&syncs)
        .arg(OURS)
        .arg("--config")
        .arg(config(folder.path(), &url, 1, ""))
        .args(["run", "--log-level", "warn"])
        .spawn();
    let mut daemon = match started {
        Err(failure) if failure.kind() == ErrorKind::NotFound => {
            return println!("no `strace` here, so syncs were not counted");
        }
        started => started.unwrap(),
    };
    wait_for("messages", || came.lock().unwrap().ids.len() >= MESSAGES);
    let traced = fs::read_to_string(format!("/proc/{0}/task/{0}/children", daemon.id())).unwrap();
    let traced = Pid::from_raw(traced.split_whitespace().next().unwrap().parse().unwrap());
    rustix::process::kill_process(traced.unwrap(), Signal::TERM).unwrap();
    daemon.wait().unwrap();
    came.lock().unwrap().check(&lines);
    let text = fs::read_to_string(&syncs).unwrap();
    let syncs = text.lines().filter(|line| line.contains("sync(")).count();
    println!("{:.1} messages to a sync", MESSAGES as f64 / syncs as f64);
}

/// What a long queue costs while its receiver is down, and what it costs to start with it.
fn wait_for_a_receiver(runtime: &Runtime) {
    const MESSAGES: usize = 100_000;
    const CHANNELS: usize = 2;
    let (base_url, polls) = serve_avatars(runtime, "TRAINING");
    let came: Arc<Mutex<Came>> = Arc::default();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let polled = format!(
        "argil.base_url = \"{base_url}\"\npoll.training = {{ min = \"5s\", max = \"5s\" }}\n{}",
        // Not those of the messages: their polls would add transitions.
        avatar_entries(AVATARS).replace("avatar-", "polled-")
    );
    let empty = tempfile::tempdir().unwrap();
    let url = format!("http://{port}/");
    let polling =
        cpu_share(start_daemon(OURS, &config(empty.path(), &url, CHANNELS, &polled)), &polls);
    let folder = tempfile::tempdir().unwrap();
    let lines = runtime.block_on(fill(folder.path(), CHANNELS, MESSAGES));
    let path = config(folder.path(), &url, CHANNELS, &polled);
    let waiting = cpu_share(start_daemon(OURS, &path), &polls);
    let (begun, before) = (Instant::now(), polls.load(Ordering::Relaxed));
    let daemon = start_daemon(OURS, &path);
    wait_for("a poll", || polls.load(Ordering::Relaxed) > before);
    let first_poll = begun.elapsed();
    let taken = Arc::clone(&came);
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(port).await.unwrap();
        let respond = move |request| std::future::ready(take(&taken, &request));
        tokio::spawn(fake_server::serve(listener, Arc::default(), respond));
    });
    wait_for("messages", || came.lock().unwrap().ids.len() >= MESSAGES);
    stop(daemon);
    let rate = came.lock().unwrap().check(&lines);
    println!(
        "{MESSAGES} messages of {CHANNELS} channels wait for a receiver that is down: {:.1} % of \
         a core beyond polling ({:.0} polls a second, {:.0} without a queue); first poll \
         {first_poll:.1?} after a start; then {rate:.0} a second, in order",
        (waiting.0 - polling.0) * 100.0,
        waiting.1,
        polling.1,
    );
}

/// The share of a core that a daemon uses once it has polled each avatar, and polls a second; then
/// it is killed.
fn cpu_share(mut daemon: Child, polls: &AtomicUsize) -> (f64, f64) {
    let warm = polls.load(Ordering::Relaxed) + 2 * AVATARS;
    wait_for("polls", || polls.load(Ordering::Relaxed) >= warm);
    let (before, seen) = (Usage::of(&daemon), polls.load(Ordering::Relaxed));
    std::thread::sleep(STRETCH);
    let used = Usage::of(&daemon).since(before).cpu.as_secs_f64();
    let polled = (polls.load(Ordering::Relaxed) - seen) as f64;
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    (used / STRETCH.as_secs_f64(), polled / STRETCH.as_secs_f64())
}

fn receiver(runtime: &Runtime) -> (Arc<Mutex<Came>>, String) {
    let came: Arc<Mutex<Came>> = Arc::default();
    let taken = Arc::clone(&came);
    let url = runtime.block_on(serve(move |request| take(&taken, request)));
    (came, url)
}

/// A database in which all of it waits, in turn for each channel; the line of each event.
async fn fill(folder: &Path, channels: usize, messages: usize) -> HashMap<String, (usize, usize)> {
    let (store, writer) = Store::open(&folder.join("avatar-watch.db"), "bench".to_owned()).unwrap();
    let names: Vec<_> =
        (0..channels).map(|it| ChannelName::parse(&format!("c{it}")).unwrap()).collect();
    let registered = names
        .iter()
        .map(|name| ChannelTarget { name: name.clone(), fingerprint: "bench".to_owned() });
    let millis = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let now = Timestamp::from_millis(i64::try_from(millis).unwrap());
    store.register_channels(registered.collect(), now).await.unwrap();
    let mut lines = HashMap::new();
    for round in 0..messages / AVATARS {
        let mut commits = JoinSet::new();
        for avatar in 0..AVATARS {
            let number = round * AVATARS + avatar;
            let change = change(&names[avatar % channels], avatar, number, now);
            lines.insert(change.events[0].event.id.to_string(), (avatar, number));
            let store = store.clone();
            commits.spawn(async move { store.commit(change).await.unwrap() });
        }
        commits.join_all().await;
    }
    drop(store);
    tokio::task::spawn_blocking(move || writer.join()).await.unwrap();
    lines
}

/// The message with that number, about a transition of its avatar.
fn change(
    channel: &ChannelName,
    avatar: usize,
    number: usize,
    now: Timestamp,
) -> ObservationCommit {
    let roll = RandomBits::new(7).derive(number as u64);
    let id = AvatarId::parse(&format!("avatar-{avatar}")).unwrap();
    let transition = Transition {
        avatar_id: id.clone(),
        sequence: (number / AVATARS) as u64 + 1,
        previous: Previous::Observed { status: Status::Training, at: now },
        earlier: None,
        training: None,
        status: Status::Idle,
        detected_at: now,
        upstream_updated_at: None,
    };
    let event = Event {
        id: EventId::mint(now, roll),
        kind: EventKind::AvatarReady,
        occurred_at: now,
        subject: Subject::Transition {
            avatar: Box::new(Avatar::new(id.clone(), Status::Idle)),
            transition: Box::new(transition.clone()),
        },
    };
    let body = standard::render(&event);
    let delivery = NewDelivery {
        id: DeliveryId::mint(now, roll),
        channel: channel.clone(),
        recipient: String::new(),
        content_type: standard::CONTENT_TYPE.to_owned(),
        body: body.clone(),
        fallback: None,
        retry_state: RetryState::new(now, &DeliveryPolicy::webhook()),
    };
    let title = "Jane: ready".to_owned();
    ObservationCommit {
        watch: Watch {
            observed: Some(LastObserved {
                status: Status::Idle,
                since: now,
                changed_after: None,
                last_seen_at: now,
            }),
            sequence: transition.sequence,
            ..Watch::new(id)
        },
        transition: Some(transition),
        events: vec![NewEvent { event, title, body, deliveries: vec![delivery] }],
        conditions: Vec::new(),
        discovered: None,
        now,
    }
}

fn config(folder: &Path, url: &str, channels: usize, more: &str) -> PathBuf {
    let mut config = format!(
        "argil.api_key = \"k\"\nargil.max_requests_per_second = 10000\nweb.listen = \"off\"\n{more}"
    );
    for channel in 0..channels {
        config.push_str(&webhook(&format!("c{channel}"), url));
    }
    configure(folder, &config)
}

fn take(came: &Mutex<Came>, request: &Request) -> Response {
    let id = request.header("webhook-id").unwrap().to_owned();
    let mut came = came.lock().unwrap();
    let now = Instant::now();
    came.first.get_or_insert(now);
    came.last = Some(now);
    came.ids.push(id);
    Response::new(204, "")
}

impl Came {
    /// Each came once, and those of one avatar in their order; messages a second.
    fn check(&self, lines: &HashMap<String, (usize, usize)>) -> f64 {
        let mut last: HashMap<usize, usize> = HashMap::new();
        for id in &self.ids {
            let (avatar, number) = lines[id];
            let before = last.insert(avatar, number);
            assert!(before.is_none_or(|before| before < number), "avatar {avatar}: out of order");
        }
        assert_eq!(self.ids.len(), lines.len());
        lines.len() as f64 / (self.last.unwrap() - self.first.unwrap()).as_secs_f64()
    }
}

const AVATARS: usize = 1_000;
const ROUNDS: usize = 5;
const STRETCH: Duration = Duration::from_secs(20);
