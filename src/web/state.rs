//! Application state of the web server: what the daemon passes in.
//!
//! The server reads the database with its own connections and passes three requests on: poll an
//! avatar, test a channel, retry a delivery.

use std::fmt;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{Mutex, Semaphore, mpsc, oneshot, watch};

use crate::domain::avatar::AvatarId;
use crate::domain::delivery::DeliveryId;
use crate::domain::delivery::channel_name::ChannelName;
use crate::domain::random::RandomBits;
use crate::domain::time::monotonic::Monotonic;
use crate::domain::time::timestamp::Timestamp;
use crate::runtime::event_bus::EventBus;
use crate::runtime::last_seen::LastSeen;
use crate::runtime::metrics::{Dropped, Metrics};
use crate::store::admin::deliveries::AdminResult;
use crate::store::error::StoreError;
use crate::web::config_view::ConfigView;
use crate::web::reader_cache::ReaderCache;

/// The state; clones share it.
#[derive(Clone)]
pub struct AppState {
    /// The path of the database.
    pub database: PathBuf,
    /// Retries a delivery, on the connection that writes.
    pub retry: Retry,
    /// Reads both clocks and the random number generator.
    pub now: Arc<dyn Fn() -> Now + Send + Sync>,
    /// When the daemon started.
    pub started_at: Monotonic,
    /// The active config.
    pub config: watch::Receiver<Arc<ConfigView>>,
    /// The bus of live events.
    pub events: EventBus,
    /// The last successful poll of each avatar and account.
    pub last_seen: LastSeen,
    /// The counters and histograms.
    pub metrics: Metrics,
    /// The progress of each loop.
    pub progress: Arc<dyn Fn(Monotonic) -> Vec<LoopState> + Send + Sync>,
    /// Why the last write to the database failed, if it did.
    pub write_failure: Arc<dyn Fn() -> Option<String> + Send + Sync>,
    /// Counts log and output lines that were dropped because nothing read them.
    pub dropped: Arc<dyn Fn() -> Dropped + Send + Sync>,
    /// Queue of avatars to poll now.
    pub poll_requests: mpsc::Sender<AvatarId>,
    /// Queue of channels to test.
    pub test_requests: mpsc::Sender<TestRequest>,
    /// Wakes the dispatcher.
    pub wake_dispatcher: Arc<dyn Fn() + Send + Sync>,
    /// The database connection and its cached rows.
    pub reader_cache: ReaderCache,
    /// When a health check last read the database.
    pub read_at: Arc<Mutex<Option<Monotonic>>>,
    /// Limits concurrent readers to [`READERS_MAX`], so that requests do not slow down the loops.
    pub readers: Arc<Semaphore>,
}

/// Retries a delivery with its event id.
pub type Retry = Arc<dyn Fn(DeliveryId) -> RetryResult + Send + Sync>;
/// The result of a retry, when it is written.
pub type RetryResult = Pin<Box<dyn Future<Output = Result<AdminResult, StoreError>> + Send>>;

/// The time and random bits of one request.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// The wall clock.
    pub now: Timestamp,
    /// The monotonic clock.
    pub monotonic: Monotonic,
    /// Random bits.
    pub random: RandomBits,
}

/// The progress of a loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoopState {
    /// The name of the loop.
    pub name: &'static str,
    /// The time since its last iteration.
    pub age: Duration,
    /// Whether `age` is over the limit.
    pub stalled: bool,
}

/// A channel to test.
#[derive(Debug)]
pub struct TestRequest {
    pub(crate) channel: ChannelName,
    /// Receives the result of each recipient; `None` for an unknown channel.
    pub answer: oneshot::Sender<Option<Vec<TestResult>>>,
}

/// The result of a test message to one recipient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TestResult {
    /// The recipient, for a channel with more than one.
    pub(crate) recipient: Option<String>,
    pub(crate) outcome: &'static str,
    pub(crate) delivered: bool,
    /// The last phase that was reached.
    pub(crate) phase: String,
    pub(crate) code: Option<u16>,
    pub(crate) error: Option<String>,
    pub(crate) latency_ms: u64,
}

impl AppState {
    /// Reads both clocks and the random number generator.
    pub fn now(&self) -> Now {
        (self.now)()
    }

    /// The active config.
    pub fn config(&self) -> Arc<ConfigView> {
        Arc::clone(&self.config.borrow())
    }
}

impl fmt::Debug for AppState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppState").field("database", &self.database).finish_non_exhaustive()
    }
}

/// The maximum of concurrent readers; further ones wait.
pub const READERS_MAX: usize = 1;
