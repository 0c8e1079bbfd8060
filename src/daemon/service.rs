//! The daemon as a service: signals in, systemd told, the config read again on request.
//!
//! A config that has a problem never takes effect, in part or whole: the old one stays in
//! force, and the log says what is wrong.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::select;
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use crate::config::diff::Change;
use crate::config::environment::Environment;
use crate::config::error::{ConfigError, Problem};
use crate::config::settings::Settings;
use crate::daemon::chance::Chance;
use crate::daemon::checked;
use crate::daemon::clock::SystemClock;
use crate::daemon::error::DaemonError;
use crate::daemon::ports::Clock as _;
use crate::daemon::progress::Loop;
use crate::daemon::pulse::Pulse;
use crate::daemon::signals::{Order, Signals};
use crate::daemon::supervisor::Daemon;
use crate::daemon::systemd;
use crate::daemon::watchdog;
use crate::live::feed::Feed;
use crate::store::error::NextStep;

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

/// Runs until ordered to stop.
///
/// # Errors
/// When the config cannot be used at the start, or the daemon fails.
pub async fn serve(path: &Path) -> Result<(), ServiceError> {
    let system = |doing| move |source| DaemonError::System { doing, source };
    let mut signals = Signals::take().map_err(system("taking signals"))?;
    systemd::start().map_err(system("starting a thread"))?;
    let settings = checked::load(path, &Environment::from_process())?;
    let chance = Chance::from_entropy().map_err(system("asking for entropy"))?;
    log_warnings(&settings);
    let mut daemon = Daemon::start(&settings, SystemClock, chance, Feed::default()).await?;
    info!(
        avatars = settings.avatars.len(),
        channels = settings.channels.len(),
        "watching with the database `{}`",
        settings.store_path.display()
    );
    systemd::ready(&daemon.sentence());
    let pulse = daemon.pulse();
    let mut watchers = JoinSet::new();
    if let Some(limit) = systemd::watchdog_limit() {
        watchers.spawn(watchdog::watch(Arc::clone(&pulse), SystemClock, limit, systemd::alive));
    }
    let mut told = String::new();
    // Whether a good config waits for a store that cannot write just now.
    let mut waits = false;
    loop {
        pulse.progress.turned(Loop::Service, SystemClock.moment());
        select! {
            failure = daemon.failed() => {
                systemd::stopping();
                // The failure is what matters; closing what is left may fail for the same reason.
                drop(daemon.stop(std::future::ready(())).await);
                return Err(failure.into());
            }
            order = signals.next() => match order {
                Order::Reload => waits = reload(path, &mut daemon).await?,
                Order::Stop => break,
            },
            () = tokio::time::sleep(STATUS_EVERY) => {
                daemon.catch_up().await?;
                if waits {
                    waits = reload(path, &mut daemon).await?;
                }
                let sentence = daemon.sentence();
                if sentence != told {
                    systemd::status(&sentence);
                    told = sentence;
                }
            }
        }
    }
    systemd::stopping();
    info!("stopping");
    say_how_far(&pulse, daemon.stop(signals.next_stop())).await?;
    info!("stopped");
    Ok(())
}

/// Says how far stopping has come, until it is done: systemd waits for as long as it hears of it.
async fn say_how_far<T>(pulse: &Pulse, stopping: impl Future<Output = T>) -> T {
    tokio::pin!(stopping);
    let mut most = 0;
    loop {
        let left = pulse.sending.get();
        most = left.max(most);
        let status = match most {
            0 => "stopping".to_owned(),
            most => format!("draining: {left} of {most} deliveries are still under way"),
        };
        systemd::still_stopping(&status, STOP_TOLD_EVERY * 10);
        select! {
            done = &mut stopping => return done,
            () = tokio::time::sleep(STOP_TOLD_EVERY) => {}
        }
    }
}

/// Reads the config again; whether that has to be done once more, when the store can write.
async fn reload(path: &Path, daemon: &mut Daemon<SystemClock>) -> Result<bool, DaemonError> {
    systemd::reloading();
    let mut waits = false;
    match try_reload(path, daemon).await {
        Ok(changes) => {
            if changes.is_empty() {
                info!("the config was read again: nothing changed");
            }
            for change in changes {
                info!("the config was read again: {change}");
            }
        }
        Err(ServiceError::Daemon(DaemonError::Store(failure)))
            if failure.next_step() == NextStep::Retry =>
        {
            waits = true;
            daemon.config_waits(&failure);
        }
        Err(failure) => {
            error!("the config was read again and not taken, the old one stays in force");
            let reasons = match &failure {
                ServiceError::Config(ConfigError::Problems(problems)) => {
                    problems.iter().map(one_line).collect()
                }
                ServiceError::Config(ConfigError::Unreadable { source, .. }) => {
                    vec![format!("{failure}: {source}")]
                }
                ServiceError::Daemon(source) => vec![with_causes(source)],
            };
            reasons.iter().for_each(|reason| error!("{reason}"));
            daemon.refused(&reasons.join("; ")).await?;
        }
    }
    systemd::ready(&daemon.sentence());
    Ok(waits)
}

async fn try_reload(
    path: &Path,
    daemon: &mut Daemon<SystemClock>,
) -> Result<Vec<Change>, ServiceError> {
    let new = checked::load(path, &Environment::from_process())?;
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

/// How often it is said how far stopping has come.
const STOP_TOLD_EVERY: Duration = Duration::from_secs(1);
/// How often the status line is looked at.
const STATUS_EVERY: Duration = Duration::from_secs(5);
