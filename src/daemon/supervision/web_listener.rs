//! The listener of the web server: opens and closes it according to the config.
//!
//! A reload binds the new address before it closes the old listener, so a failed reload changes
//! nothing. If the default address is in use, the daemon starts without a status page and logs
//! that.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::{JoinError, JoinHandle};
use tracing::{error, info, warn};

use crate::config::change::snapshot::ConfigSnapshot;
use crate::config::settings::{Settings, WebSettings};
use crate::daemon::background::systemd;
use crate::daemon::context::DaemonContext;
use crate::daemon::error::DaemonError;
use crate::daemon::ports::Clock;
use crate::daemon::stats::DaemonStats;
use crate::domain::avatar::AvatarId;
use crate::domain::public_url::PublicUrl;
use crate::domain::routing::facts::AvatarRouting;
use crate::domain::routing::table::RoutingTable;
use crate::domain::time::monotonic::Monotonic;
use crate::runtime::metrics::Dropped;
use crate::secret::Secret;
use crate::store::admin::deliveries::RetryAs;
use crate::telemetry::output_queue::{self, OutputQueue};
use crate::web::config_view::{AvatarConfig, ConfigView};
use crate::web::endpoints::hints::{self, Hints, TASKS_MAX};
use crate::web::http::auth::AccessPolicy;
use crate::web::http::router;
use crate::web::http::server::{self, ServerLimits};
use crate::web::reader_cache::ReaderCache;
use crate::web::state::{AppState, LoopState, Now, READERS_MAX, RetryResult, TestRequest};

/// Dependencies of the web server that a reload does not change.
#[derive(Clone, Debug)]
pub(crate) struct WebDeps<C> {
    pub context: DaemonContext<C>,
    pub database: PathBuf,
    pub stats: Arc<DaemonStats>,
    pub started_at: Monotonic,
    pub poll_requests: mpsc::Sender<AvatarId>,
    pub test_requests: mpsc::Sender<TestRequest>,
}

#[derive(Debug)]
pub(crate) struct WebListener {
    listen: SocketAddr,
    address: SocketAddr,
    hint_token: watch::Sender<Option<Secret>>,
    config_view: watch::Sender<Arc<ConfigView>>,
    /// Dropping it closes the listener.
    _open: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
pub(crate) enum ListenerChange {
    Keep,
    /// Open it at another address, or for the first time.
    Open(SocketAddr, TcpListener),
    /// Close it and bind another address of the same port.
    Rebind(SocketAddr),
    /// Close it, or keep it closed.
    Close,
}

impl ListenerChange {
    /// Plans the change for a config, and binds a new address.
    pub(crate) fn plan(
        web_listener: Option<&WebListener>,
        web: &WebSettings,
    ) -> Result<Self, DaemonError> {
        let Some(listen) = web.listen else { return Ok(Self::Close) };
        if web_listener.is_some_and(|web_listener| {
            web_listener.listen == listen && !web_listener.task.is_finished()
        }) {
            return Ok(Self::Keep);
        }
        match TcpListener::bind(listen) {
            Ok(listener) => Ok(Self::Open(listen, listener)),
            Err(source)
                if source.kind() == ErrorKind::AddrInUse
                    && web_listener.is_some_and(|web_listener| {
                        web_listener.address.port() == listen.port()
                    }) =>
            {
                Ok(Self::Rebind(listen))
            }
            Err(source) if !web.is_listen_configured && source.kind() == ErrorKind::AddrInUse => {
                warn!(
                    "status page disabled: address `{listen}` is already in use; set another \
                     `listen` in `[web]`"
                );
                Ok(Self::Close)
            }
            Err(source) => Err(DaemonError::Listen { address: listen, source }),
        }
    }

    pub(crate) fn apply<C: Clock>(
        self,
        web_listener: Option<WebListener>,
        settings: &Settings,
        web_deps: &WebDeps<C>,
    ) -> Option<WebListener> {
        let (config_view, token) =
            (Arc::new(config_view(settings)), settings.web.hint_token.clone());
        match self {
            Self::Keep => {
                let web_listener = web_listener?;
                if token.is_some() && web_listener.hint_token.borrow().is_none() {
                    web_listener.log_hint_urls();
                }
                web_listener.hint_token.send_replace(token);
                web_listener.config_view.send_replace(config_view);
                Some(web_listener)
            }
            Self::Open(listen, listener) => {
                Some(WebListener::open(listen, listener, config_view, token, web_deps.clone()))
            }
            // The caller turns a rebind into an opening first.
            Self::Rebind(_) | Self::Close => None,
        }
    }
}

impl WebListener {
    fn open<C: Clock>(
        listen: SocketAddr,
        listener: TcpListener,
        config_view: Arc<ConfigView>,
        hint_token: Option<Secret>,
        web_deps: WebDeps<C>,
    ) -> Self {
        let address = listener.local_addr().unwrap_or(listen);
        info!("status page at `http://{address}/`");
        let (config_view, config_receiver) = watch::channel(config_view);
        let (hint_token, followed) = watch::channel(hint_token);
        let (open, closed) = oneshot::channel::<()>();
        let tasks = Arc::new(Semaphore::new(TASKS_MAX));
        let hints = Hints { token: followed, hinted: web_deps.poll_requests.clone(), tasks };
        let routes = router::routes(app_state(web_deps, config_receiver), hints::routes(hints));
        let task = tokio::spawn(async move {
            let closed = async { drop(closed.await) };
            let on_starved = |failure: Option<&std::io::Error>| match failure {
                Some(failure) => warn!("status page cannot accept connections: {failure}"),
                None => info!("status page accepts connections again"),
            };
            let served = server::run(listener, routes, ServerLimits::default(), closed, on_starved);
            if let Err(failure) = served.await {
                // Polling and deliveries continue without the status page.
                error!("web server stopped: {failure}");
            }
        });
        let web_listener = Self { listen, address, hint_token, config_view, _open: open, task };
        if web_listener.hint_token.borrow().is_some() {
            web_listener.log_hint_urls();
        }
        web_listener
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    fn log_hint_urls(&self) {
        info!("accepting hints at `http://{}/hints/argil/…`", self.address);
    }

    /// Completes when the server ends by itself; the listener is unusable afterwards.
    pub(crate) async fn ended(web_listener: Option<&mut Self>) -> Result<(), JoinError> {
        match web_listener {
            Some(web_listener) => (&mut web_listener.task).await,
            None => std::future::pending().await,
        }
    }

    pub(crate) async fn close(self) {
        let Self { _open: open, task, .. } = self;
        drop(open);
        drop(task.await);
    }
}

fn app_state<C: Clock>(
    web_deps: WebDeps<C>,
    config_view: watch::Receiver<Arc<ConfigView>>,
) -> AppState {
    let WebDeps { context, database, stats, started_at, poll_requests, test_requests } = web_deps;
    let (clock, rng, wakeup) = (context.clock.clone(), context.rng.clone(), context.wakeup.clone());
    let (store, health) = (context.store.clone(), context.store.clone());
    let (retry_clock, retry_rng) = (clock.clone(), rng.clone());
    let retry = move |id| -> RetryResult {
        let (store, now, random) = (store.clone(), retry_clock.now(), retry_rng.next_bits());
        Box::pin(async move { store.retry_delivery(id, RetryAs::SameId, now, random).await })
    };
    let now =
        move || Now { now: clock.now(), monotonic: clock.monotonic(), random: rng.next_bits() };
    AppState {
        database,
        now: Arc::new(now),
        started_at,
        config: config_view,
        events: context.events.clone(),
        last_seen: context.last_seen.clone(),
        metrics: context.metrics.clone(),
        progress: Arc::new(move |now| parts(&stats, now)),
        retry: Arc::new(retry),
        write_failure: Arc::new(move || health.write_failure()),
        dropped: Arc::new(|| Dropped {
            log_lines: output_queue::of_error().map_or(0, OutputQueue::dropped),
            systemd_messages: systemd::dropped(),
        }),
        poll_requests,
        test_requests,
        wake_dispatcher: Arc::new(move || wakeup.notify_one()),
        reader_cache: ReaderCache::default(),
        read_at: Arc::default(),
        readers: Arc::new(Semaphore::new(READERS_MAX)),
    }
}

fn parts(stats: &DaemonStats, now: Monotonic) -> Vec<LoopState> {
    let parts = stats.liveness.last_progress().map(|(part, at)| {
        let age = now.since(at);
        LoopState { name: part.name(), age, stalled: age > part.limit() }
    });
    parts.collect()
}

fn config_view(settings: &Settings) -> ConfigView {
    let web = &settings.web;
    // Most avatars have the same routing.
    let mut routings: HashSet<Arc<AvatarRouting>> = HashSet::new();
    let mut shared = |routing: AvatarRouting| match routings.get(&routing) {
        Some(known) => Arc::clone(known),
        None => {
            let routing = Arc::new(routing);
            routings.insert(Arc::clone(&routing));
            routing
        }
    };
    let avatars = settings.avatars.iter().map(|avatar| {
        let routing = shared(settings.routing(avatar));
        (avatar.id.clone(), AvatarConfig { label: avatar.name.clone(), routing })
    });
    ConfigView {
        accounts: settings.accounts.keys().cloned().collect(),
        discovers: settings.discover.is_some(),
        avatars: avatars.collect(),
        has_operator: settings.channels.values().any(|channel| channel.operator),
        channels: ConfigSnapshot::of_channels(&settings.channels).channel_kinds(),
        routing: RoutingTable {
            channels: settings
                .channels
                .iter()
                .map(|(name, it)| (name.clone(), it.routing()))
                .collect(),
            discovered: settings.discovered_routing(),
        },
        thumbnails: web.thumbnails,
        path_prefix: web.public_url.as_ref().map_or("", PublicUrl::prefix).to_owned(),
        rules: AccessPolicy { token: web.token.clone(), hosts: web.hosts.clone(), read: web.read },
    }
}
