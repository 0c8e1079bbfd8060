//! What a notified transition costs, and how soon it is notified: the daemon against a bare reqwest
//! loop that asks the same server for the same avatars at the same pace, in the same run.
//!
//! Each avatar is polled every 5 s for 75 s and leaves TRAINING once within the first 50 s, so that
//! N avatars are N notified transitions. `cargo bench --bench notifying` prints CPU, memory, bytes
//! written and latency for 10, 100, 1,000 and 10,000 avatars, of five rounds each;
//! `-- 100 1000` measures those only, `-- --rounds 1` once. A shell script does the same for up to
//! 100 avatars. It measures; it asserts only that the daemon notifies each transition once.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up has failed")]
#![expect(clippy::print_stdout, reason = "figures are what it is for")]

mod common;

use std::path::Path;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use avatar_watch::demo::fake_argil::id_in;
use avatar_watch::demo::fake_server::{Request, Response};
use common::{
    OURS, Usage, avatar, avatar_entries, avatar_number, configure, other_program, percentile,
    run_bare_loop_if_asked, serve, shown, start_bare_loop, start_daemon, webhook,
};
use tokio::runtime::Runtime;

fn main() {
    run_bare_loop_if_asked();
    let numbers: Vec<String> = std::env::args().skip(1).filter(|it| it != "--bench").collect();
    let (mut sizes, mut rounds) = (Vec::new(), 5);
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
        let (mut rounds_of, mut pairs) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let bare = measure(&runtime, avatars, |base_url, _| {
                start_bare_loop(base_url, avatars, INTERVAL)
            });
            let ours = measure_daemon(&runtime, OURS, avatars);
            rounds_of.push(Figures::of(&ours, &bare));
            if let Some(other) = other_program() {
                let other = measure_daemon(&runtime, &other, avatars);
                pairs.push(ours.whole.cpu.as_secs_f64() / other.whole.cpu.as_secs_f64());
            }
        }
        let of = |figure: fn(&Figures) -> f64| shown(rounds_of.iter().map(figure));
        println!(
            "notifying, {avatars} avatars: {} times the CPU of a bare loop; a transition {} ms of \
             CPU and {} KiB written; latency p50 {}, p99 {} ms; {} MiB",
            of(|it| it.ratio),
            of(|it| it.transition_ms),
            of(|it| it.transition_kib),
            of(|it| it.p50_ms),
            of(|it| it.p99_ms),
            of(|it| it.resident_mib),
        );
        if !pairs.is_empty() {
            println!("that is {} times the CPU of the other program", shown(pairs));
        }
        if avatars <= SCRIPT_MAX {
            let script = measure(&runtime, avatars, |base_url, folder| {
                start_script(base_url, folder, avatars)
            });
            let notified = script.seen.iter().filter(|it| !it.notified_at.is_empty()).count();
            println!(
                "a shell script: {:.0} times the CPU of the daemon, {:.0} % of its polls, \
                 {notified} of {avatars} notified",
                script.whole.cpu.as_secs_f64() / rounds_of[0].cpu_s,
                (script.busy_polls + script.rest_polls) as f64 / rounds_of[0].polls as f64 * 100.0,
            );
        }
    }
}

struct Figures {
    cpu_s: f64,
    polls: usize,
    ratio: f64,
    transition_ms: f64,
    transition_kib: f64,
    p50_ms: f64,
    p99_ms: f64,
    resident_mib: f64,
}

impl Figures {
    fn of(daemon: &Measured, bare: &Measured) -> Self {
        let latencies: Vec<f64> = daemon.seen.iter().map(latency_ms).collect();
        // What polls cost is known from the rest of the time, in which nothing changes.
        let poll_s = daemon.rest.cpu.as_secs_f64() / daemon.rest_polls as f64;
        let busy_s = daemon.busy.cpu.as_secs_f64() - poll_s * daemon.busy_polls as f64;
        let avatars = latencies.len() as f64;
        Self {
            cpu_s: daemon.whole.cpu.as_secs_f64(),
            polls: daemon.busy_polls + daemon.rest_polls,
            ratio: daemon.whole.cpu.as_secs_f64() / bare.whole.cpu.as_secs_f64(),
            transition_ms: busy_s * 1e3 / avatars,
            transition_kib: daemon.busy.written as f64 / 1024.0 / avatars,
            p50_ms: percentile(&latencies, 50),
            p99_ms: percentile(&latencies, 99),
            resident_mib: daemon.whole.resident_kib as f64 / 1024.0,
        }
    }
}

fn measure_daemon(runtime: &Runtime, program: &str, avatars: usize) -> Measured {
    measure(runtime, avatars, |base_url, folder| {
        start_daemon(program, &configure(folder, &config(base_url, avatars)))
    })
}

/// What many write: `curl`, `jq` and `sqlite3` in a loop.
fn start_script(base_url: &str, folder: &Path, avatars: usize) -> Child {
    let hook = format!("{}/hook", base_url.trim_end_matches("/v1"));
    let script = format!(
        r#"cd "{folder}"
        sqlite3 s.db 'CREATE TABLE s(id TEXT PRIMARY KEY, status TEXT)'
        while :; do
          begun=$SECONDS
          for number in $(seq 0 {last}); do
            id=avatar-$number
            now=$(curl -s -H 'x-api-key: k' "{base_url}/avatars/$id" | jq -r .status)
            old=$(sqlite3 s.db "SELECT status FROM s WHERE id = '$id'")
            [ "$now" = "$old" ] && continue
            sqlite3 s.db "INSERT OR REPLACE INTO s VALUES('$id', '$now')"
            [ "$old" = TRAINING ] && curl -s -d '{{"data":{{"avatar":{{"id":"'$id'"}}}}}}' "{hook}"
          done
          rest=$(({interval} - (SECONDS - begun)))
          [ $rest -gt 0 ] && sleep $rest
        done"#,
        folder = folder.display(),
        last = avatars - 1,
        interval = INTERVAL.as_secs(),
    );
    Command::new("bash").args(["-c", &script]).spawn().unwrap()
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
    start: impl FnOnce(&str, &Path) -> Child,
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
    format!(
        "[argil]\napi_key = \"k\"\nbase_url = \"{base_url}\"\nmax_requests_per_second = 10000\n\
         [poll]\nsettled = \"{pace}\"\ntraining = {{ min = \"{pace}\", max = \"{pace}\" }}\n\
         [web]\nlisten = \"off\"\n{}{}",
        webhook("ops", &format!("{origin}/hook")),
        avatar_entries(avatars)
    )
}

/// The fake Argil and the receiver.
fn respond(world: &World, request: &Request) -> Response {
    let now = Instant::now();
    let mut avatars = world.avatars.lock().unwrap();
    if request.method == "POST" {
        let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
        let id = body["data"]["avatar"]["id"].as_str().unwrap();
        avatars[avatar_number(id)].notified_at.push(now);
        return Response::new(204, "");
    }
    let id = id_in(&request.path);
    let count = avatars.len();
    let seen = &mut avatars[avatar_number(&id)];
    let leaves_after =
        FIRST_LEAVES_AFTER + LEAVING.mul_f64(avatar_number(&id) as f64 / count as f64);
    let left = world.begun.elapsed() >= leaves_after && seen.polls > 0;
    seen.polls += 1;
    if left {
        seen.left_at.get_or_insert(now);
    }
    Response::new(200, avatar(&id, if left { "IDLE" } else { "TRAINING" }))
}

const INTERVAL: Duration = Duration::from_secs(5);
const FIRST_LEAVES_AFTER: Duration = Duration::from_secs(6);
const LEAVING: Duration = Duration::from_secs(44);
const SLACK: Duration = Duration::from_secs(1);
/// A script cannot keep the pace with more avatars.
const SCRIPT_MAX: usize = 100;
const WHOLE: Duration = Duration::from_secs(75);
