//! What many channels cost: avatars that all leave TRAINING at once, each notified to every
//! channel, some of which may hang.
//!
//! `cargo bench --bench fanning` prints for 1, 10 and 100 channels how soon all changes are
//! recorded and delivered, and the most memory and descriptors; then the same for one channel among
//! 50 that hang. It measures; it asserts only that each message comes once.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up has failed")]
#![expect(clippy::print_stdout, reason = "figures are what it is for")]

mod common;

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use avatar_watch::demo::fake_argil::id_in;
use avatar_watch::demo::fake_server::{Request, Response};
use common::{
    OURS, Usage, avatar, avatar_entries, configure, serve, start_daemon, wait_for, webhook,
};
use futures_util::FutureExt as _;
use tokio::runtime::Runtime;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    for channels in [1, 10, 100] {
        measure(&runtime, channels, 0, 1000);
    }
    measure(&runtime, 1, 50, 200);
}

#[derive(Default)]
struct World {
    left: AtomicBool,
    seen: Mutex<HashSet<String>>,
    came: Mutex<Came>,
}

#[derive(Default)]
struct Came {
    /// The messages of each channel, by event.
    events: BTreeMap<String, HashSet<String>>,
    detected_at: Vec<i64>,
    last: Option<Instant>,
}

fn measure(runtime: &Runtime, channels: usize, hanging: usize, avatars: usize) {
    let world = Arc::new(World::default());
    let shown = Arc::clone(&world);
    let origin = runtime.block_on(serve(move |request| respond(&shown, request)));
    let folder = tempfile::tempdir().unwrap();
    let config = config(&origin, channels, hanging, avatars);
    let mut daemon = start_daemon(OURS, &configure(folder.path(), &config));
    wait_for("baselines", || world.seen.lock().unwrap().len() == avatars);
    let (idle, begun) = (Usage::of(&daemon), Instant::now());
    world.left.store(true, Ordering::SeqCst);
    let (mut resident, mut files) = (0, 0);
    let expected = channels * avatars;
    let count =
        || world.came.lock().unwrap().events.values().map(HashSet::len).sum::<usize>() == expected;
    wait_for("messages", || {
        resident = resident.max(Usage::of(&daemon).resident_kib);
        let open = fs::read_dir(format!("/proc/{}/fd", daemon.id())).unwrap().count();
        files = files.max(open);
        count()
    });
    let used = Usage::of(&daemon).since(idle);
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    let came = world.came.lock().unwrap();
    let took = came.last.unwrap() - begun;
    let recorded = came.detected_at.iter().max().unwrap() - came.detected_at.iter().min().unwrap();
    println!(
        "{avatars} avatars, {channels} channels, {hanging} more that hang: recorded within \
         {recorded} ms, delivered in {took:.1?} ({:.0} a second), {:.2} ms of CPU a message, {} to \
         {} MiB, {files} files",
        expected as f64 / took.as_secs_f64(),
        used.cpu.as_secs_f64() * 1e3 / expected as f64,
        idle.resident_kib / 1024,
        resident / 1024,
    );
}

fn config(origin: &str, channels: usize, hanging: usize, avatars: usize) -> String {
    let mut config = format!(
        "[argil]\napi_key = \"k\"\nbase_url = \"{origin}/v1\"\nmax_requests_per_second = 10000\n\
         [poll]\ntraining = {{ min = \"2s\", max = \"2s\" }}\n[web]\nlisten = \"off\"\n"
    );
    for (kind, count) in [("hang", hanging), ("hook", channels)] {
        for number in 0..count {
            let url = format!("{origin}/{kind}/{number}");
            config.push_str(&webhook(&format!("{kind}-{number:03}"), &url));
        }
    }
    config.push_str(&avatar_entries(avatars));
    config
}

/// The fake Argil and the receivers.
fn respond(world: &World, request: &Request) -> Response {
    if request.path.starts_with("/hang/") {
        return Response::Broken(Box::new(|stream| {
            async move {
                std::future::pending::<()>().await;
                drop(stream);
            }
            .boxed()
        }));
    }
    if request.method == "POST" {
        let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
        let at: jiff::Timestamp = body["data"]["detected_at"].as_str().unwrap().parse().unwrap();
        let event = request.header("webhook-id").unwrap().to_owned();
        let mut came = world.came.lock().unwrap();
        came.detected_at.push(at.as_millisecond());
        came.last = Some(Instant::now());
        let is_new = came.events.entry(request.path.clone()).or_default().insert(event);
        assert!(is_new, "a message came twice");
        return Response::new(204, "");
    }
    let id = id_in(&request.path);
    let left = world.left.load(Ordering::SeqCst);
    world.seen.lock().unwrap().insert(id.clone());
    Response::new(200, avatar(&id, if left { "IDLE" } else { "TRAINING" }))
}
