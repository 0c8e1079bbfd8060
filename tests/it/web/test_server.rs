//! A web server in the test process, for states that a running daemon cannot be brought into.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use avatar_watch::domain::delivery::channel_name::ChannelName;
use avatar_watch::domain::delivery::{DeliveryState, Outcome, OutcomeClass};
use avatar_watch::domain::id::EventId;
use avatar_watch::domain::ordering_key::OrderingKey;
use avatar_watch::domain::random::RandomBits;
use avatar_watch::domain::read_access::ReadAccess;
use avatar_watch::domain::time::monotonic::Monotonic;
use avatar_watch::domain::time::timestamp::Timestamp;
use avatar_watch::runtime::event_bus::{EventBus, LiveEvent};
use avatar_watch::runtime::last_seen::LastSeen;
use avatar_watch::runtime::metrics::{Dropped, Metrics};
use avatar_watch::secret::Secret;
use avatar_watch::store::error::StoreError;
use avatar_watch::store::handle::Store;
use avatar_watch::store::writer::Writer;
use avatar_watch::web::config_view::ConfigView;
use avatar_watch::web::endpoints::hints::{self, Hints, TASKS_MAX};
use avatar_watch::web::http::auth::AccessPolicy;
use avatar_watch::web::http::router;
use avatar_watch::web::http::server::{self, ServerLimits};
use avatar_watch::web::reader_cache::ReaderCache;
use avatar_watch::web::state::{AppState, Now, READERS_MAX};
use tokio::sync::{Semaphore, mpsc, watch};

/// A server state with a database of its own.
pub(super) struct TestServer {
    pub(super) state: AppState,
    pub(super) store: Store,
    _writer: Writer,
    _register: watch::Sender<Arc<ConfigView>>,
    _folder: tempfile::TempDir,
}

impl TestServer {
    /// With public reading.
    pub(super) fn new() -> Self {
        Self::with(AccessPolicy { read: ReadAccess::Local, ..AccessPolicy::default() })
    }

    /// With given access rules.
    pub(super) fn with(rules: AccessPolicy) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("avatar-watch.db");
        let (store, writer) = Store::open(&database, "test".to_owned()).unwrap();
        let (state, register) = state(database, rules);
        Self { state, store, _writer: writer, _register: register, _folder: folder }
    }

    /// Serves it until the test ends.
    pub(super) fn serve(self, limits: ServerLimits) -> (Self, SocketAddr) {
        let page = serve(self.state.clone(), limits);
        (self, page)
    }
}

/// A state for a database, which need not exist.
pub(super) fn state(
    database: PathBuf,
    rules: AccessPolicy,
) -> (AppState, watch::Sender<Arc<ConfigView>>) {
    let (sender, register) =
        watch::channel(Arc::new(ConfigView { rules, ..ConfigView::default() }));
    let tick = || Now {
        now: Timestamp::from_millis(0),
        monotonic: Monotonic::from_millis(0),
        random: RandomBits::new(0),
    };
    let state = AppState {
        database,
        now: Arc::new(tick),
        started_at: Monotonic::from_millis(0),
        config: register,
        events: EventBus::default(),
        last_seen: LastSeen::default(),
        metrics: Metrics::new(),
        progress: Arc::new(|_| Vec::new()),
        retry: Arc::new(|_| Box::pin(async { Err(StoreError::Stopped) })),
        write_failure: Arc::new(|| None),
        dropped: Arc::new(Dropped::default),
        poll_requests: mpsc::channel(1).0,
        test_requests: mpsc::channel(1).0,
        wake_dispatcher: Arc::new(|| ()),
        reader_cache: ReaderCache::default(),
        read_at: Arc::default(),
        readers: Arc::new(Semaphore::new(READERS_MAX)),
    };
    (state, sender)
}

/// Serves a state until the test ends, with hints at [`HINT_TOKEN`].
pub(super) fn serve(state: AppState, limits: ServerLimits) -> SocketAddr {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let (_, token) = watch::channel(Some(Secret::new(HINT_TOKEN)));
    let tasks = Arc::new(Semaphore::new(TASKS_MAX));
    let hints = hints::routes(Hints { token, hinted: state.poll_requests.clone(), tasks });
    let routes = router::routes(state, hints);
    tokio::spawn(server::run(listener, routes, limits, std::future::pending(), |_| {}));
    address
}

/// The live event of a finished attempt.
pub(super) fn attempt_finished() -> LiveEvent {
    LiveEvent::AttemptFinished {
        event_id: EventId::mint(Timestamp::from_millis(0), RandomBits::new(7)),
        ordering_key: OrderingKey::from_text("a1"),
        channel: ChannelName::parse("ops").unwrap(),
        attempt: 1,
        outcome: Outcome { code: Some(204), ..Outcome::new(OutcomeClass::Delivered, "response") },
        state: DeliveryState::Delivered,
    }
}

/// The token of hints.
pub(super) const HINT_TOKEN: &str = "canary-hints-1234";
