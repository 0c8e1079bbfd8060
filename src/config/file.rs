//! Loads the config file: returns settings only when there is no problem at all, otherwise all
//! problems.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

use crate::config::config_file_trust::ConfigFile;
use crate::config::drop_in::{self, DropIns};
use crate::config::environment::Environment;
use crate::config::error::{ConfigError, Problem};
use crate::config::file_stamp::{self, Generation};
use crate::config::parse::document::{Diagnostics, Document, FileAccess, Location, Outside};
use crate::config::parse::field::Table;
use crate::config::parse::references::References;
use crate::config::parse::syntax_error;
use crate::config::schema::keys::{AVATAR, DISCOVER, ROOT, STORE};
use crate::config::sections::account;
use crate::config::sections::avatar::Registry;
use crate::config::sections::channel;
use crate::config::sections::discover;
use crate::config::sections::events;
use crate::config::sections::heartbeat;
use crate::config::sections::only;
use crate::config::sections::poll;
use crate::config::sections::store;
use crate::config::sections::web;
use crate::config::settings::{
    AccountSettings, AvatarSettings, ChannelSettings, DiscoverSettings, Settings,
};
use crate::domain::account::AccountName;
use crate::domain::avatar::AvatarId;
use crate::domain::delivery::channel_name::ChannelName;
use crate::domain::routing::facts::AvatarRouting;
use crate::domain::routing::table::RoutingTable;
use crate::domain::routing::tag::Tag;
use crate::files::trust::Trust;

/// Reads the config and its drop-ins, with the values that they take from the environment. Fails
/// when the config cannot be read or is not trusted, or with all problems of it and its drop-ins.
pub fn load(config: &ConfigFile, environment: &Environment) -> Result<Settings, ConfigError> {
    match file_stamp::settled(|files| load_once(config, environment, files)) {
        (read, None) => read,
        (_, Some(changing)) => Err(ConfigError::Problems(vec![changes_all_the_time(changing)])),
    }
}

fn load_once(
    config: &ConfigFile,
    environment: &Environment,
    files: &Generation,
) -> Result<Settings, ConfigError> {
    let path = config.path.as_path();
    let (bytes, facts) = files
        .read_config(path)
        .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    let problems = |problem| ConfigError::Problems(vec![problem]);
    let (trust, doubt) = config.admit(&facts, environment).map_err(problems)?;
    let text = drop_in::text(path, &bytes).map_err(problems)?;
    let outside = Outside { environment, files, trust: &trust };
    let drop_ins = DropIns::beside(path, files, &trust);
    let read = read(path, &text, visibility(facts.mode), outside, drop_ins);
    let settings = read.map_err(ConfigError::Problems)?;
    let warnings = doubt.into_iter().chain(settings.warnings).collect();
    Ok(Settings { warnings, ..settings })
}

/// A later read may succeed.
fn changes_all_the_time(file: PathBuf) -> Problem {
    let help = "stop the program that writes to it, then reload the config";
    let problem = Problem::of_file(file, "keeps changing while the config is read", help);
    Problem { unreadable: true, ..problem }
}

/// Reads a text without drop-ins.
pub(super) fn read_text(
    path: &Path,
    text: &str,
    visibility: FileAccess,
    environment: &Environment,
) -> Result<Settings, Vec<Problem>> {
    let (files, trust) = (Generation::default(), Trust::for_named());
    let outside = Outside { environment, files: &files, trust: &trust };
    read(path, text, visibility, outside, DropIns::default())
}

fn read(
    path: &Path,
    text: &str,
    visibility: FileAccess,
    outside: Outside<'_>,
    drop_ins: DropIns,
) -> Result<Settings, Vec<Problem>> {
    let (entries, errors) = DeTable::parse_recoverable(text);
    let reader = Document::new(path, text, visibility, outside);
    syntax_error::syntax_error(&reader, &errors);
    let mut dropped = Diagnostics::default();
    let settings = settings(&Table::root(&reader, entries.get_ref()), drop_ins, &mut dropped);
    let mut found = reader.into_findings();
    found.append(dropped);
    match settings {
        Some(settings) if found.problems.is_empty() => {
            Ok(Settings { warnings: found.warnings, ..settings })
        }
        Some(_) | None => Err(found.problems),
    }
}

/// The part of the config that read-only commands need. It is read even if the rest has problems or
/// the secrets are not accessible.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PartialConfig {
    pub(crate) store_path: PathBuf,
    /// The configured avatars; `None` when they cannot be read.
    pub(crate) avatars: Option<BTreeMap<AvatarId, RegisteredAvatar>>,
    /// The names of the accounts; `None` when they cannot be read.
    pub(crate) accounts: Option<Vec<String>>,
    /// The names of the channels, valid or not; `None` when they cannot be read.
    pub(crate) channels: Option<BTreeSet<String>>,
    /// The `base_url` of the default account as written, if it is set.
    pub(crate) base_url: Option<String>,
    pub(crate) discovers: bool,
    /// How events are routed, as far as it can be read.
    pub(crate) routing: RoutingTable,
    /// The listen address of the web server, if it is known.
    pub(crate) listen_address: Option<SocketAddr>,
    /// Whether the file exists and is valid TOML.
    pub(crate) is_readable: bool,
    /// Why the file is not used, if it is not trusted.
    pub(crate) refused: Option<Problem>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RegisteredAvatar {
    pub(crate) name: Option<String>,
    /// Its account, with what else routing knows of it.
    pub(crate) routing: AvatarRouting,
}

/// Reads the part of the config that can be read; a config that cannot be read, or is not trusted,
/// has the default path of the database.
pub(crate) fn partial(config: &ConfigFile, environment: &Environment) -> PartialConfig {
    file_stamp::settled(|files| {
        let path = config.path.as_path();
        let read = files.read_config(path).ok();
        let read = read.map(|(bytes, facts)| Ok((bytes, config.admit(&facts, environment)?.0)));
        let (read, refused) = match read.transpose() {
            Ok(read) => (read, None),
            Err(refused) => (None, Some(refused)),
        };
        let (bytes, trust) = read.unwrap_or_else(|| (Vec::new(), Trust::for_named()));
        let drop_ins = match refused {
            None => DropIns::beside(path, files, &trust),
            Some(_) => DropIns::default(),
        };
        let outside = Outside { environment, files, trust: &trust };
        PartialConfig { refused, ..partial_of(path, &bytes, drop_ins, outside) }
    })
    .0
}

fn partial_of(path: &Path, bytes: &[u8], drop_ins: DropIns, outside: Outside<'_>) -> PartialConfig {
    let text = String::from_utf8_lossy(bytes);
    let (entries, damage) = DeTable::parse_recoverable(&text);
    let is_readable = damage.is_empty() && !bytes.is_empty();
    let reader = Document::new(path, &text, FileAccess::Owner, outside);
    let root = Table::root(&reader, entries.get_ref());
    let mut registry = Registry::new(References::default());
    let avatars = registry.read(&root).filter(|_| !bytes.is_empty());
    let dropped = drop_ins.read(&mut registry, outside, &mut Diagnostics::default());
    let avatars = avatars.zip(dropped).map(|(avatars, dropped)| joined(avatars, dropped));
    let accounts = account::names(&root).filter(|_| !bytes.is_empty());
    let channels = root.names("channels").filter(|_| !bytes.is_empty());
    let account_tags = account::tags(&root);
    let routing = |account: AccountName, tags: BTreeSet<Tag>, channels| {
        let of_account = account_tags.get(&account).into_iter().flatten().cloned();
        AvatarRouting { tags: tags.into_iter().chain(of_account).collect(), account, channels }
    };
    let named = |avatar: AvatarSettings| {
        let AvatarSettings { id, name, account, tags, channels, .. } = avatar;
        (id, RegisteredAvatar { name, routing: routing(account, tags, channels) })
    };
    let discovered = discover::read(&root, &References::default()).flatten().map(|discover| {
        let DiscoverSettings { accounts: listed, tags, channels, .. } = discover;
        let all = account_tags.keys().cloned();
        let names = if listed.is_empty() { all.collect() } else { listed };
        let of = |name: AccountName| (name.clone(), routing(name, tags.clone(), channels.clone()));
        names.into_iter().map(of).collect()
    });
    let table = RoutingTable {
        channels: channel::routings(&root),
        discovered: discovered.unwrap_or_default(),
    };
    let store_path = match is_readable {
        true => store::path(&root),
        false => store_path_despite_errors(path, &text, outside).or_else(|| store::path(&root)),
    };
    PartialConfig {
        store_path: store_path.unwrap_or_else(|| reader.resolve(store::PATH)),
        avatars: avatars.map(|avatars| avatars.into_iter().map(named).collect()),
        accounts: accounts.map(|names| names.into_iter().map(str::to_owned).collect()),
        channels: channels.map(|names| names.into_iter().map(str::to_owned).collect()),
        base_url: account::written_base_url(&root),
        discovers: root.field(DISCOVER.path).is_some(),
        routing: table,
        listen_address: web::listen_address(&root).filter(|_| is_readable),
        is_readable,
        refused: None,
    }
}

/// The path of the database from its line in a file with syntax errors: the parser continues after
/// an error, but may drop that line. Such a file may have `\r` as line ends, or be in UTF-16.
fn store_path_despite_errors(path: &Path, text: &str, outside: Outside<'_>) -> Option<PathBuf> {
    let text = text.replace('\0', "");
    let mut header = "";
    text.split(['\n', '\r']).map(str::trim).find_map(|line| {
        if line.starts_with('[') {
            header = line;
            return None;
        }
        let statement = format!("{header}\n{line}");
        let (entries, damage) = DeTable::parse_recoverable(&statement);
        let reader = Document::new(path, &statement, FileAccess::Owner, outside);
        let root = Table::root(&reader, entries.get_ref());
        let is_said = || root.section(STORE.path, &STORE)?.field("path").map(drop);
        if damage.is_empty() { is_said().and_then(|()| store::path(&root)) } else { None }
    })
}

const fn visibility(mode: u32) -> FileAccess {
    if mode & OTHERS == 0 { FileAccess::Owner } else { FileAccess::Others(mode) }
}

/// Reads all sections before it fails; the diagnostics of the drop-ins are added to `dropped`.
fn settings(root: &Table<'_>, drop_ins: DropIns, dropped: &mut Diagnostics) -> Option<Settings> {
    root.check_keys(&ROOT);
    let accounts = account::read(root);
    let poll = poll::read(root);
    let events = events::read(root);
    let store = store::read(root);
    let heartbeat = heartbeat::read(root);
    let web = web::read(root);
    let mut names =
        References::of(root, poll.as_ref().map(|poll| poll.overdue_after).unwrap_or_default());
    let channels = channel::read(root, &names);
    let only = |(name, it): (&ChannelName, &ChannelSettings)| (name.clone(), it.only.clone());
    names.filters = channels.iter().flatten().map(only).collect();
    let tags = |(name, it): (&AccountName, &AccountSettings)| (name.clone(), it.tags.clone());
    names.account_tags = accounts.iter().flatten().map(tags).collect();
    let discover = discover::read(root, &names);
    let mut registry = Registry::new(names);
    let avatars = registry.read(root);
    let is_alone = drop_ins.is_empty();
    let more = drop_ins.read(&mut registry, root.reader.outside, dropped);
    if let (true, Some([]), Some(None)) = (is_alone, avatars.as_deref(), &discover) {
        warn_of_none(root);
    }
    let (poll, events, (store_path, retention)) = (poll?, events?, store?);
    let settings = Settings {
        path: root.reader.path.to_owned(),
        accounts: accounts?,
        strategy: poll.strategy,
        intervals: poll.intervals,
        infer_unseen_training: events.infer_unseen_training,
        time_zone: events.time_zone,
        alert_timing: events.alert_timing,
        store_path,
        retention,
        avatars: joined(avatars?, more?),
        discover: discover?,
        channels: channels?,
        web: web?,
        heartbeat: heartbeat?,
        warnings: Vec::new(),
    };
    only::warn_of_unknown_tags(root, &known_tags(&settings));
    Some(settings)
}

/// Those of the config, then those of the drop-ins.
fn joined(mut avatars: Vec<AvatarSettings>, dropped: Vec<AvatarSettings>) -> Vec<AvatarSettings> {
    avatars.extend(dropped);
    avatars.shrink_to_fit();
    avatars
}

/// Every tag that an avatar has or, once it is discovered, gets.
fn known_tags(settings: &Settings) -> BTreeSet<Tag> {
    let of_avatars = settings.avatars.iter().flat_map(|it| &it.tags);
    let of_accounts = settings.accounts.values().flat_map(|it| &it.tags);
    let discovered = settings.discover.iter().flat_map(|it| &it.tags);
    of_avatars.chain(of_accounts).chain(discovered).cloned().collect()
}

fn warn_of_none(root: &Table<'_>) {
    let place = Location { key: AVATAR.path.to_owned(), span: None };
    let help = "add `[[avatars]]` with an `id`";
    root.reader.warning(&place, "is empty, so no avatar is watched", help);
}

const OTHERS: u32 = 0o077;

#[cfg(test)]
#[path = "file_tests.rs"]
pub(super) mod tests;
