//! `avatar-watch check`: every problem of the config in one go; with `--online`, whether the
//! outside world agrees.

use std::io::ErrorKind;
use std::path::Path;

use crate::cli::args::CheckArgs;
use crate::cli::config_path::config_path;
use crate::cli::exit::Exit;
use crate::cli::output::{complain, complain_of, counted, line, plain};
use crate::cli::run::runtime;
use crate::config::environment::Environment;
use crate::config::error::ConfigError;
use crate::config::file;
use crate::config::settings::Settings;
use crate::daemon::clock::SystemClock;
use crate::daemon::error::DaemonError;
use crate::daemon::ports::Clock as _;
use crate::daemon::wiring;
use crate::domain::delivery::{Outcome, OutcomeClass};
use crate::domain::observation::{Denial, Observation};

/// Reads the config and says what is wrong with it.
pub fn check(config: Option<&Path>, args: &CheckArgs) -> Exit {
    let path = config_path(config);
    let settings = match file::load(&path, &Environment::from_process()) {
        Ok(settings) => settings,
        Err(error) => {
            complain_of_config(&error);
            return Exit::Problems;
        }
    };
    if let Err(error) = directory_is_there(&settings.store_path) {
        let folder = settings.store_path.display();
        complain(&format!("{}: `store.path` is `{folder}`: {error}", path.display()));
        complain("  help: make its folder, or name another path");
        return Exit::Problems;
    }
    settings.warnings.iter().for_each(|warning| complain(&format!("warning: {warning}")));
    line(&format!(
        "`{}` is good: {}, {}, database `{}`",
        path.display(),
        counted(settings.avatars.len(), "avatar"),
        counted(settings.channels.len(), "channel"),
        settings.store_path.display()
    ));
    if args.online { online(&settings) } else { Exit::Good }
}

/// Prints what is wrong with a config to standard error, each problem with its mend.
pub fn complain_of_config(error: &ConfigError) {
    match error {
        ConfigError::Problems(problems) => {
            problems.iter().for_each(|problem| complain(&problem.to_string()));
            complain(&format!(
                "avatar-watch: {} in the config",
                counted(problems.len(), "problem")
            ));
        }
        ConfigError::Unreadable { source, .. } => {
            complain_of(error);
            if source.kind() == ErrorKind::NotFound {
                complain("  help: `avatar-watch init` writes one, `--config PATH` names another");
            }
        }
    }
}

fn directory_is_there(database: &Path) -> std::io::Result<()> {
    let folder = database.parent().filter(|folder| *folder != Path::new(""));
    match std::fs::metadata(folder.unwrap_or(Path::new(".")))? {
        metadata if metadata.is_dir() => Ok(()),
        _ => Err(ErrorKind::NotADirectory.into()),
    }
}

fn online(settings: &Settings) -> Exit {
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain_of(&error);
            return Exit::Problems;
        }
    };
    match runtime.block_on(try_everything(settings)) {
        Ok(true) => Exit::Good,
        Ok(false) => Exit::Problems,
        Err(error) => {
            complain_of(&error);
            Exit::Problems
        }
    }
}

/// Looks at every avatar and connects to every channel; whether all went well.
async fn try_everything(settings: &Settings) -> Result<bool, DaemonError> {
    let client = wiring::client(&settings.argil)?;
    let mut good = true;
    for avatar in &settings.avatars {
        let seen = client.look(&avatar.id, SystemClock.now()).await;
        let (fine, text) = verdict(&seen);
        good &= fine;
        line(&format!("{} avatar `{}`: {text}", mark(fine), avatar.id));
        if matches!(seen, Observation::Denied { denial: Denial::Key, .. }) {
            line("  the other avatars were not tried: it is the key that is refused");
            break;
        }
    }
    for settings in settings.channels.values() {
        let outcome = wiring::channel(settings)?.probe().await;
        let fine = outcome.class == OutcomeClass::Delivered;
        good &= fine;
        line(&format!("{} channel `{}`: {}", mark(fine), settings.name, connection(&outcome)));
    }
    Ok(good)
}

fn verdict(seen: &Observation) -> (bool, String) {
    match seen {
        Observation::Seen(avatar) => (true, format!("it is {}", plain(avatar.status.name()))),
        Observation::Missing { reason } => (false, format!("there is no such avatar: {reason}")),
        Observation::Denied { denial: Denial::Key, reason } => {
            (false, format!("the key is refused: {reason}"))
        }
        Observation::Denied { denial: Denial::Avatar, reason } => {
            (false, format!("the key may not see it: {reason}"))
        }
        Observation::Throttled { reason, .. } => (false, format!("not now: {reason}")),
        Observation::Failed { reason, .. } => (false, reason.clone()),
    }
}

fn connection(outcome: &Outcome) -> String {
    match &outcome.error {
        None => "it can be reached".to_owned(),
        Some(error) => format!("failed at `{}`: {error}", outcome.phase),
    }
}

const fn mark(fine: bool) -> &'static str {
    if fine { "ok  " } else { "FAIL" }
}
