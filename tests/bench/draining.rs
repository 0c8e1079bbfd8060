//! What draining costs: ten thousand messages that wait, a receiver that is up, the real daemon.
//!
//! `cargo bench --bench draining` prints messages a second, and checks that every message came
//! once and in the order of its avatar. Nothing about time is asserted. Where `strace` is
//! installed, a further round counts how often the daemon made the disk safe.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up has failed")]
#![expect(clippy::print_stdout, reason = "figures are what it is for")]

mod common;

use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use avatar_watch::demo::fake_server::{Request, Response};
use avatar_watch::domain::avatar::status::Status;
use avatar_watch::domain::avatar::transition::{Previous, Transition};
use avatar_watch::domain::avatar::{Avatar, AvatarId};
use avatar_watch::domain::delivery::channel_name::ChannelName;
use avatar_watch::domain::delivery::retry_policy::DeliveryPolicy;
use avatar_watch::domain::delivery::{DeliveryId, RetryState};
use avatar_watch::domain::event::{Event, EventKind, Subject};
use avatar_watch::domain::id::EventId;
use avatar_watch::domain::polling::watch::Watch;
use avatar_watch::domain::random::RandomBits;
use avatar_watch::domain::time::timestamp::Timestamp;
use avatar_watch::notify::format::standard;
use avatar_watch::store::handle::{NewEvent, ObservationCommit, Store};
use avatar_watch::store::tables::channels::ChannelTarget;
use avatar_watch::store::tables::outbox::NewDelivery;
use common::{configure, serve};
use rustix::process::{Pid, Signal};
use tokio::task::JoinSet;

/// The ids that came, in their order, and when the first and the last did.
#[derive(Default)]
struct Came {
    ids: Vec<String>,
    first: Option<Instant>,
    last: Option<Instant>,
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    println!("{MESSAGES} messages about {AVATARS} avatars; {ROUNDS} rounds");
    for round in 1..=ROUNDS + 1 {
        let counted = round > ROUNDS;
        let came = Arc::new(Mutex::new(Came::default()));
        let taken = Arc::clone(&came);
        let url = runtime.block_on(serve(move |request| take(&taken, request)));
        let folder = tempfile::tempdir().unwrap();
        let lines = runtime.block_on(fill(folder.path()));
        let syncs = folder.path().join("syncs");
        let started = start(folder.path(), &url, counted.then_some(&syncs));
        let Some(mut daemon) = started else {
            println!("no `strace` here, so nothing was counted");
            return;
        };
        let begun = Instant::now();
        while came.lock().unwrap().ids.len() < MESSAGES {
            assert!(begun.elapsed() < LIMIT, "only {} came", came.lock().unwrap().ids.len());
            std::thread::sleep(Duration::from_millis(20));
        }
        // It ends the daemon too: what strace runs dies with it.
        rustix::process::kill_process(Pid::from_child(&daemon), Signal::TERM).unwrap();
        daemon.wait().unwrap();
        let came = came.lock().unwrap();
        check_order(&came.ids, &lines);
        let took = came.last.unwrap() - came.first.unwrap();
        let rate = MESSAGES as f64 / took.as_secs_f64();
        if counted {
            let text = fs::read_to_string(&syncs).unwrap();
            let syncs = text.lines().filter(|line| line.contains("sync(")).count();
            let each = MESSAGES as f64 / syncs as f64;
            println!("under strace: {syncs} times to the disk, once in {each:.1} messages");
        } else {
            println!("round {round}: {rate:.0} a second, in order, {took:.1?} in all");
        }
    }
}

/// A database in which all of it waits; the avatar of each event.
async fn fill(folder: &Path) -> HashMap<String, (usize, usize)> {
    let (store, writer) = Store::open(&folder.join("avatar-watch.db"), "bench".to_owned()).unwrap();
    let channel = ChannelName::parse("ops").unwrap();
    let registered = ChannelTarget { name: channel.clone(), fingerprint: "bench".to_owned() };
    let millis = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let now = Timestamp::from_millis(i64::try_from(millis).unwrap());
    store.register_channels(vec![registered], now).await.unwrap();
    let mut lines = HashMap::new();
    for round in 0..MESSAGES / AVATARS {
        let mut commits = JoinSet::new();
        for avatar in 0..AVATARS {
            let number = round * AVATARS + avatar;
            let change = change(&channel, avatar, number, now);
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
        watch: Watch { sequence: transition.sequence, ..Watch::new(id) },
        transition: Some(transition),
        events: vec![NewEvent { event, title, body, deliveries: vec![delivery] }],
        conditions: Vec::new(),
        discovered: None,
        now,
    }
}

/// The daemon; under `strace`, which writes into this file, if there is one.
fn start(folder: &Path, url: &str, syncs: Option<&PathBuf>) -> Option<Child> {
    let config = format!(
        "argil.api_key = \"k\"\n[web]\nlisten = \"off\"\n[channels.ops]\ntype = \"webhook\"\n\
         url = \"{url}\"\nsecret = \"whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD\"\n"
    );
    let path = configure(folder, &config);
    let daemon = env!("CARGO_BIN_EXE_avatar-watch");
    let mut command = match syncs {
        None => Command::new(daemon),
        Some(file) => {
            let mut strace = Command::new("strace");
            strace.args(["-f", "--seccomp-bpf", "-I2", "-e", "trace=fsync,fdatasync", "-o"]);
            strace.arg(file).arg(daemon);
            strace
        }
    };
    command
        .args(["--config", path.to_str().unwrap(), "run", "--log-level", "warn"])
        .stderr(Stdio::inherit());
    match command.spawn() {
        Err(failure) if failure.kind() == ErrorKind::NotFound => None,
        started => Some(started.unwrap()),
    }
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

/// Each came once, and those of one avatar in their order.
fn check_order(ids: &[String], lines: &HashMap<String, (usize, usize)>) {
    let mut last: HashMap<usize, usize> = HashMap::new();
    for id in ids {
        let (avatar, number) = lines[id];
        let before = last.insert(avatar, number);
        assert!(before.is_none_or(|before| before < number), "avatar {avatar}: out of order");
    }
    assert_eq!(ids.len(), MESSAGES);
}

const MESSAGES: usize = 10_000;
const AVATARS: usize = 1_000;
const ROUNDS: usize = 3;
const LIMIT: Duration = Duration::from_secs(120);
