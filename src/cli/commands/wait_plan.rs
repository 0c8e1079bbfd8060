//! What `wait` waits for, and with what: from the command line, the config if there is one, and
//! what the daemon's database knows.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use crate::argil::client::Client;
use crate::cli::args::WaitArgs;
use crate::cli::commands::check::print_problems;
use crate::cli::exit::Exit;
use crate::cli::output::{print_error, print_failure};
use crate::cli::paths::{config_path, locations};
use crate::config::environment::Environment;
use crate::config::file;
use crate::config::from_env::{KEY_VARIABLE, from_env};
use crate::config::settings::Settings;
use crate::daemon::poller::forecast_cache::{ForecastCache, SAMPLES_MAX};
use crate::daemon::wait_loop::WaitRequest;
use crate::daemon::wiring;
use crate::domain::account::AccountName;
use crate::domain::avatar::AvatarId;
use crate::domain::polling::interval::PollIntervals;
use crate::domain::polling::watch::Watch;
use crate::store::reader::Reader;
use crate::text::sanitize::sanitize;

/// Everything that `wait` needs to begin.
#[derive(Debug)]
pub struct WaitPlan {
    /// What to wait for, by account.
    pub briefs: Vec<WaitRequest<Client>>,
    /// The avatars, in the order of the command line; none twice.
    pub ids: Vec<AvatarId>,
    /// The names that the config gives them.
    pub labels: HashMap<AvatarId, String>,
    /// How long past trainings lasted, by model.
    pub lessons: HashMap<Option<String>, Vec<Duration>>,
}

/// Makes the plan; complains of what is wrong.
///
/// # Errors
/// The code to exit with.
pub fn wait_plan(config: Option<&Path>, args: &WaitArgs) -> Result<WaitPlan, Exit> {
    let ids = ids(&args.ids)?;
    // A variable that is empty is none.
    let args =
        &WaitArgs { base_url: args.base_url.clone().filter(|url| !url.is_empty()), ..args.clone() };
    let settings = settings(config, args)?;
    let chosen = args.account.as_deref().map(|name| chosen(name, &settings)).transpose()?;
    let (mut known, lessons) = match args.base_url {
        None => remembered(config),
        Some(_) => (HashMap::new(), HashMap::new()),
    };
    let mut by_account: HashMap<AccountName, Vec<Watch>> = HashMap::new();
    let mut labels = HashMap::new();
    for id in &ids {
        let registered = settings.avatars.iter().find(|avatar| avatar.id.matches(id.as_str()));
        let account = match (&chosen, registered) {
            (Some(account), _) => account.clone(),
            (None, Some(avatar)) => avatar.account.clone(),
            (None, None) => usual_account(&settings)?,
        };
        if let Some(name) = registered.and_then(|avatar| avatar.name.clone()) {
            labels.insert(id.clone(), name);
        }
        let known = known.remove(id).unwrap_or_else(|| Watch::new(id.clone()));
        by_account.entry(account).or_default().push(known);
    }
    let briefs = by_account
        .into_iter()
        .map(|(account, known)| wait_request(account, known, &settings, &lessons));
    Ok(WaitPlan { briefs: briefs.collect::<Result<_, Exit>>()?, ids, labels, lessons })
}

fn ids(texts: &[String]) -> Result<Vec<AvatarId>, Exit> {
    let mut ids: Vec<AvatarId> = Vec::new();
    for text in texts {
        match AvatarId::parse(text) {
            Ok(id) if ids.iter().any(|known| known.matches(id.as_str())) => {}
            Ok(id) => ids.push(id),
            Err(error) => {
                print_error(&format!("avatar-watch: `{}`: {error}", sanitize(text)));
                return Err(Exit::Problems);
            }
        }
    }
    Ok(ids)
}

/// The settings of the config that was named, or else of the usual one, or else of none.
fn settings(config: Option<&Path>, args: &WaitArgs) -> Result<Settings, Exit> {
    let environment = Environment::from_process();
    let found = config_path(config);
    if let Some(base_url) = &args.base_url {
        if config.is_some() {
            print_error(
                "avatar-watch: the config is not read, since `--base-url` or \
                `ARGIL_BASE_URL` says where to ask",
            );
        }
        return without_config(&environment, Some(base_url));
    }
    if config.is_none() && !found.path.exists() {
        return without_config(&environment, None);
    }
    match file::load(&found, &environment) {
        Ok(settings) => Ok(settings),
        Err(error) => {
            let outline = file::partial(&found, &environment);
            // The key goes where the config says, so that has to be known.
            if config.is_some() || !outline.is_whole || environment.var(KEY_VARIABLE).is_none() {
                print_problems(&error);
                return Err(Exit::Config);
            }
            print_error(&format!(
                "avatar-watch: `{}` has problems (`avatar-watch check` lists them); of it only \
                 `argil.base_url` is used, with the key in `{KEY_VARIABLE}`",
                sanitize(&found.path.to_string_lossy())
            ));
            without_config(&environment, outline.base_url.as_deref())
        }
    }
}

fn without_config(environment: &Environment, base_url: Option<&str>) -> Result<Settings, Exit> {
    if environment.var(KEY_VARIABLE).is_none_or(<[u8]>::is_empty) {
        let without = if base_url.is_some() { "no config is read" } else { "there is no config" };
        print_error(&format!("avatar-watch: {without}, and `{KEY_VARIABLE}` is not set"));
        print_error(&format!(
            "  help: `export {KEY_VARIABLE}=…` with the key of your Argil workspace"
        ));
        return Err(Exit::Problems);
    }
    from_env(environment, base_url).map_err(|problems| {
        for problem in problems {
            let key = match problem.key.as_str() {
                "argil.base_url" => "--base-url",
                key => key,
            };
            let help = problem.help.map(|help| format!("\n  help: {help}")).unwrap_or_default();
            print_error(&format!("avatar-watch: `{key}` {}{help}", problem.message));
        }
        Exit::Problems
    })
}

fn chosen(name: &str, settings: &Settings) -> Result<AccountName, Exit> {
    let found = AccountName::parse(name).ok();
    found.filter(|name| settings.accounts.contains_key(name)).ok_or_else(|| {
        let known: Vec<&str> = settings.accounts.keys().map(AccountName::as_str).collect();
        let (name, known) = (sanitize(name), known.join("`, `"));
        print_error(&format!("avatar-watch: no account `{name}`; there are `{known}`"));
        Exit::Problems
    })
}

/// The account of an avatar that the config does not name: the default one, or the only one.
fn usual_account(settings: &Settings) -> Result<AccountName, Exit> {
    let mut names = settings.accounts.keys();
    match (settings.accounts.contains_key(&AccountName::default()), names.next(), names.next()) {
        (false, Some(only), None) => Ok(only.clone()),
        (true, ..) => Ok(AccountName::default()),
        (false, ..) => {
            print_error("avatar-watch: which account? The config has several, and no `[argil]`");
            print_error("  help: name one with `--account NAME`");
            Err(Exit::Problems)
        }
    }
}

type Remembered = (HashMap<AvatarId, Watch>, HashMap<Option<String>, Vec<Duration>>);

/// What the daemon's database knows, if there is one that can be read. Waiting works without.
fn remembered(config: Option<&Path>) -> Remembered {
    let database = locations(config, None).database;
    if !database.is_file() {
        return Remembered::default();
    }
    let (sender, read) = mpsc::channel();
    let reading = move || {
        let found = Reader::snapshot(&database, |reader| {
            let watches = reader.watches()?.into_iter().map(|watch| (watch.id.clone(), watch));
            Ok((watches.collect(), reader.training_samples(SAMPLES_MAX)?))
        });
        // Nobody may be waiting any more.
        drop(sender.send(found.unwrap_or_default()));
    };
    // A database that somebody holds must not keep anyone waiting.
    match thread::Builder::new().spawn(reading) {
        Ok(_) => read.recv_timeout(REMEMBERING_MAX).unwrap_or_default(),
        Err(_) => Remembered::default(),
    }
}

fn wait_request(
    account: AccountName,
    known: Vec<Watch>,
    settings: &Settings,
    lessons: &HashMap<Option<String>, Vec<Duration>>,
) -> Result<WaitRequest<Client>, Exit> {
    let Some(asked) = settings.accounts.get(&account) else {
        print_error(&format!("avatar-watch: no account `{account}`"));
        return Err(Exit::Problems);
    };
    let client = wiring::client(asked).map_err(|error| {
        print_failure(&error);
        Exit::Problems
    })?;
    if let Some(lacks) = client.obstacle() {
        print_error(&format!("avatar-watch: account `{account}` cannot be asked: {lacks}"));
        return Err(Exit::Disk);
    }
    Ok(WaitRequest {
        account,
        asked: wiring::account(asked, Arc::new(client)),
        gate_waits: wiring::gate_waits(&settings.intervals.backoff),
        cadence: faster(&settings.intervals),
        known,
        experience: ForecastCache::new(lessons.clone()),
    })
}

/// The config's pace, but for what somebody who sits and waits would not wait for.
fn faster(cadence: &PollIntervals) -> PollIntervals {
    PollIntervals {
        not_trained: cadence.not_trained.min(NOT_TRAINED_MAX),
        missing: cadence.missing.min(MISSING_MAX),
        backoff: cadence.backoff.capped(BACKOFF_MAX),
        ..cadence.clone()
    }
}

/// How long the database may take.
const REMEMBERING_MAX: Duration = Duration::from_secs(1);
/// An avatar that somebody waits for is about to be trained.
const NOT_TRAINED_MAX: Duration = Duration::from_secs(5);
/// Three looks tell that an avatar is missing, this far apart.
const MISSING_MAX: Duration = Duration::from_secs(2);
/// After failures in a row.
const BACKOFF_MAX: Duration = Duration::from_secs(30);
