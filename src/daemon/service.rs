//! The daemon as a service: signals in, systemd told, the config read again on request.
//!
//! A config that has a problem never takes effect, in part or whole: the old one stays in
//! force, and the log says what is wrong.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::select;
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use crate::config::diff::{ChangeKind, ConfigChange};
use crate::config::environment::Environment;
use crate::config::error::{ConfigError, Problem};
use crate::config::location::ConfigFile;
use crate::config::settings::Settings;
use crate::daemon::background::liveness::Loop;
use crate::daemon::background::name_servers;
use crate::daemon::background::stats::DaemonStats;
use crate::daemon::background::systemd;
use crate::daemon::background::watchdog;
use crate::daemon::clock::SystemClock;
use crate::daemon::error::DaemonError;
use crate::daemon::load_config;
use crate::daemon::ports::Clock as _;
use crate::daemon::rng::Rng;
use crate::daemon::signals::{ServiceSignal, Signals};
use crate::daemon::supervisor::Daemon;
use crate::domain::time::monotonic::Monotonic;
use crate::runtime::event_bus::EventBus;
use crate::store::error::Recovery;

/// Why the service ended other than by an order.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The config cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The daemon failed.
    #[error(transparent)]
    Daemon(#[from] DaemonError),
}

impl ServiceError {
    /// Whether it may pass without an edit of the config.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Config(error) => error.may_pass(),
            Self::Daemon(error) => error.may_pass(),
        }
    }
}

/// Runs until ordered to stop.
///
/// # Errors
/// When the config cannot be used at the start, or the daemon fails.
pub async fn serve(config: &ConfigFile) -> Result<(), ServiceError> {
    let system = |doing| move |source| DaemonError::System { doing, source };
    let mut signals = Signals::take().map_err(system("taking signals"))?;
    systemd::start().map_err(system("starting a thread"))?;
    let settings = load_config::load(config, &Environment::from_process())?;
    let rng = Rng::from_entropy().map_err(system("asking for entropy"))?;
    log_warnings(&settings);
    name_servers::log_forbidden();
    let Some((mut daemon, mut is_stopping)) = start(&settings, rng, &mut signals).await? else {
        systemd::stopping();
        info!("stopped while the database was being opened; the next start does that again");
        return Ok(());
    };
    info!(
        avatars = settings.avatars.len(),
        channels = settings.channels.len(),
        "watching with the database `{}`",
        settings.store_path.display()
    );
    systemd::ready(&daemon.status_line());
    let stats = daemon.pulse();
    let mut watchers = JoinSet::new();
    if let Some(limit) = systemd::watchdog_limit() {
        watchers.spawn(watchdog::watch(Arc::clone(&stats), SystemClock, limit, systemd::alive));
    }
    let mut reported = String::new();
    let mut retry = ReloadRetry::default();
    while !is_stopping {
        stats.liveness.tick(Loop::Service, SystemClock.monotonic());
        select! {
            failure = daemon.failed() => {
                systemd::stopping();
                // The failure is what matters; closing what is left may fail for the same reason.
                drop(daemon.stop(std::future::ready(())).await);
                return Err(failure.into());
            }
            order = signals.next() => match order {
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
                    daemon.catch_up().await?;
                    match retry.is_due(&config.path, SystemClock.monotonic()) {
                        true => reload(config, &mut daemon, &mut retry).await,
                        false => Ok(()),
                    }
                };
                is_stopping = until_stopped(&mut signals, caught_up).await?;
                let sentence = daemon.status_line();
                if sentence != reported {
                    systemd::status(&sentence);
                    reported = sentence;
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

/// Does something that waits for the store, unless an order to stop comes first; whether it did.
/// What is left undone then, the next start does.
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

/// Starts the daemon; with whether an order to stop came meanwhile, or nothing when it did and the
/// database takes long to be opened: whatever that writes is written whole or not at all.
async fn start(
    settings: &Settings,
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

/// Says how far stopping has come, until it is done: systemd waits for as long as it hears of it.
async fn report_status<T>(stats: &DaemonStats, stopping: impl Future<Output = T>) -> T {
    tokio::pin!(stopping);
    let mut most = 0;
    loop {
        let left = stats.sending.get();
        most = left.max(most);
        let status = match most {
            0 => "stopping".to_owned(),
            most => format!("draining: {left} of {most} deliveries are still under way"),
        };
        systemd::still_stopping(&status, STOP_REPORT_EVERY * 10);
        select! {
            done = &mut stopping => return done,
            () = tokio::time::sleep(STOP_REPORT_EVERY) => {}
        }
    }
}

/// A reload that could not be done for a reason that may pass: it is done again without an order.
#[derive(Debug, Default)]
struct ReloadRetry {
    at: Option<Monotonic>,
    delay: Duration,
    /// The reasons, as they were said.
    is_logged: String,
    /// The file that was to be taken; another one is not taken without an order.
    stamp: Option<ConfigStamp>,
}

/// Which file it is, in which state.
type ConfigStamp = (u64, u64, i64, i64);

impl ReloadRetry {
    fn is_due(&self, path: &Path, now: Monotonic) -> bool {
        let is_same = self.stamp.is_none() || self.stamp == stamp(path);
        is_same && self.at.is_some_and(|at| at <= now)
    }

    /// How long nothing has to be done.
    fn pause(&self, now: Monotonic) -> Duration {
        self.at.map_or(STATUS_EVERY, |at| at.since(now).clamp(RELOAD_DELAY_MIN, STATUS_EVERY))
    }

    /// Tries again soon, and not for ever so soon.
    fn later(&mut self, path: &Path, said: String, now: Monotonic) {
        self.delay = (self.delay * 2).clamp(RELOAD_DELAY_MIN, RELOAD_DELAY_MAX);
        let (at, stamp) = (Some(now.plus(self.delay)), stamp(path));
        *self = Self { at, delay: self.delay, is_logged: said, stamp };
    }
}

fn stamp(path: &Path) -> Option<ConfigStamp> {
    let file = std::fs::metadata(path).ok()?;
    Some((file.ino(), file.len(), file.mtime(), file.mtime_nsec()))
}

/// Reads the config again.
async fn reload(
    config: &ConfigFile,
    daemon: &mut Daemon<SystemClock>,
    retry: &mut ReloadRetry,
) -> Result<(), DaemonError> {
    match try_reload(config, daemon).await {
        Ok(changes) => {
            *retry = ReloadRetry::default();
            if changes.is_empty() {
                info!("the config was read again: nothing changed");
            }
            for change in changes {
                // A file that is half saved may lack some, too; whoever meant it knows.
                match change.kind {
                    ChangeKind::Removed(_) => warn!("the config was read again: {change}"),
                    ChangeKind::Added(_) | ChangeKind::Changed(_) => {
                        info!("the config was read again: {change}");
                    }
                }
            }
        }
        Err(ServiceError::Daemon(DaemonError::Store(failure)))
            if failure.next_step() == Recovery::Retry =>
        {
            retry.at = Some(SystemClock.monotonic().plus(STATUS_EVERY));
            daemon.config_waits(&failure);
        }
        Err(failure) => {
            let reasons = match &failure {
                ServiceError::Config(ConfigError::Problems(problems)) => {
                    problems.iter().map(one_line).collect()
                }
                ServiceError::Config(ConfigError::Unreadable { source, .. }) => {
                    vec![format!("{failure}: {source}")]
                }
                ServiceError::Daemon(source) => vec![with_causes(source)],
            };
            let said = reasons.join("; ");
            if said != retry.is_logged {
                error!("the config was read again and not taken, the old one stays in force");
                reasons.iter().for_each(|reason| error!("{reason}"));
                if failure.may_pass() {
                    info!("this may pass: the config is tried again until it can be taken");
                }
                daemon.on_rejected(&said).await?;
            }
            if failure.may_pass() {
                retry.later(&config.path, said, SystemClock.monotonic());
            } else {
                *retry = ReloadRetry::default();
            }
        }
    }
    Ok(())
}

async fn try_reload(
    config: &ConfigFile,
    daemon: &mut Daemon<SystemClock>,
) -> Result<Vec<ConfigChange>, ServiceError> {
    let new = load_config::load(config, &Environment::from_process())?;
    let warnings = new.warnings.clone();
    // The same file is still a wish to look again now, at a key that was refused, say.
    let changes = daemon.reload(new).await?;
    warnings.iter().for_each(|warning| warn!("{}", one_line(warning)));
    Ok(changes)
}

/// An error with everything below it, on one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn log_warnings(settings: &Settings) {
    settings.warnings.iter().for_each(|warning| warn!("{}", one_line(warning)));
}

/// A problem as one line of the log.
fn one_line(problem: &Problem) -> String {
    problem.to_string().replace("\n  help: ", "; ")
}

/// How long a start may go on after the order to stop.
const START_GRACE: Duration = Duration::from_secs(2);
/// How often it is said how far stopping has come.
const STOP_REPORT_EVERY: Duration = Duration::from_secs(1);
/// How often the status line is looked at.
const STATUS_EVERY: Duration = Duration::from_secs(5);
/// How soon a config is tried again that could not be taken for a reason that may pass.
const RELOAD_DELAY_MIN: Duration = Duration::from_millis(250);
/// How often at least a config is tried again that could not be taken for a reason that may pass.
const RELOAD_DELAY_MAX: Duration = Duration::from_secs(60);
