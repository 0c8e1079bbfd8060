//! The desk: all that the web works with, handed in by whoever runs it.
//!
//! It reads the tables with connections of its own, and passes three small requests on: look now,
//! try a channel, send again. It decides nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{Mutex, Semaphore, mpsc, oneshot, watch};

use crate::domain::account::AccountName;
use crate::domain::avatar::AvatarId;
use crate::domain::delivery::channel::ChannelName;
use crate::domain::random::RandomBits;
use crate::domain::time::monotonic::Monotonic;
use crate::domain::time::timestamp::Timestamp;
use crate::runtime::event_bus::EventBus;
use crate::runtime::last_seen::LastSeen;
use crate::runtime::metrics::{Dropped, Metrics};
use crate::web::auth::AccessPolicy;
use crate::web::reader_cache::ReaderCache;

/// What the web works with; clones share it.
#[derive(Clone)]
pub struct AppState {
    /// The database.
    pub database: PathBuf,
    /// Both clocks and a roll of chance, of now.
    pub now: Arc<dyn Fn() -> Now + Send + Sync>,
    /// When the daemon started.
    pub started_at: Monotonic,
    /// What the config in force says.
    pub config: watch::Receiver<Arc<ConfigView>>,
    /// What happens.
    pub events: EventBus,
    /// What was seen last.
    pub last_seen: LastSeen,
    /// The numbers.
    pub metrics: Metrics,
    /// How long ago each loop last turned, and whether that is too long.
    pub progress: Arc<dyn Fn(Monotonic) -> Vec<LoopState> + Send + Sync>,
    /// Whether the database can be written, as far as is known.
    pub database_writable: Arc<dyn Fn() -> bool + Send + Sync>,
    /// What was not written, since nobody read it.
    pub dropped: Arc<dyn Fn() -> Dropped + Send + Sync>,
    /// Takes avatars to look at now. When it is full, there is enough to look at.
    pub poll_requests: mpsc::Sender<AvatarId>,
    /// Takes channels to try.
    pub test_requests: mpsc::Sender<TestRequest>,
    /// Wakes the dispatcher.
    pub wake_dispatcher: Arc<dyn Fn() + Send + Sync>,
    /// The reader of the tables, between two answers.
    pub reader_cache: ReaderCache,
    /// When a health check read the database last.
    pub read_at: Arc<Mutex<Option<Monotonic>>>,
    /// Room for readers of the tables: few, so that no crowd takes the machine from the loops.
    pub readers: Arc<Semaphore>,
}

/// One moment and a roll for it.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// The wall's clock.
    pub now: Timestamp,
    /// The steady clock.
    pub monotonic: Monotonic,
    /// Chance.
    pub random: RandomBits,
}

/// What the config says, as far as it is shown.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConfigView {
    /// The accounts.
    pub accounts: Vec<AccountName>,
    /// Whether lists are searched for avatars.
    pub discovers: bool,
    /// The avatars that are registered.
    pub avatars: BTreeMap<AvatarId, AvatarConfig>,
    /// The channels, each with the word for its kind.
    pub channels: BTreeMap<ChannelName, String>,
    /// Whether pictures are shown, or only linked to.
    pub thumbnails: bool,
    /// Who may do what.
    pub rules: AccessPolicy,
}

/// One registered avatar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AvatarConfig {
    /// The name that the user gave it.
    pub label: Option<String>,
    /// The account that it is watched with.
    pub account: AccountName,
}

/// How a loop is getting on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoopState {
    /// Which loop.
    pub name: &'static str,
    /// How long ago it last turned.
    pub age: Duration,
    /// Whether that is longer than it should be.
    pub stalled: bool,
}

/// A channel to try, and where the outcome goes.
#[derive(Debug)]
pub struct TestRequest {
    /// Which channel.
    pub channel: ChannelName,
    /// Takes how each recipient took it; nothing when there is no such channel.
    pub answer: oneshot::Sender<Option<Vec<TestResult>>>,
}

/// How one recipient took a trial message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TestResult {
    /// Who, where the channel has more than one receiver.
    pub recipient: Option<String>,
    /// The word for how it ended.
    pub outcome: &'static str,
    /// Whether it was taken.
    pub delivered: bool,
    /// How far it came.
    pub phase: String,
    /// The status code of the answer.
    pub code: Option<u16>,
    /// What went wrong.
    pub error: Option<String>,
    /// How long it took, in milliseconds.
    pub latency_ms: u64,
}

impl AppState {
    /// Both clocks and a roll of chance, of now.
    pub fn tick(&self) -> Now {
        (self.now)()
    }

    /// What the config in force says.
    pub fn register(&self) -> Arc<ConfigView> {
        Arc::clone(&self.config.borrow())
    }
}

impl fmt::Debug for AppState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").field("database", &self.database).finish_non_exhaustive()
    }
}

/// Readers at once, at most; the others wait for their turn.
pub const READERS_MAX: usize = 1;
