//! The plan of `wait`: avatars, accounts and intervals, from the command line, the config if there
//! is one, and the database of the daemon.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use crate::argil::client::Client;
use crate::cli::account_avatars::list_avatars;
use crate::cli::args::WaitArgs;
use crate::cli::avatar_names::{AvatarNames, LookupError, print_ambiguous, print_unknown};
use crate::cli::commands::check::print_problems;
use crate::cli::exit::Exit;
use crate::cli::locations::{config_path, database_path};
use crate::cli::output::{failed, print_error, print_help};
use crate::config::environment::Environment;
use crate::config::file;
use crate::config::from_env::{KEY_VARIABLE, from_env};
use crate::config::parse::avatar_id::{self, NoAvatarId};
use crate::config::settings::{AccountSettings, Settings};
use crate::daemon::config::wiring;
use crate::daemon::poller::forecast_cache::{ForecastCache, SAMPLES_MAX};
use crate::daemon::wait_command::WaitRequest;
use crate::domain::account::AccountName;
use crate::domain::avatar::training::TrainingSample;
use crate::domain::avatar::{Avatar, AvatarId};
use crate::domain::polling::interval::PollIntervals;
use crate::domain::polling::watch::Watch;
use crate::store::reader::Reader;
use crate::text::sanitize::sanitize;

#[derive(Debug)]
pub(crate) struct WaitPlan {
    pub(crate) requests: Vec<WaitRequest<Client>>,
    /// The avatars, in the order of the command line, without duplicates.
    pub(crate) ids: Vec<AvatarId>,
    /// Names from the config.
    pub(crate) labels: HashMap<AvatarId, String>,
    /// Durations of past trainings, by model.
    pub(crate) samples: HashMap<Option<String>, Vec<TrainingSample>>,
}

/// Creates the plan; prints the problems.
pub(crate) fn wait_plan(config: Option<&Path>, args: &WaitArgs) -> Result<WaitPlan, Exit> {
    // An empty variable counts as unset.
    let args =
        &WaitArgs { base_url: args.base_url.clone().filter(|url| !url.is_empty()), ..args.clone() };
    let settings = settings(config, args)?;
    let chosen = args.account.as_deref().map(|name| chosen(name, &settings)).transpose()?;
    let Stored { watches: mut known, discovered, samples } = match args.base_url {
        None => read_database(config),
        Some(_) => Stored::default(),
    };
    let targets = Lookup::new(&settings, chosen.as_ref(), &known).targets(&args.ids)?;
    let mut by_account: HashMap<AccountName, Vec<Watch>> = HashMap::new();
    let mut labels = HashMap::new();
    let mut ids = Vec::new();
    for Target { id, account } in targets {
        let stored = discovered.get(&id).filter(|name| settings.accounts.contains_key(*name));
        let account = match chosen.clone().or(account).or_else(|| stored.cloned()) {
            Some(account) => account,
            None => default_account(&settings)?,
        };
        let registered = settings.avatars.iter().find(|avatar| avatar.id.matches(id.as_str()));
        if let Some(name) = registered.and_then(|avatar| avatar.name.clone()) {
            labels.insert(id.clone(), name);
        }
        let id = &id;
        ids.push(id.clone());
        let known = known.remove(id).unwrap_or_else(|| Watch::new(id.clone()));
        by_account.entry(account).or_default().push(known);
    }
    let requests = settings.accounts.iter().filter_map(|(name, account)| {
        let known = by_account.remove(name)?;
        Some(wait_request(name, account, known, &settings.intervals, &samples))
    });
    Ok(WaitPlan { requests: requests.collect::<Result<_, Exit>>()?, ids, labels, samples })
}

/// An avatar to wait for.
struct Target {
    id: AvatarId,
    /// Its account, as far as config, database or API say so.
    account: Option<AccountName>,
}

/// The avatars that the arguments name, by id or by name, each once.
struct Lookup<'a> {
    settings: &'a Settings,
    /// The only account to ask, if it was chosen.
    chosen: Option<&'a AccountName>,
    /// The avatars of config and database.
    names: AvatarNames,
    /// The avatars of the accounts, once one of them was needed.
    listed: Option<AccountLists>,
}

/// What the accounts list, and why one of them cannot be listed.
type AccountLists = (Vec<(AccountName, Avatar)>, Option<String>);

impl<'a> Lookup<'a> {
    fn new(
        settings: &'a Settings,
        chosen: Option<&'a AccountName>,
        known: &HashMap<AvatarId, Watch>,
    ) -> Self {
        let mut names = AvatarNames::default();
        for avatar in &settings.avatars {
            names.add(&avatar.id, avatar.name.as_deref());
        }
        for watch in known.values() {
            names.add(&watch.id, watch.name.as_deref());
        }
        Self { settings, chosen, names, listed: None }
    }

    fn targets(&mut self, texts: &[String]) -> Result<Vec<Target>, Exit> {
        let mut targets: Vec<Target> = Vec::new();
        for text in texts {
            let target = self.target(text)?;
            if !targets.iter().any(|known| known.id.matches(target.id.as_str())) {
                targets.push(target);
            }
        }
        Ok(targets)
    }

    /// The avatar with that id or name. What neither config nor database know is asked of the API,
    /// unless it can only be an id.
    fn target(&mut self, text: &str) -> Result<Target, Exit> {
        let near = match self.names.find(text) {
            Ok(id) => return Ok(Target { account: self.registered_account(&id), id }),
            Err(LookupError::Ambiguous(ids)) => {
                print_ambiguous(text, &ids);
                return Err(Exit::Problems);
            }
            Err(LookupError::Unknown { near }) => near,
        };
        let unlisted = avatar_id::unlisted(text);
        if let Ok(id) = &unlisted
            && near.is_empty()
        {
            return Ok(Target { id: id.clone(), account: None });
        }
        let (chosen, settings) = (self.chosen, self.settings);
        let (listed, failure) = self.listed.get_or_insert_with(|| list(settings, chosen));
        let mut all = AvatarNames::default();
        listed.iter().for_each(|(_, avatar)| all.add(&avatar.id, avatar.name.as_deref()));
        let near = match all.find(text) {
            Ok(id) => {
                let account = listed.iter().find(|(_, avatar)| avatar.id == id);
                return Ok(Target { account: account.map(|(name, _)| name.clone()), id });
            }
            Err(LookupError::Ambiguous(ids)) => {
                print_ambiguous(text, &ids);
                return Err(Exit::Problems);
            }
            Err(LookupError::Unknown { near: of_list }) => {
                if near.is_empty() {
                    of_list
                } else {
                    near
                }
            }
        };
        match (unlisted, failure) {
            // It may be an id of which nothing is known yet.
            (Ok(id), Some(_)) => Ok(Target { id, account: None }),
            (Ok(_), None) => {
                print_unknown(text, "in config, database or account", &near);
                Err(Exit::Problems)
            }
            (Err(NoAvatarId { message, help }), failure) => {
                let why = failure.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
                let place = format!("in config, database or account{why}, and it {message}");
                print_unknown(text, &place, &near);
                if near.is_empty() {
                    print_help(help);
                }
                Err(Exit::Problems)
            }
        }
    }

    fn registered_account(&self, id: &AvatarId) -> Option<AccountName> {
        let registered = self.settings.avatars.iter().find(|avatar| avatar.id.matches(id.as_str()));
        registered.map(|avatar| avatar.account.clone())
    }
}

fn list(settings: &Settings, chosen: Option<&AccountName>) -> AccountLists {
    let (mut listed, mut failure) = (Vec::new(), None);
    for (name, account) in &settings.accounts {
        if chosen.is_some_and(|chosen| chosen != name) {
            continue;
        }
        match list_avatars(account) {
            Ok(avatars) => listed.extend(avatars.into_iter().map(|it| (name.clone(), it))),
            Err(error) => failure = Some(format!("account `{name}`: {}", error.text)),
        }
    }
    (listed, failure)
}

/// The settings of the named config, else of the default one, else without a config.
fn settings(config: Option<&Path>, args: &WaitArgs) -> Result<Settings, Exit> {
    let environment = Environment::from_process();
    let found = config_path(config);
    if let Some(base_url) = &args.base_url {
        if config.is_some() {
            print_error(
                "avatar-watch: the config is not read, because `--base-url` or `ARGIL_BASE_URL` \
                 is set",
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
            let partial = file::partial(&found, &environment);
            // Without a known `base_url` the key could be sent to the wrong server.
            if config.is_some() || !partial.is_readable || environment.var(KEY_VARIABLE).is_none() {
                print_problems(&error);
                return Err(Exit::Config);
            }
            print_error(&format!(
                "avatar-watch: `{}` has problems (`avatar-watch check` lists them); using only its \
                 `argil.base_url`, with the key in `{KEY_VARIABLE}`",
                sanitize(&found.path.to_string_lossy())
            ));
            without_config(&environment, partial.base_url.as_deref())
        }
    }
}

fn without_config(environment: &Environment, base_url: Option<&str>) -> Result<Settings, Exit> {
    if environment.var(KEY_VARIABLE).is_none_or(<[u8]>::is_empty) {
        let without = if base_url.is_some() { "no config is read" } else { "there is no config" };
        print_error(&format!("avatar-watch: {without}, and `{KEY_VARIABLE}` is not set"));
        print_help(format!("`export {KEY_VARIABLE}=…` with the key of your Argil workspace"));
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
        print_error(&format!("avatar-watch: no account `{name}`; known accounts: `{known}`"));
        Exit::Problems
    })
}

/// The account of an avatar that is not in the config: the default one, or the only one.
fn default_account(settings: &Settings) -> Result<AccountName, Exit> {
    let mut names = settings.accounts.keys();
    match (settings.accounts.contains_key(&AccountName::default()), names.next(), names.next()) {
        (false, Some(only), None) => Ok(only.clone()),
        (true, ..) => Ok(AccountName::default()),
        (false, ..) => {
            print_error("avatar-watch: the config has several accounts, and no `[argil]`");
            print_help("choose one with `--account NAME`");
            Err(Exit::Problems)
        }
    }
}

/// What the database of the daemon knows.
#[derive(Default)]
struct Stored {
    watches: HashMap<AvatarId, Watch>,
    /// The accounts of discovered avatars.
    discovered: BTreeMap<AvatarId, AccountName>,
    samples: HashMap<Option<String>, Vec<TrainingSample>>,
}

/// Watches and training durations from the database of the daemon; empty if it cannot be read.
fn read_database(config: Option<&Path>) -> Stored {
    let database = database_path(config, None);
    if !database.is_file() {
        return Stored::default();
    }
    let (sender, read) = mpsc::channel();
    let reading = move || {
        let found = Reader::snapshot(&database, |reader| {
            let watches = reader.watches()?.into_iter().map(|watch| (watch.id.clone(), watch));
            Ok(Stored {
                watches: watches.collect(),
                discovered: reader.discovered()?,
                samples: reader.training_samples(SAMPLES_MAX)?,
            })
        });
        // The receiver may have timed out.
        drop(sender.send(found.unwrap_or_default()));
    };
    // A locked database must not delay the start.
    match thread::Builder::new().spawn(reading) {
        Ok(_) => read.recv_timeout(DATABASE_TIMEOUT).unwrap_or_default(),
        Err(_) => Stored::default(),
    }
}

fn wait_request(
    name: &AccountName,
    account: &AccountSettings,
    known: Vec<Watch>,
    intervals: &PollIntervals,
    samples: &HashMap<Option<String>, Vec<TrainingSample>>,
) -> Result<WaitRequest<Client>, Exit> {
    let client = wiring::client(account).map_err(|error| failed(&error, Exit::Problems))?;
    if let Some(reason) = client.obstacle() {
        print_error(&format!("avatar-watch: account `{name}` cannot be polled: {reason}"));
        return Err(Exit::Disk);
    }
    Ok(WaitRequest {
        account: name.clone(),
        runtime: wiring::account(account, Arc::new(client)),
        breaker_backoff: wiring::breaker_backoff(&intervals.backoff),
        intervals: faster(intervals),
        watches: known,
        forecasts: ForecastCache::new(samples.clone()),
    })
}

/// The intervals of the config, shortened where they are too long for an interactive wait.
fn faster(intervals: &PollIntervals) -> PollIntervals {
    PollIntervals {
        not_trained: intervals.not_trained.min(NOT_TRAINED_MAX),
        missing: intervals.missing.min(MISSING_MAX),
        backoff: intervals.backoff.capped(BACKOFF_MAX),
        ..intervals.clone()
    }
}

const DATABASE_TIMEOUT: Duration = Duration::from_secs(1);
/// The maximum of `not_trained`: training is about to start.
const NOT_TRAINED_MAX: Duration = Duration::from_secs(5);
/// The maximum of `missing`; three polls in a row decide that an avatar is missing.
const MISSING_MAX: Duration = Duration::from_secs(2);
/// The maximum of the backoff after failures.
const BACKOFF_MAX: Duration = Duration::from_secs(30);
