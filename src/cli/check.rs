//! `avatar-watch check`: every problem of the config in one go; with `--online`, whether the
//! outside world agrees.

use std::path::Path;

use crate::cli::args::CheckArgs;
use crate::cli::config_path::config_path;
use crate::cli::exit::Exit;
use crate::cli::output::{complain, complain_of, line, plain};
use crate::cli::run::runtime;
use crate::config::environment::Environment;
use crate::config::error::{ConfigError, Problem};
use crate::config::file;
use crate::config::settings::Settings;
use crate::daemon::clock::SystemClock;
use crate::daemon::error::DaemonError;
use crate::daemon::ports::Clock as _;
use crate::daemon::wiring;
use crate::domain::delivery::{Outcome, OutcomeClass};
use crate::domain::observation::Observation;

/// Reads the config and says what is wrong with it.
pub fn check(config: Option<&Path>, args: &CheckArgs) -> Exit {
    let path = config_path(config);
    let settings = match file::load(&path, &Environment::from_process()) {
        Ok(settings) => settings,
        Err(ConfigError::Problems(problems)) => {
            print_problems(&problems);
            let count = problems.len();
            let noun = if count == 1 { "problem" } else { "problems" };
            complain(&format!("{count} {noun} in `{}`", path.display()));
            return Exit::Problems;
        }
        Err(error) => {
            complain_of(&error);
            return Exit::Problems;
        }
    };
    settings.warnings.iter().for_each(|warning| complain(&format!("warning: {warning}")));
    line(&format!(
        "`{}` is good: {} avatars, {} channels, database `{}`",
        path.display(),
        settings.avatars.len(),
        settings.channels.len(),
        settings.store_path.display()
    ));
    if args.online { online(&settings) } else { Exit::Good }
}

/// Prints problems to standard error, each with its mend.
pub fn print_problems(problems: &[Problem]) {
    problems.iter().for_each(|problem| complain(&problem.to_string()));
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
        if matches!(seen, Observation::Denied { .. }) {
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
        Observation::Denied { reason } => (false, format!("the key is refused: {reason}")),
        Observation::Throttled { reason, .. } => (false, format!("not now: {reason}")),
        Observation::Failed { reason } => (false, reason.clone()),
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
