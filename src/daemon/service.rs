//! The daemon as a service: signals in, systemd told, the config read again on request.
//!
//! A config that has a problem never takes effect, in part or whole: the old one stays in
//! force, and the log says what is wrong.

use std::path::Path;
use std::time::Duration;

use tokio::select;
use tracing::{error, info, warn};

use crate::config::diff::diff;
use crate::config::environment::Environment;
use crate::config::error::{ConfigError, Problem};
use crate::config::file;
use crate::config::settings::Settings;
use crate::daemon::chance::Chance;
use crate::daemon::clock::SystemClock;
use crate::daemon::error::DaemonError;
use crate::daemon::feed::Feed;
use crate::daemon::signals::{Order, Signals};
use crate::daemon::supervisor::Daemon;
use crate::daemon::systemd;

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
    let mut settings = file::load(path, &Environment::from_process())?;
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
    let mut told = String::new();
    loop {
        select! {
            failure = daemon.failed() => {
                systemd::stopping();
                // The failure is what matters; closing what is left may fail for the same reason.
                drop(daemon.stop(std::future::ready(())).await);
                return Err(failure.into());
            }
            order = signals.next() => match order {
                Order::Reload => reload(path, &mut settings, &daemon).await,
                Order::Stop => break,
            },
            () = tokio::time::sleep(STATUS_EVERY) => {
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
    daemon.stop(signals.next_stop()).await?;
    info!("stopped");
    Ok(())
}

async fn reload(path: &Path, settings: &mut Settings, daemon: &Daemon<SystemClock>) {
    systemd::reloading();
    match try_reload(path, daemon).await {
        Ok(new) => {
            let changes = diff(settings, &new);
            if changes.is_empty() {
                info!("the config was read again: nothing changed");
            }
            for change in changes {
                info!("the config was read again: {change}");
            }
            log_warnings(&new);
            *settings = new;
        }
        Err(failure) => {
            error!("the config was read again and not taken, the old one stays in force");
            match &failure {
                ServiceError::Config(ConfigError::Problems(problems)) => {
                    problems.iter().for_each(|problem| error!("{}", one_line(problem)));
                }
                ServiceError::Config(ConfigError::Unreadable { source, .. }) => {
                    error!("{failure}: {source}");
                }
                ServiceError::Daemon(_) => error!("{failure}"),
            }
        }
    }
    systemd::ready(&daemon.sentence());
}

async fn try_reload(path: &Path, daemon: &Daemon<SystemClock>) -> Result<Settings, ServiceError> {
    let new = file::load(path, &Environment::from_process())?;
    // The same file is still a wish to look again now, at a key that was refused, say.
    daemon.reload(&new).await?;
    Ok(new)
}

fn log_warnings(settings: &Settings) {
    settings.warnings.iter().for_each(|warning| warn!("{}", one_line(warning)));
}

/// A problem as one line of the log.
fn one_line(problem: &Problem) -> String {
    problem.to_string().replace("\n  help: ", "; ")
}

/// How often the status line is looked at.
const STATUS_EVERY: Duration = Duration::from_secs(5);
