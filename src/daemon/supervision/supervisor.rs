//! The supervisor: opens the store, starts the loops and background tasks, applies reloads, stops
//! everything.
//!
//! Invariants: a config is built completely before any part of it is applied; when one loop ends,
//! the others are stopped; the store is closed last.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tracing::{info, warn};

use crate::config::change::active::emptied;
use crate::config::change::diff::{ConfigChange, diff};
use crate::config::change::snapshot::ConfigSnapshot;
use crate::config::settings::Settings;
use crate::daemon::background::channel_test;
use crate::daemon::background::config::BackgroundConfig;
use crate::daemon::background::heartbeat;
use crate::daemon::background::retention;
use crate::daemon::background::start_check;
use crate::daemon::blocking_work::on_blocking_thread;
use crate::daemon::config::config_status::ConfigStatus;
use crate::daemon::config::wiring::{self, WiredConfig};
use crate::daemon::context::DaemonContext;
use crate::daemon::dispatcher::Dispatcher;
use crate::daemon::error::DaemonError;
use crate::daemon::logging::log_throttle::Key;
use crate::daemon::poller::Poller;
use crate::daemon::ports::Clock;
use crate::daemon::rng::Rng;
use crate::daemon::stats::DaemonStats;
use crate::daemon::supervision::open_store;
use crate::daemon::supervision::shutdown::Shutdown;
use crate::daemon::supervision::web_listener::{ListenerChange, WebDeps, WebListener};
use crate::domain::avatar::AvatarId;
use crate::domain::random::RandomBits;
use crate::domain::time::timestamp::Timestamp;
use crate::runtime::event_bus::EventBus;
use crate::store::error::StoreError;
use crate::store::handle::Store;
use crate::store::recovery::CrashRecovery;
use crate::store::sqlite::lock::DatabaseLock;
use crate::store::tables::channels::{ChannelChanges, ChannelTarget};
use crate::store::writer::Writer;
use crate::web::state::TestRequest;

type ConfigReceiver = watch::Receiver<Arc<WiredConfig>>;
/// The loops by name; each ends with the error that stopped it.
type Loops = JoinSet<(&'static str, Result<(), StoreError>)>;

/// A running daemon.
#[derive(Debug)]
pub struct Daemon<C: Clock> {
    context: DaemonContext<C>,
    writer: Writer,
    settings: Arc<Settings>,
    configs: watch::Sender<Arc<WiredConfig>>,
    background: watch::Sender<Arc<BackgroundConfig>>,
    shutdown: Shutdown,
    loops: Loops,
    stats: Arc<DaemonStats>,
    web_deps: WebDeps<C>,
    web: Option<WebListener>,
    config_status: ConfigStatus<C>,
}

impl<C: Clock> Daemon<C> {
    /// Opens the store and starts the loops. Attempts that an earlier process left open are
    /// recovered first.
    pub async fn start(
        settings: &Arc<Settings>,
        clock: C,
        rng: Rng,
        events: EventBus,
    ) -> Result<Self, DaemonError> {
        let config = Arc::new(wiring::build(settings, None)?);
        let background = Arc::new(wiring::build_background(settings)?);
        let obstacles = wiring::obstacles(settings, &config, &background);
        obstacles.iter().for_each(|obstacle| warn!("{obstacle}"));
        // Another daemon with this config also uses the listen address; report the database lock
        // instead.
        if let Ok(Some(pid)) = DatabaseLock::holder(&settings.store_path) {
            let path = settings.store_path.clone();
            return Err(StoreError::Locked { path, pid }.into());
        }
        let listener_change = ListenerChange::plan(None, &settings.web)?;
        let boot = rng.next_bits();
        let (store, writer) = open_store::open(&settings.store_path, boot).await?;
        register_and_recover(&store, &config, clock.now(), rng.next_bits()).await?;
        let rejected_since = store.config_rejected_since().await?;

        let context = DaemonContext::new(store, clock, rng, events, boot);
        let stats = Arc::new(DaemonStats::default());
        let (configs, _) = watch::channel(config);
        let (background, _) = watch::channel(background);
        let shutdown = Shutdown::default();
        let mut loops = JoinSet::new();
        let poll_requests =
            spawn_poller(&mut loops, &context, &stats, configs.subscribe(), &shutdown).await?;
        spawn_dispatcher(&mut loops, &context, &stats, configs.subscribe(), &shutdown);
        spawn_background(&mut loops, &context, &stats, &background, &shutdown);
        let (path, is_checked) = (settings.store_path.clone(), Arc::clone(&writer.is_checked));
        let check = start_check::run(path, is_checked, shutdown.clone());
        loops.spawn(async move { ("database check", check.await) });
        let web_deps = WebDeps {
            database: settings.store_path.clone(),
            stats: Arc::clone(&stats),
            started_at: context.clock.monotonic(),
            poll_requests,
            test_requests: spawn_channel_tests(&context, configs.subscribe()),
            context: context.clone(),
        };
        let mut daemon = Self {
            web: listener_change.apply(None, settings, &web_deps),
            config_status: ConfigStatus::new(context.clone(), rejected_since),
            context,
            writer,
            settings: Arc::clone(settings),
            configs,
            background,
            shutdown,
            loops,
            stats,
            web_deps,
        };
        daemon.on_applied().await?;
        Ok(daemon)
    }

    /// Applies new settings as a whole or not at all; returns the changes.
    ///
    /// # Errors
    /// When a client or channel cannot be built, or a setting cannot change while the daemon runs.
    pub async fn reload(&mut self, settings: Settings) -> Result<Vec<ConfigChange>, DaemonError> {
        if settings.store_path != self.settings.store_path {
            return Err(DaemonError::StoreMoved);
        }
        if let Some(what) = emptied(&*self.settings, &settings) {
            return Err(DaemonError::ConfigEmptied(what));
        }
        let (old, before) = (Arc::clone(&self.settings), Arc::clone(&self.configs.borrow()));
        let built = on_blocking_thread(move || BuiltConfig::of(settings, &old, &before)).await?;
        let BuiltConfig { settings, config, background, obstacles, changes } = built;
        let old_address = self.listen_address();
        let listener_change = match ListenerChange::plan(self.web.as_ref(), &settings.web)? {
            ListenerChange::Rebind(listen) => self.rebind_web(listen).await?,
            listener_change => listener_change,
        };
        // Last before the switch, because it is committed.
        let (now, random) = (self.context.clock.now(), self.context.rng.next_bits());
        let registered = register_and_recover(&self.context.store, &config, now, random).await;
        if let Err(failure) = registered {
            drop(listener_change);
            if self.web.is_none() {
                self.reopen(old_address);
            }
            return Err(failure.into());
        }
        let (kept, replaced) = match &listener_change {
            ListenerChange::Keep => (self.web.take(), None),
            ListenerChange::Open(..) | ListenerChange::Rebind(_) | ListenerChange::Close => {
                (None, self.web.take())
            }
        };
        self.web = listener_change.apply(kept, &settings, &self.web_deps);
        obstacles.iter().for_each(|obstacle| warn!("{obstacle}"));
        self.configs.send_replace(config);
        self.background.send_replace(background);
        self.settings = settings;
        if let Some(web_listener) = replaced {
            web_listener.close().await;
        }
        // The reload is logged with its changes instead.
        self.context.throttle.resolve(&Key::Store(CONFIGS), self.context.clock.monotonic());
        self.on_applied().await?;
        Ok(changes)
    }

    /// Closes the listener to bind its port at another address; on failure binds the old address
    /// again.
    async fn rebind_web(&mut self, listen: SocketAddr) -> Result<ListenerChange, DaemonError> {
        let old_address = self.listen_address();
        if let Some(web_listener) = self.web.take() {
            web_listener.close().await;
        }
        match TcpListener::bind(listen) {
            Ok(listener) => Ok(ListenerChange::Open(listen, listener)),
            Err(source) => {
                self.reopen(old_address);
                Err(DaemonError::Listen { address: listen, source })
            }
        }
    }

    /// Opens the listener again at its previous address, with the active settings.
    fn reopen(&mut self, address: Option<SocketAddr>) {
        let listener =
            address.and_then(|address| Some((address, TcpListener::bind(address).ok()?)));
        self.web = listener.and_then(|(address, listener)| {
            ListenerChange::Open(address, listener).apply(None, &self.settings, &self.web_deps)
        });
    }

    /// Saves the settings as the active ones, and resolves `config.rejected` if it is firing.
    async fn on_applied(&mut self) -> Result<(), DaemonError> {
        self.context.metrics.record_reload(true, self.context.clock.now());
        let config = Arc::clone(&self.configs.borrow());
        self.config_status.on_applied(&config, &self.settings).await
    }

    /// Retries pending writes about the config.
    pub async fn retry_pending_writes(&mut self) -> Result<(), DaemonError> {
        let config = Arc::clone(&self.configs.borrow());
        self.config_status.retry(&config, &self.settings).await
    }

    /// Publishes `config.rejected` once, and keeps its reason up to date.
    pub async fn on_rejected(&mut self, reason: &str) -> Result<(), DaemonError> {
        self.context.metrics.record_reload(false, self.context.clock.now());
        let config = Arc::clone(&self.configs.borrow());
        self.config_status.on_rejected(&config, reason).await
    }

    /// Logs that a valid config is applied as soon as the store can write.
    pub fn log_config_deferred(&self, failure: &StoreError) {
        let now = self.context.clock.monotonic();
        if let Some(emission) = self.context.throttle.record(Key::Store(CONFIGS), CONFIGS, now) {
            warn!(
                suppressed = emission.suppressed(),
                "config not applied yet; it is applied as soon as the store can write: {failure}"
            );
        }
    }

    pub(crate) fn listen_address(&self) -> Option<SocketAddr> {
        self.web.as_ref().map(WebListener::address)
    }

    pub(crate) fn status_line(&self) -> String {
        self.stats.status_line(self.context.clock.monotonic())
    }

    /// Statistics of the loops; usable after the daemon has stopped.
    pub fn stats(&self) -> Arc<DaemonStats> {
        Arc::clone(&self.stats)
    }

    /// Waits until a loop or the web server fails, and returns the error.
    pub async fn wait_for_failure(&mut self) -> DaemonError {
        loop {
            let end = tokio::select! {
                end = self.loops.join_next() => end,
                end = WebListener::ended(self.web.as_mut()) => {
                    self.web = None;
                    match end {
                        // It was logged; a reload starts the web server again.
                        Ok(()) => continue,
                        Err(_) => return DaemonError::LoopEnded("web server"),
                    }
                }
            };
            return match end {
                Some(Ok((_, Err(failure)))) => failure.into(),
                Some(Ok((name, Ok(())))) => DaemonError::LoopEnded(name),
                Some(Err(_)) | None => DaemonError::LoopEnded("loop"),
            };
        }
    }

    /// Stops gracefully: what is in flight may finish, within a limit or until `hurry` completes.
    /// Then the store is closed.
    pub async fn stop(self, hurry: impl Future<Output = ()>) -> Result<(), DaemonError> {
        let Self {
            context,
            writer,
            shutdown,
            mut loops,
            web: web_listener,
            configs,
            web_deps,
            config_status,
            ..
        } = self;
        if let Some(web_listener) = web_listener {
            web_listener.close().await;
        }
        context.store.stop();
        shutdown.graceful.cancel();
        tokio::pin!(hurry);
        let mut hurried = false;
        let mut result = Ok(());
        loop {
            let ended = tokio::select! {
                ended = loops.join_next() => ended,
                () = &mut hurry, if !hurried => {
                    hurried = true;
                    warn!("stopping immediately; the next start repeats what is in flight");
                    shutdown.immediate.cancel();
                    continue;
                }
            };
            let end = match ended {
                None => break,
                Some(Ok((_, end))) => end.map_err(DaemonError::from),
                Some(Err(_)) => Err(DaemonError::LoopEnded("loop")),
            };
            result = result.and(end);
        }
        // The writer ends when no handle of the store is left.
        drop((context, configs, web_deps, config_status));
        close(writer).await;
        result
    }
}

/// What is built of new settings before any of it is applied.
struct BuiltConfig {
    settings: Arc<Settings>,
    config: Arc<WiredConfig>,
    background: Arc<BackgroundConfig>,
    obstacles: Vec<String>,
    changes: Vec<ConfigChange>,
}

impl BuiltConfig {
    fn of(settings: Settings, old: &Settings, before: &WiredConfig) -> Result<Self, DaemonError> {
        let config = Arc::new(wiring::build(&settings, Some((old, before)))?);
        let background = Arc::new(wiring::build_background(&settings)?);
        let obstacles = wiring::obstacles(&settings, &config, &background);
        let [old, new] = ConfigSnapshot::pair(old, &settings);
        let changes = diff(&old, &new);
        Ok(Self { settings: Arc::new(settings), config, background, obstacles, changes })
    }
}

/// Returns where requests to poll an avatar soon are sent to.
async fn spawn_poller<C: Clock>(
    loops: &mut Loops,
    context: &DaemonContext<C>,
    stats: &Arc<DaemonStats>,
    configs: ConfigReceiver,
    shutdown: &Shutdown,
) -> Result<mpsc::Sender<AvatarId>, StoreError> {
    let (sender, hints) = mpsc::channel(HINTS_WAITING_MAX);
    let config = Arc::clone(&configs.borrow());
    let poller = Poller::new(context.clone(), Arc::clone(stats), config, hints).await?;
    let running = poller.run(configs, shutdown.clone());
    loops.spawn(async move { ("poller", running.await) });
    Ok(sender)
}

fn spawn_dispatcher<C: Clock>(
    loops: &mut Loops,
    context: &DaemonContext<C>,
    stats: &Arc<DaemonStats>,
    configs: ConfigReceiver,
    shutdown: &Shutdown,
) {
    let config = Arc::clone(&configs.borrow());
    let dispatcher = Dispatcher::new(context.clone(), Arc::clone(stats), config);
    let running = dispatcher.run(configs, shutdown.clone());
    loops.spawn(async move { ("dispatcher", running.await) });
}

/// Starts retention and heartbeat.
fn spawn_background<C: Clock>(
    loops: &mut Loops,
    context: &DaemonContext<C>,
    stats: &Arc<DaemonStats>,
    configs: &watch::Sender<Arc<BackgroundConfig>>,
    shutdown: &Shutdown,
) {
    let retention = retention::run(context.clone(), configs.subscribe(), shutdown.clone());
    loops.spawn(async move { ("retention", retention.await) });
    let (context, stats) = (context.clone(), Arc::clone(stats));
    let heartbeat = heartbeat::run(context, stats, configs.subscribe(), shutdown.clone());
    loops.spawn(async move {
        heartbeat.await;
        ("heartbeat", Ok(()))
    });
}

/// Returns where requests to test a channel are sent to; the task ends with the last sender.
fn spawn_channel_tests<C: Clock>(
    context: &DaemonContext<C>,
    configs: ConfigReceiver,
) -> mpsc::Sender<TestRequest> {
    let (sender, requests) = mpsc::channel(TESTS_WAITING_MAX);
    let (clock, rng) = (context.clock.clone(), context.rng.clone());
    tokio::spawn(channel_test::serve(requests, configs, clock, rng));
    sender
}

/// Registers the channels of a config, and recovers deliveries that an earlier process left open.
async fn register_and_recover(
    store: &Store,
    config: &WiredConfig,
    now: Timestamp,
    random: RandomBits,
) -> Result<(), StoreError> {
    let channels = config.channels.iter().map(|(name, channel_runtime)| ChannelTarget {
        name: name.clone(),
        fingerprint: channel_runtime.target.clone(),
    });
    let ChannelChanges { enabled, unconfigured } =
        store.register_channels(channels.collect(), now).await?;
    for name in enabled {
        info!(channel = %name, "channel `{name}` re-enabled, because its target changed");
    }
    for (name, count) in unconfigured {
        warn!(
            channel = %name, count,
            "channel `{name}` is not in the config; its {count} deliveries are kept until it is"
        );
    }
    let recovered =
        store.recover(CrashRecovery { now, policies: config.delivery_policies(), random }).await?;
    if recovered > 0 {
        info!(count = recovered, "recovered deliveries that were in flight");
    }
    let mut forgotten = store.forgotten_avatars().await?;
    forgotten.retain(|id| config.avatars.contains_key(id));
    if !forgotten.is_empty() {
        store.show_again(forgotten).await?;
    }
    Ok(())
}

/// Waits for the writer on a blocking thread, with a limit: a disk that hangs must not prevent the
/// exit.
async fn close(writer: Writer) {
    let joined = tokio::task::spawn_blocking(move || writer.join());
    if tokio::time::timeout(CLOSE_LIMIT, joined).await.is_err() {
        warn!("the database did not close in time");
    }
}

/// What is written in the log for a config that could not be applied yet.
const CONFIGS: &str = "a reloaded config";
const CLOSE_LIMIT: Duration = Duration::from_secs(10);
/// Capacity of the queue of hints; further hints are dropped.
const HINTS_WAITING_MAX: usize = 1024;
/// Capacity of the queue of channel tests.
const TESTS_WAITING_MAX: usize = 4;
