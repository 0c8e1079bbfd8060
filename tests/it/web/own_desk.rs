//! A desk in this process, for what a running daemon cannot be brought to at will.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use avatar_watch::domain::channel::ChannelName;
use avatar_watch::domain::delivery::{DeliveryState, Outcome, OutcomeClass, Scope};
use avatar_watch::domain::id::EventId;
use avatar_watch::domain::moment::Moment;
use avatar_watch::domain::read_access::ReadAccess;
use avatar_watch::domain::roll::Roll;
use avatar_watch::domain::timestamp::Timestamp;
use avatar_watch::live::feed::{Feed, Happening};
use avatar_watch::live::metrics::{Dropped, Metrics};
use avatar_watch::live::sights::Sights;
use avatar_watch::secret::Secret;
use avatar_watch::store::handle::Store;
use avatar_watch::store::writer::Writer;
use avatar_watch::web::access::Rules;
use avatar_watch::web::desk::{Desk, READERS_MAX, Register, Tick};
use avatar_watch::web::hints::{self, Hints, TASKS_MAX};
use avatar_watch::web::routes;
use avatar_watch::web::server::{self, Limits};
use avatar_watch::web::shelf::Shelf;
use tokio::sync::{Semaphore, mpsc, watch};

/// A desk with a new database of its own, and what keeps both alive.
pub(super) struct OwnDesk {
    pub(super) desk: Desk,
    pub(super) store: Store,
    _writer: Writer,
    _register: watch::Sender<Arc<Register>>,
    _folder: tempfile::TempDir,
}

impl OwnDesk {
    /// One where everybody may read.
    pub(super) fn new() -> Self {
        Self::with(Rules { read: ReadAccess::Local, ..Rules::default() })
    }

    /// One with these rules.
    pub(super) fn with(rules: Rules) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("avatar-watch.db");
        let (store, writer) = Store::open(&database, "test".to_owned()).unwrap();
        let (desk, register) = desk(database, rules);
        Self { desk, store, _writer: writer, _register: register, _folder: folder }
    }
}

/// A desk before that database, which need not be there.
pub(super) fn desk(database: PathBuf, rules: Rules) -> (Desk, watch::Sender<Arc<Register>>) {
    let (sender, register) = watch::channel(Arc::new(Register { rules, ..Register::default() }));
    let tick = || Tick {
        now: Timestamp::from_millis(0),
        moment: Moment::from_millis(0),
        roll: Roll::new(0),
    };
    let desk = Desk {
        database,
        tick: Arc::new(tick),
        started_at: Moment::from_millis(0),
        register,
        feed: Feed::default(),
        sights: Sights::default(),
        metrics: Metrics::new(),
        progress: Arc::new(|_| Vec::new()),
        writes: Arc::new(|| true),
        dropped: Arc::new(Dropped::default),
        looks: mpsc::channel(1).0,
        trials: mpsc::channel(1).0,
        ring: Arc::new(|| ()),
        shelf: Shelf::default(),
        read_at: Arc::default(),
        readers: Arc::new(Semaphore::new(READERS_MAX)),
    };
    (desk, sender)
}

/// Serves a desk until the test ends, with a route for hints whose token is [`HINT_TOKEN`].
pub(super) fn serve(desk: Desk, limits: Limits) -> SocketAddr {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let place = listener.local_addr().unwrap();
    let (_, token) = watch::channel(Some(Secret::new(HINT_TOKEN)));
    let tasks = Arc::new(Semaphore::new(TASKS_MAX));
    let hints = hints::routes(Hints { token, hinted: desk.looks.clone(), tasks });
    let routes = routes::routes(desk, hints);
    tokio::spawn(server::run(listener, routes, limits, std::future::pending(), |_| {}));
    place
}

/// The end of an attempt, as it is streamed.
pub(super) fn tried() -> Happening {
    Happening::Tried {
        event_id: EventId::mint(Timestamp::from_millis(0), Roll::new(7)),
        avatar_id: "a1".to_owned(),
        channel: ChannelName::parse("ops").unwrap(),
        attempt: 1,
        outcome: Outcome {
            class: OutcomeClass::Delivered,
            phase: "response",
            code: Some(204),
            retry_after: None,
            error: None,
            snippet: None,
            clock: None,
            scope: Scope::Channel,
            help: None,
        },
        state: DeliveryState::Delivered,
    }
}

/// The token of hints.
pub(super) const HINT_TOKEN: &str = "canary-hints-1234";
