//! What draining costs: ten thousand messages that wait, a receiver that is up, the real daemon.
//!
//! `cargo bench --bench draining` prints messages a second and commits a message, and checks that
//! every message came once and in the order of its avatar. Nothing about time is asserted.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up has failed")]
#![expect(clippy::print_stdout, reason = "figures are what it is for")]

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use avatar_watch::domain::account::AccountName;
use avatar_watch::domain::avatar::AvatarId;
use avatar_watch::domain::channel::ChannelName;
use avatar_watch::domain::condition::{About, Condition, Phase};
use avatar_watch::domain::delivery::{Delivery, DeliveryId};
use avatar_watch::domain::event::{Event, EventId, EventKind, Subject};
use avatar_watch::domain::retry::Terms;
use avatar_watch::domain::roll::Roll;
use avatar_watch::domain::timestamp::Timestamp;
use avatar_watch::notify::format::standard;
use avatar_watch::store::channels::Registered;
use avatar_watch::store::handle::{Announcement, Store};
use avatar_watch::store::outbox::NewDelivery;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;

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
    for round in 1..=ROUNDS {
        let came = Arc::new(Mutex::new(Came::default()));
        let url = runtime.block_on(serve(Arc::clone(&came)));
        let folder = tempfile::tempdir().unwrap();
        let lines = runtime.block_on(fill(folder.path()));
        let mut daemon = start(folder.path(), &url);
        let begun = Instant::now();
        while came.lock().unwrap().ids.len() < MESSAGES {
            assert!(begun.elapsed() < LIMIT, "only {} came", came.lock().unwrap().ids.len());
            std::thread::sleep(Duration::from_millis(20));
        }
        daemon.kill().unwrap();
        daemon.wait().unwrap();
        let came = came.lock().unwrap();
        check_order(&came.ids, &lines);
        let took = came.last.unwrap() - came.first.unwrap();
        let rate = MESSAGES as f64 / took.as_secs_f64();
        println!("round {round}: {rate:.0} a second, in order, {took:.1?} in all");
    }
}

/// A database in which all of it waits; the avatar of each event.
async fn fill(folder: &Path) -> HashMap<String, (usize, usize)> {
    let (store, writer) = Store::open(&folder.join("avatar-watch.db"), "bench".to_owned()).unwrap();
    let channel = ChannelName::parse("ops").unwrap();
    let registered = Registered { name: channel.clone(), fingerprint: "bench".to_owned() };
    let millis = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let now = Timestamp::from_millis(i64::try_from(millis).unwrap());
    store.register_channels(vec![registered], now).await.unwrap();
    let mut lines = HashMap::new();
    let mut announcements = Vec::new();
    for number in 0..MESSAGES {
        let roll = Roll::new(7).derive(number as u64);
        let avatar = number % AVATARS;
        let about = About::Avatar {
            id: AvatarId::parse(&format!("avatar-{avatar}")).unwrap(),
            name: Some("Jane, English".to_owned()),
            account: AccountName::default(),
            status: None,
        };
        let condition = Condition { phase: Phase::Ended, since: now, about, reason: None };
        let event = Event {
            id: EventId::mint(now, roll),
            kind: EventKind::AvatarMissing,
            occurred_at: now,
            subject: Subject::Condition(Box::new(condition)),
        };
        lines.insert(event.id.to_string(), (avatar, number));
        let body = standard::render(&event);
        let delivery = NewDelivery {
            id: DeliveryId::mint(now, roll),
            channel: channel.clone(),
            recipient: String::new(),
            content_type: standard::CONTENT_TYPE.to_owned(),
            body: body.clone(),
            delivery: Delivery::new(now, &Terms::webhook()),
        };
        announcements.push(Announcement { event, body, deliveries: vec![delivery] });
    }
    store.announce(announcements, now).await.unwrap();
    drop(store);
    tokio::task::spawn_blocking(move || writer.join()).await.unwrap();
    lines
}

fn start(folder: &Path, url: &str) -> std::process::Child {
    let config = format!(
        "argil.api_key = \"k\"\n[web]\nlisten = \"off\"\n[channels.ops]\ntype = \"webhook\"\n\
         url = \"{url}\"\nsecret = \"whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD\"\n"
    );
    let path = folder.join("avatar-watch.toml");
    fs::write(&path, config).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    Command::new(env!("CARGO_BIN_EXE_avatar-watch"))
        .args(["--config", path.to_str().unwrap(), "run", "--log-level", "warn"])
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}

async fn serve(came: Arc<Mutex<Came>>) -> String {
    let router = Router::new().route("/hook", post(take)).with_state(came);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    url
}

async fn take(State(came): State<Arc<Mutex<Came>>>, headers: HeaderMap) -> StatusCode {
    let id = headers["webhook-id"].to_str().unwrap().to_owned();
    let mut came = came.lock().unwrap();
    let now = Instant::now();
    came.first.get_or_insert(now);
    came.last = Some(now);
    came.ids.push(id);
    StatusCode::NO_CONTENT
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
