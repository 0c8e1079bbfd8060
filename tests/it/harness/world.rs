//! A small world around the two loops: a real store on a real file, started, reloaded, stopped
//! and killed as the supervisor does it, under a clock that the test advances.
//!
//! Everything runs on the test's own thread but the store's writer, so after
//! [`World::quiet`] nothing happens until the test does something.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use avatar_watch::daemon::config::runtime_config::RuntimeConfig;
use avatar_watch::daemon::context::DaemonContext;
use avatar_watch::daemon::dispatcher::Dispatcher;
use avatar_watch::daemon::poller::Poller;
use avatar_watch::daemon::ports::{AvatarSource, Notifier};
use avatar_watch::daemon::rng::Rng;
use avatar_watch::daemon::stats::DaemonStats;
use avatar_watch::daemon::supervision::shutdown::Shutdown;
use avatar_watch::domain::avatar::AvatarId;
use avatar_watch::domain::avatar::status::Status;
use avatar_watch::domain::avatar::transition::Transition;
use avatar_watch::domain::polling::list_observation::ListObservation;
use avatar_watch::domain::polling::observation::Observation;
use avatar_watch::domain::random::RandomBits;
use avatar_watch::domain::time::timestamp::Timestamp;
use avatar_watch::runtime::event_bus::EventBus;
use avatar_watch::store::error::StoreError;
use avatar_watch::store::handle::Store;
use avatar_watch::store::reader::Reader;
use avatar_watch::store::recovery::CrashRecovery;
use avatar_watch::store::tables::channels::ChannelTarget;
use avatar_watch::store::writer::Writer;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, yield_now};

use crate::harness::clock::ManualClock;
use crate::harness::daemon::wait_until;

/// The loops, what they stand on, and the clock.
pub(crate) struct World<S, N> {
    /// The clock of everything in it.
    pub(crate) clock: ManualClock,
    /// Polls in flight outside of it, through sockets.
    pub(crate) outside: Outside,
    /// What a start starts.
    pub(crate) loops: Loops,
    chance: Rng,
    folder: tempfile::TempDir,
    boots: u32,
    running: Option<Running<S, N>>,
}

/// What runs in a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loops {
    /// The poller and the dispatcher, as in the daemon.
    Both,
    /// The poller alone: then nothing polls the table every other second.
    Poller,
}

struct Running<S, N> {
    store: Store,
    writer: Writer,
    plans: watch::Sender<Arc<RuntimeConfig<S, N>>>,
    hints: mpsc::Sender<AvatarId>,
    shutdown: Shutdown,
    loops: Vec<JoinHandle<Result<(), StoreError>>>,
    pulse: Arc<DaemonStats>,
}

impl<S: AvatarSource, N: Notifier> World<S, N> {
    /// A world in which nothing runs yet. The seed is the loops' chance.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            clock: ManualClock::new(),
            outside: Outside::default(),
            loops: Loops::Both,
            chance: Rng::seeded(seed),
            folder: folder(),
            boots: 0,
            running: None,
        }
    }

    /// Opens the store. A child that another test is just starting holds our locks until it
    /// becomes another program, so the lock may not be free at once.
    fn open_store(&self) -> (Store, Writer) {
        let mut opened = None;
        wait_until("the lock of the database", || {
            match Store::open(&self.path(), format!("boot{}", self.boots)) {
                Ok(store) => opened = Some(store),
                Err(StoreError::Locked { .. }) => {}
                Err(error) => panic!("{error}"),
            }
            opened.is_some()
        });
        opened.unwrap()
    }

    /// Starts the daemon: a new process on the same file.
    pub(crate) async fn start(&mut self, plan: RuntimeConfig<S, N>) {
        assert!(self.running.is_none(), "it runs already");
        self.boots += 1;
        let plan = Arc::new(plan);
        let (store, writer) = self.open_store();
        let (now, roll) = (self.clock.wall(), self.chance.next_bits());
        register(&store, &plan, now, roll).await;
        let (clock, chance) = (self.clock.clone(), self.chance.clone());
        let tools = DaemonContext::new(store.clone(), clock, chance, EventBus::default(), roll);
        let pulse = Arc::new(DaemonStats::default());
        let (plans, followed) = watch::channel(Arc::clone(&plan));
        let shutdown = Shutdown::default();
        let (hints, hinted) = mpsc::channel(64);
        let poller =
            Poller::new(tools.clone(), Arc::clone(&pulse), Arc::clone(&plan), hinted).await;
        let poller = poller.unwrap().run(followed.clone(), shutdown.clone());
        let mut loops = vec![tokio::spawn(poller)];
        if self.loops == Loops::Both {
            let dispatcher = Dispatcher::new(tools, Arc::clone(&pulse), plan);
            loops.push(tokio::spawn(dispatcher.run(followed, shutdown.clone())));
        }
        self.running = Some(Running { store, writer, plans, hints, shutdown, loops, pulse });
    }

    /// Hands the loops a new plan.
    pub(crate) async fn reload(&self, plan: RuntimeConfig<S, N>) {
        let (now, roll) = (self.clock.wall(), self.chance.next_bits());
        register(&self.running().store, &plan, now, roll).await;
        self.hand(plan);
    }

    /// Hands the loops a new plan with the same channels.
    pub(crate) fn hand(&self, plan: RuntimeConfig<S, N>) {
        self.running().plans.send_replace(Arc::new(plan));
    }

    /// Hands the poller a hint.
    pub(crate) fn hint(&self, id: &AvatarId) {
        self.running().hints.try_send(id.clone()).unwrap();
    }

    /// What the loops say of themselves.
    pub(crate) fn pulse(&self) -> &DaemonStats {
        &self.running().pulse
    }

    /// Begins a graceful shutdown.
    pub(crate) fn order_stop(&self) {
        self.running().shutdown.graceful.cancel();
    }

    /// Begins a graceful shutdown and turns the hand until both loops have ended.
    pub(crate) async fn stop(&mut self) -> Vec<Result<(), StoreError>> {
        self.order_stop();
        loop {
            self.quiet().await;
            if self.ended() == self.running().loops.len() {
                return self.end().await;
            }
            self.clock.advance_to_next().unwrap();
        }
    }

    /// How many of the loops have ended.
    pub(crate) fn ended(&self) -> usize {
        self.running().loops.iter().filter(|end| end.is_finished()).count()
    }

    /// Kills the loops without notice.
    pub(crate) fn abort(&self) {
        self.running().loops.iter().for_each(JoinHandle::abort);
    }

    /// Kills the loops where they stand; what the writer has taken on, it still writes.
    pub(crate) async fn crash(&mut self) {
        self.abort();
        self.end().await;
    }

    /// Waits for the loops' end and closes the store; how those ended that were not killed.
    pub(crate) async fn end(&mut self) -> Vec<Result<(), StoreError>> {
        let Running { store, writer, loops, shutdown, .. } = self.running.take().unwrap();
        let mut results = Vec::new();
        for end in loops {
            results.extend(end.await);
        }
        shutdown.immediate.cancel();
        drop(store);
        // The aborted polls and attempts hold the store until they are run once more.
        tokio::task::spawn_blocking(move || writer.join()).await.unwrap();
        results
    }

    /// Waits until everything has happened that can happen without the hand.
    pub(crate) async fn quiet(&self) {
        self.quiet_but(0).await;
    }

    /// The same, with so many polls held up outside.
    ///
    /// Every activity reads the clock at least once in so many requests to the writer. So it is
    /// quiet when as many rounds through the writer, behind every waiting request, and a turn of
    /// every task after each, read no clock.
    pub(crate) async fn quiet_but(&self, held: usize) {
        self.turn().await;
        let mut quiet_rounds = 0;
        while quiet_rounds < WRITER_ROUNDS {
            let before = self.clock.readings();
            self.outside.at_most(held).await;
            // Only the way there and back matters.
            drop(self.running().store.watches(Vec::new()).await);
            self.turn().await;
            let quiet = self.clock.readings() == before && self.outside.count() <= held;
            quiet_rounds = if quiet { quiet_rounds + 1 } else { 0 };
        }
    }

    /// Lets every task that can go on do so, even when the scheduler runs one task at a turn.
    async fn turn(&self) {
        let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        for _ in 0..2 * tasks + YIELDS {
            yield_now().await;
        }
    }

    /// Turns the hand, and waits for what that makes happen.
    pub(crate) async fn pass(&self, time: Duration) {
        self.clock.advance(time);
        self.quiet().await;
    }

    /// Turns the hand from wake-up to wake-up until so much time has passed.
    pub(crate) async fn live(&self, time: Duration) {
        let end = self.clock.reading().plus(time);
        while self.clock.next_wake_up().is_some_and(|next| next <= end) {
            self.clock.advance_to_next();
            self.quiet().await;
        }
        self.pass(end.since(self.clock.reading())).await;
    }

    /// Where the database is.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("world.db")
    }

    /// The database, as anyone beside the daemon reads it.
    pub(crate) fn reader(&self) -> Reader {
        Reader::open(&self.path()).unwrap()
    }

    /// Every transition as `avatar: FROM > TO`, sorted by avatar, since polls of different avatars
    /// may complete in any order.
    pub(crate) fn history(&self) -> Vec<String> {
        let mut transitions = self.reader().transitions(None, 1000).unwrap();
        transitions.sort_by(|a, b| a.avatar_id.cmp(&b.avatar_id));
        let line = |it: &Transition| {
            let from = it.previous.status().map_or("-".to_owned(), Status::to_string);
            format!("{}: {from} > {}", it.avatar_id, it.status)
        };
        transitions.iter().map(line).collect()
    }

    fn running(&self) -> &Running<S, N> {
        self.running.as_ref().unwrap()
    }
}

/// In memory where there is such a place: a crash here is never one of the disk.
fn folder() -> tempfile::TempDir {
    let in_memory = tempfile::tempdir_in("/dev/shm");
    in_memory.or_else(|_| tempfile::tempdir()).unwrap()
}

async fn register<S, N>(
    store: &Store,
    plan: &RuntimeConfig<S, N>,
    now: Timestamp,
    roll: RandomBits,
) {
    let channels = plan
        .channels
        .iter()
        .map(|(name, it)| ChannelTarget { name: name.clone(), fingerprint: it.target.clone() });
    store.register_channels(channels.collect(), now).await.unwrap();
    store
        .recover(CrashRecovery { now, policies: plan.delivery_policies(), random: roll })
        .await
        .unwrap();
}

/// The number of polls in flight outside of the world; clones count together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outside(Arc<watch::Sender<usize>>);

impl Outside {
    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        *self.0.borrow()
    }

    async fn at_most(&self, held: usize) {
        if self.count() <= held {
            return;
        }
        let mut counts = self.0.subscribe();
        let fact = counts.wait_for(|now| *now <= held);
        if tokio::time::timeout(WAIT_MAX, fact).await.is_err() {
            panic!("not within {WAIT_MAX:?}: {held} polls in flight; there are {}", self.count());
        }
    }
}

/// A source outside of the world: its polls are counted.
pub(crate) struct Counted<S>(pub(crate) S, pub(crate) Outside);

impl<S: AvatarSource> AvatarSource for Counted<S> {
    async fn poll(&self, id: &AvatarId, now: Timestamp) -> Observation {
        let _leave = Leave::after_entering(&self.1);
        self.0.poll(id, now).await
    }

    async fn list(&self, now: Timestamp) -> ListObservation {
        let _leave = Leave::after_entering(&self.1);
        self.0.list(now).await
    }

    fn reconnects(&self) -> u64 {
        self.0.reconnects()
    }
}

struct Leave<'a>(&'a Outside);

impl<'a> Leave<'a> {
    fn after_entering(outside: &'a Outside) -> Self {
        outside.0.send_modify(|now| *now += 1);
        Self(outside)
    }
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.0.send_modify(|now| *now -= 1);
    }
}

/// Errands to the writer between two readings of the clock.
const WRITER_ROUNDS: usize = 3;
/// Turns of the scheduler in a round, besides two for each task.
const YIELDS: usize = 4;
/// How long a test waits for a fact.
const WAIT_MAX: Duration = Duration::from_secs(10);
