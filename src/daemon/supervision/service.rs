//! The daemon as a service: signals, systemd notifications, reloads of the config.
//!
//! A config with a problem is never applied, not even partly: the previous one stays active.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::select;
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use crate::config::change::diff::{ChangeKind, ConfigChange};
use crate::config::config_file_trust::ConfigFile;
use crate::config::environment::Environment;
use crate::config::error::{ConfigError, Problem, first};
use crate::config::settings::Settings;
use crate::daemon::background::systemd;
use crate::daemon::background::watchdog;
use crate::daemon::blocking_work::on_blocking_thread;
use crate::daemon::clock::SystemClock;
use crate::daemon::config::load_config;
use crate::daemon::error::DaemonError;
use crate::daemon::ports::Clock as _;
use crate::daemon::rng::Rng;
use crate::daemon::stats::DaemonStats;
use crate::daemon::supervision::blocked_name_servers;
use crate::daemon::supervision::liveness::Loop;
use crate::daemon::supervision::signals::{ServiceSignal, Signals};
use crate::daemon::supervision::supervisor::Daemon;
use crate::domain::time::monotonic::Monotonic;
use crate::runtime::event_bus::EventBus;
use crate::store::error::Recovery;
use crate::text::plural::counted;

#[derive(Debug, thiserror::Error)]
pub(crate) enum ServiceError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Daemon(#[from] DaemonError),
}

impl ServiceError {
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Config(error) => error.is_transient(),
            Self::Daemon(error) => error.is_transient(),
        }
    }
}

/// Runs until a stop is requested.
pub(crate) async fn serve(config: &ConfigFile) -> Result<(), ServiceError> {
    let system = |doing| move |source| DaemonError::System { doing, source };
    let mut signals = Signals::take().map_err(system("installing signal handlers"))?;
    systemd::start().map_err(system("starting a thread"))?;
    let settings = Arc::new(load_config::load(config, &Environment::from_process())?);
    let rng = Rng::from_entropy().map_err(system("reading entropy"))?;
    log_warnings(&settings.warnings);
    blocked_name_servers::log_forbidden();
    let Some((mut daemon, mut is_stopping)) = start(&settings, rng, &mut signals).await? else {
        systemd::stopping();
        info!("stopped while opening the database; the next start repeats it");
        return Ok(());
    };
    info!(
        avatars = settings.avatars.len(),
        channels = settings.channels.len(),
        "watching with the database `{}`",
        settings.store_path.display()
    );
    systemd::ready(&daemon.status_line());
    let stats = daemon.stats();
    let mut watchers = JoinSet::new();
    if let Some(limit) = systemd::watchdog_limit() {
        watchers.spawn(watchdog::watch(Arc::clone(&stats), SystemClock, limit, systemd::alive));
    }
    let mut reported = String::new();
    let mut retry = ReloadRetry::default();
    while !is_stopping {
        stats.liveness.tick(Loop::Signals, SystemClock.monotonic());
        select! {
            failure = daemon.wait_for_failure() => {
                systemd::stopping();
                // The first failure is reported; stopping may fail for the same reason.
                drop(daemon.stop(std::future::ready(())).await);
                return Err(failure.into());
            }
            signal = signals.next() => match signal {
                ServiceSignal::Reload => {
                    systemd::reloading();
                    retry = ReloadRetry::default();
                    let reloaded = reload(config, &mut daemon, &mut retry);
                    is_stopping = until_stopped(&mut signals, reloaded).await?;
                    systemd::ready(&daemon.status_line());
                }
                ServiceSignal::Stop => is_stopping = true,
            },
            () = tokio::time::sleep(retry.pause(SystemClock.monotonic())) => {
                let caught_up = async {
                    daemon.retry_pending_writes().await?;
                    match retry.is_due(&config.path, SystemClock.monotonic()) {
                        true => reload(config, &mut daemon, &mut retry).await,
                        false => Ok(()),
                    }
                };
                is_stopping = until_stopped(&mut signals, caught_up).await?;
                let line = daemon.status_line();
                if line != reported {
                    systemd::status(&line);
                    reported = line;
                }
            }
        }
    }
    systemd::stopping();
    info!("stopping");
    report_status(&stats, daemon.stop(signals.next_stop())).await?;
    info!("stopped");
    Ok(())
}

/// Runs `work`, which waits for the store, unless a stop is requested; returns whether it was. The
/// next start completes interrupted work.
async fn until_stopped(
    signals: &mut Signals,
    work: impl Future<Output = Result<(), DaemonError>>,
) -> Result<bool, DaemonError> {
    select! {
        biased;
        done = work => done.map(|()| false),
        () = signals.next_stop() => Ok(true),
    }
}

/// Starts the daemon; returns it with whether a stop was requested meanwhile. Returns `None` when
/// it was and opening the database takes long; every write is atomic.
async fn start(
    settings: &Arc<Settings>,
    rng: Rng,
    signals: &mut Signals,
) -> Result<Option<(Daemon<SystemClock>, bool)>, DaemonError> {
    let mut starting = pin!(Daemon::start(settings, SystemClock, rng, EventBus::default()));
    select! {
        started = starting.as_mut() => return Ok(Some((started?, false))),
        () = signals.next_stop() => {}
    }
    let started = tokio::time::timeout(START_GRACE, starting).await;
    started.ok().transpose().map(|started| Some((started?, true)))
}

/// Reports the progress of stopping to systemd, which extends its timeout.
async fn report_status<T>(stats: &DaemonStats, stopping: impl Future<Output = T>) -> T {
    tokio::pin!(stopping);
    let mut total = 0;
    loop {
        let left = stats.sending.get();
        total = left.max(total);
        let status = match total {
            0 => "stopping".to_owned(),
            total => format!("draining: {left} of {total} deliveries in flight"),
        };
        systemd::extend_timeout(&status, STOP_REPORT_EVERY * 10);
        select! {
            done = &mut stopping => return done,
            () = tokio::time::sleep(STOP_REPORT_EVERY) => {}
        }
    }
}

/// State of a reload that failed for a transient reason and is retried.
#[derive(Debug, Default)]
struct ReloadRetry {
    at: Option<Monotonic>,
    delay: Duration,
    logged_reason: String,
    /// The file to apply; a different file is not applied without a request.
    stamp: Option<ConfigStamp>,
}

/// Identity and state of a file.
type ConfigStamp = (u64, u64, i64, i64);

impl ReloadRetry {
    fn is_due(&self, path: &Path, now: Monotonic) -> bool {
        let is_same = self.stamp.is_none() || self.stamp == stamp(path);
        is_same && self.at.is_some_and(|at| at <= now)
    }

    fn pause(&self, now: Monotonic) -> Duration {
        self.at.map_or(STATUS_EVERY, |at| at.since(now).clamp(RELOAD_DELAY_MIN, STATUS_EVERY))
    }

    /// Schedules the next retry, with a growing delay.
    fn later(&mut self, path: &Path, reason: String, now: Monotonic) {
        self.delay = (self.delay * 2).clamp(RELOAD_DELAY_MIN, RELOAD_DELAY_MAX);
        let (at, stamp) = (Some(now.plus(self.delay)), stamp(path));
        *self = Self { at, delay: self.delay, logged_reason: reason, stamp };
    }
}

fn stamp(path: &Path) -> Option<ConfigStamp> {
    let file = std::fs::metadata(path).ok()?;
    Some((file.ino(), file.len(), file.mtime(), file.mtime_nsec()))
}

async fn reload(
    config: &ConfigFile,
    daemon: &mut Daemon<SystemClock>,
    retry: &mut ReloadRetry,
) -> Result<(), DaemonError> {
    match try_reload(config, daemon).await {
        Ok(changes) => {
            *retry = ReloadRetry::default();
            if changes.is_empty() {
                info!("config reloaded: no changes");
            }
            log_changes(&changes);
        }
        Err(ServiceError::Daemon(DaemonError::Store(failure)))
            if failure.next_step() == Recovery::Retry =>
        {
            retry.at = Some(SystemClock.monotonic().plus(STATUS_EVERY));
            daemon.log_config_deferred(&failure);
        }
        Err(failure) => {
            let reasons = match &failure {
                ServiceError::Config(ConfigError::Problems(problems)) => {
                    first(problems, Problem::one_line)
                }
                ServiceError::Config(ConfigError::Unreadable { source, .. }) => {
                    vec![format!("{failure}: {source}")]
                }
                ServiceError::Daemon(source) => vec![with_causes(source)],
            };
            let reason = reasons.join("; ");
            if reason != retry.logged_reason {
                error!("config rejected; the previous config stays active");
                reasons.iter().for_each(|reason| error!("{reason}"));
                if failure.is_transient() {
                    info!("this may be transient; the config is retried until it can be applied");
                }
                daemon.on_rejected(&reason).await?;
            }
            if failure.is_transient() {
                retry.later(&config.path, reason, SystemClock.monotonic());
            } else {
                *retry = ReloadRetry::default();
            }
        }
    }
    Ok(())
}

/// Logs the first changes one by one, and the number of the others.
fn log_changes(changes: &[ConfigChange]) {
    let (shown, more) = changes.split_at(changes.len().min(CHANGES_MAX));
    // A removal may be a file that was saved incompletely, so it is a warning.
    let is_removal = |change: &&ConfigChange| matches!(change.kind, ChangeKind::Removed(_));
    for change in shown {
        match is_removal(&change) {
            true => warn!("config reloaded: {change}"),
            false => info!("config reloaded: {change}"),
        }
    }
    let removals = more.iter().filter(is_removal).count();
    match (more.len(), removals) {
        (0, _) => {}
        (more, 0) => info!("config reloaded: {}", counted(more, "more change")),
        (more, removals) => {
            let more = counted(more, "more change");
            warn!("config reloaded: {more}, of which {}", counted(removals, "removal"));
        }
    }
}

async fn try_reload(
    config: &ConfigFile,
    daemon: &mut Daemon<SystemClock>,
) -> Result<Vec<ConfigChange>, ServiceError> {
    let file = config.clone();
    let load = move || load_config::load(&file, &Environment::from_process());
    let new = on_blocking_thread(load).await?;
    let warnings = new.warnings.clone();
    // An unchanged file still resets the circuit breakers.
    let changes = daemon.reload(new).await?;
    log_warnings(&warnings);
    Ok(changes)
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn log_warnings(warnings: &[Problem]) {
    first(warnings, Problem::one_line).iter().for_each(|warning| warn!("{warning}"));
}

/// How long a start may continue after a stop was requested.
const START_GRACE: Duration = Duration::from_secs(2);
const STOP_REPORT_EVERY: Duration = Duration::from_secs(1);
/// The maximum number of changes that a reload logs one by one.
const CHANGES_MAX: usize = 100;
const STATUS_EVERY: Duration = Duration::from_secs(5);
const RELOAD_DELAY_MIN: Duration = Duration::from_millis(250);
const RELOAD_DELAY_MAX: Duration = Duration::from_secs(60);
