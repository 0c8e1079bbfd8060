//! The poller with a simulated clock, a real store and a real server: when it polls, what it
//! writes, and what delays it.

mod discovery;
mod durations;
mod rejected_key;
mod lists;
mod liveness;
mod failures;
mod accounts;
mod alert_groups;
mod conditions;
mod hints;
mod reload;
mod routing;
mod start;
mod unrecognized;
mod two_accounts;
mod intervals;
mod settled;

use std::sync::Arc;
use std::time::Duration;

use avatar_watch::argil::client::{ApiClientSpec, Client};
use avatar_watch::daemon::config::runtime_config::RuntimeConfig;
use avatar_watch::domain::polling::interval::SettledIntervals;
use avatar_watch::secret::Secret;
use avatar_watch::store::reader::DeliveryFilter;
use tokio::sync::Notify;

use crate::harness::argil::{Answer, FakeArgil};
use crate::harness::fake_notifier::FakeNotifier;
use crate::harness::plans::{plan, seconds, with_avatar, with_channel};
use crate::harness::world::{Counted, Loops, World};

type Plan = RuntimeConfig<Counted<Client>, FakeNotifier>;

/// The loops, a fake API over HTTP, and a channel `ops` that accepts everything.
struct Bench {
    api: FakeArgil,
    world: World<Counted<Client>, FakeNotifier>,
    source: Arc<Counted<Client>>,
    ops: Arc<FakeNotifier>,
}

impl Bench {
    fn new() -> Self {
        let api = FakeArgil::start();
        let world = World::new(1);
        let source = source(&api, "key", &world);
        let ops = FakeNotifier::taking(&world.clock);
        Self { api, world, source, ops }
    }

    /// A config with these avatars and the channel `ops`.
    fn plan(&self, avatars: &[&str]) -> Plan {
        let plan = plan(Arc::clone(&self.source));
        let plan = with_channel(plan, "ops", &self.ops);
        avatars.iter().fold(plan, |plan, avatar| with_avatar(plan, avatar, None))
    }

    /// Starts the daemon with these avatars, each with this status, after the first poll.
    async fn watching(avatars: &[&str], status: &str) -> Self {
        Self::with(Loops::Both, avatars, status, |plan| plan).await
    }

    /// The same with the poller only, for tests of intervals.
    async fn polling(avatars: &[&str], status: &str) -> Self {
        Self::with(Loops::Poller, avatars, status, |plan| plan).await
    }

    /// The same with a changed plan.
    async fn with(
        loops: Loops,
        avatars: &[&str],
        status: &str,
        change: impl FnOnce(Plan) -> Plan,
    ) -> Self {
        let mut bench = Self::new();
        bench.world.loops = loops;
        bench.api.set_all(avatars, status);
        bench.run(change(bench.plan(avatars))).await;
        bench
    }

    /// Starts the daemon, after the first polls.
    async fn run(&mut self, plan: Plan) {
        self.world.start(plan).await;
        self.world.quiet().await;
    }

    /// Reloads the config, after the polls that this causes.
    async fn change(&self, plan: Plan) {
        self.world.reload(plan).await;
        self.world.quiet().await;
    }

    /// Holds the answer to the next poll of the avatar until it is notified.
    fn hold(&self, avatar: &str) -> Arc<Notify> {
        let gate = Arc::new(Notify::new());
        self.api.answer_next(avatar, Answer::Hold(Arc::clone(&gate)));
        gate
    }

    /// Locks the database from outside.
    fn lock(&self) -> rusqlite::Connection {
        let beside = rusqlite::Connection::open(self.world.path()).unwrap();
        beside.execute_batch("BEGIN IMMEDIATE").unwrap();
        beside
    }

    /// What is stored as firing: `kind subject`.
    fn conditions(&self) -> Vec<String> {
        let rows = self.world.reader().conditions().unwrap();
        rows.iter().map(|row| format!("{} {}", row.kind, row.subject)).collect()
    }

    /// Advances the clock to the next poll of the avatar, by at most `limit`; returns the time
    /// passed.
    async fn wait_for_poll(&self, avatar: &str, limit: Duration) -> Option<Duration> {
        let (begun, before) = (self.world.clock.reading(), self.api.count(avatar));
        while self.api.count(avatar) == before {
            let next = self.world.clock.next_wake_up()?;
            if next.since(begun) > limit {
                return None;
            }
            self.world.clock.advance_to_next();
            self.world.quiet().await;
        }
        Some(self.world.clock.reading().since(begun))
    }

    /// The delays before the next polls of the avatar.
    async fn waits<const N: usize>(&self, avatar: &str) -> [Duration; N] {
        let mut waits = [Duration::ZERO; N];
        for wait in &mut waits {
            *wait = self.wait_for_poll(avatar, seconds(7200)).await.unwrap();
        }
        waits
    }

    fn history(&self) -> Vec<String> {
        self.world.history()
    }

    /// What reads a number that any write to the database changes.
    fn data_version(&self) -> impl Fn() -> i64 {
        let beside = rusqlite::Connection::open(self.world.path()).unwrap();
        move || beside.query_row("PRAGMA data_version", [], |row| row.get(0)).unwrap()
    }

    fn delivery_count(&self) -> usize {
        self.world.reader().deliveries(&DeliveryFilter::default()).unwrap().len()
    }
}

fn source(
    api: &FakeArgil,
    key: &'static str,
    world: &World<Counted<Client>, FakeNotifier>,
) -> Arc<Counted<Client>> {
    let client = Client::new(ApiClientSpec {
        base_url: api.base_url(),
        api_key: Secret::new(key),
        timeout: Duration::from_secs(20),
    });
    Arc::new(Counted(client.unwrap(), world.outside.clone()))
}

fn settled_is_never(mut plan: Plan) -> Plan {
    plan.intervals.settled = SettledIntervals::always(None);
    plan
}

fn numbered(letter: &str, numbers: std::ops::Range<usize>) -> Vec<&'static str> {
    numbers.map(|number| &*format!("{letter}{number:02}").leak()).collect()
}

#[tokio::test]
async fn a_training_is_polled_after_a_tenth_of_its_age_within_bounds() {
    let bench = Bench::polling(&["a"], "TRAINING").await;
    let mut age = Duration::ZERO;
    while age < seconds(900) {
        let [wait] = bench.waits("a").await;
        let due = (age / 10).clamp(seconds(5), seconds(60));
        assert_eq!(wait.as_millis(), due.as_millis(), "at the age of {age:?}");
        age += wait;
    }
}

#[tokio::test]
async fn a_settled_avatar_is_polled_again_after_settled() {
    for status in ["IDLE", "REFUSED", "TRAINING_FAILED"] {
        let bench = Bench::polling(&["a"], status).await;
        assert_eq!(bench.waits("a").await, [seconds(3600)], "{status}");
    }
}

#[tokio::test]
async fn a_settled_avatar_is_never_polled_again_if_settled_is_never() {
    let mut bench = Bench::new();
    bench.api.set_status("a", "IDLE");
    bench.api.set_status("b", "NOT_TRAINED");
    bench.world.loops = Loops::Poller;
    bench.run(settled_is_never(bench.plan(&["a", "b"]))).await;
    bench.world.live(seconds(3600)).await;
    assert_eq!(bench.api.count("a"), 1);
    bench.world.pass(seconds(30 * 24 * 3600)).await;
    assert_eq!(bench.api.count("a"), 1);
    assert_eq!(bench.api.count("b"), 1 + 60 + 1);
}

#[tokio::test]
async fn an_unknown_status_and_a_missing_avatar_have_intervals_of_their_own() {
    let bench = Bench::polling(&["a"], "HIBERNATING").await;
    assert_eq!(bench.waits("a").await, [seconds(5)]);
    bench.api.remove("a");
    assert_eq!(bench.waits("a").await, [seconds(5), seconds(900), seconds(900)]);
    assert_eq!(bench.history(), ["a: - > HIBERNATING"], "missing is no status");
}

#[tokio::test]
async fn failures_back_off_until_one_success() {
    let bench = Bench::polling(&["a"], "TRAINING").await;
    for _ in 0..9 {
        bench.api.answer_next("a", Answer::status(500, "oops"));
    }
    let waits = bench.waits("a").await.map(|wait| wait.as_secs());
    assert_eq!(waits, [5, 2, 4, 8, 16, 32, 64, 128, 256, 300]);
    let [wait] = bench.waits("a").await;
    assert_eq!(wait, seconds(60), "a tenth of its age, at most a minute");
    assert_eq!(bench.history(), ["a: - > TRAINING"], "a failure is never a status");
}

#[tokio::test]
async fn a_wall_clock_jump_causes_neither_a_burst_nor_a_stall() {
    const DAY_MS: i64 = 24 * 3600 * 1000;
    for jump_ms in [DAY_MS, -DAY_MS, 400 * DAY_MS, -400 * DAY_MS] {
        let bench = Bench::polling(&["a", "b"], "NOT_TRAINED").await;
        bench.api.set_status("b", "TRAINING");
        bench.world.live(seconds(60)).await;
        let before = bench.api.requests().len();
        bench.world.clock.jump_wall(jump_ms);
        bench.world.quiet().await;
        assert_eq!(bench.api.requests().len(), before, "nothing is due because of a jump");
        assert_eq!(bench.wait_for_poll("b", seconds(60)).await, Some(seconds(5)));
        assert_eq!(bench.wait_for_poll("a", seconds(60)).await, Some(seconds(55)));
        let before = bench.api.count("b");
        bench.world.live(seconds(60)).await;
        let polls = bench.api.count("b") - before;
        assert!((1..=12).contains(&polls), "{polls} polls in a minute after {jump_ms} ms");
    }
}

#[tokio::test]
async fn a_slow_avatar_delays_no_other() {
    let mut bench = Bench::new();
    bench.api.set_all(&["quick", "slow"], "TRAINING");
    let gate = bench.hold("slow");
    bench.world.start(bench.plan(&["quick", "slow"])).await;
    for polls in 2..=6 {
        bench.world.quiet_but(1).await;
        bench.world.clock.advance(seconds(5));
        let what = "the quick avatar is polled";
        bench.api.wait_until(what, |seen| count(seen, "quick") == polls).await;
    }
    assert_eq!(bench.api.count("slow"), 1, "one poll per avatar at a time");
    gate.notify_one();
    bench.world.quiet().await;
    assert_eq!(bench.history(), ["quick: - > TRAINING", "slow: - > TRAINING"]);
}

fn count(requests: &[crate::harness::argil::Request], avatar: &str) -> usize {
    requests.iter().filter(|request| request.avatar == avatar).count()
}

#[tokio::test]
async fn a_poll_without_change_writes_nothing() {
    let bench = Bench::watching(&["a", "b", "gone"], "TRAINING").await;
    bench.api.remove("gone");
    bench.api.set_status("b", "IDLE");
    bench.world.live(seconds(120)).await;

    let version = bench.data_version();
    let files = || {
        ["", "-wal"].map(|suffix| {
            let path = format!("{}{suffix}", bench.world.path().display());
            let data = std::fs::metadata(path).unwrap();
            (data.len(), data.modified().unwrap())
        })
    };
    let (polls, before) = (bench.api.requests().len(), (version(), files()));
    bench.world.live(seconds(1500)).await;
    let polls = bench.api.requests().len() - polls;
    assert!(polls > 25, "only {polls} polls");
    assert_eq!((version(), files()), before, "after {polls} polls without change");

    bench.api.set_status("a", "IDLE");
    bench.world.live(seconds(60)).await;
    assert_ne!(version(), before.0, "news is written");
}
