//! The config file: found, read, and turned into settings, or into all of its problems.
//!
//! What always holds: there are settings only when there is no problem at all.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

use crate::config::drop_in::{self, DropIns};
use crate::config::environment::Environment;
use crate::config::error::{ConfigError, Problem};
use crate::config::file_stamp::{self, Generation};
use crate::config::location::ConfigFile;
use crate::config::parse::document::{Diagnostics, Document, FileAccess, Location, Outside};
use crate::config::parse::field::Table;
use crate::config::parse::references::References;
use crate::config::parse::syntax_error;
use crate::config::schema::keys::{AVATAR, DISCOVER, EVENTS, ROOT, STORE};
use crate::config::sections::account;
use crate::config::sections::avatar::Registry;
use crate::config::sections::channel;
use crate::config::sections::discover;
use crate::config::sections::heartbeat;
use crate::config::sections::poll;
use crate::config::sections::store;
use crate::config::sections::web;
use crate::config::settings::{AvatarSettings, Settings};
use crate::domain::account::AccountName;
use crate::domain::avatar::AvatarId;
use crate::files::trust::Trust;

/// Reads the config and its drop-ins, with what they take from the environment.
///
/// # Errors
/// When the config cannot be read or may not be obeyed, or with every problem that is in it and in
/// its drop-ins.
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
        .read(path)
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

/// Another reading may find it at rest.
fn changes_all_the_time(file: PathBuf) -> Problem {
    Problem {
        file,
        line: None,
        key: String::new(),
        message: "keeps changing while the config is read".to_owned(),
        help: Some(
            "what writes it again and again? let it end, and read the config then".to_owned(),
        ),
        unreadable: true,
    }
}

/// Reads a config's text with its drop-ins.
pub(super) fn read(
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

/// What a reading command needs of the config. It is read even where the rest has problems or
/// the secrets are out of reach, because looking must work when watching does not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartialConfig {
    /// The database.
    pub store_path: PathBuf,
    /// The registered avatars; `None` when they cannot be read.
    pub avatars: Option<BTreeMap<AvatarId, RegisteredAvatar>>,
    /// The names of the accounts; `None` when they cannot be read.
    pub accounts: Option<Vec<String>>,
    /// The names of the channels, good or bad; `None` when they cannot be read.
    pub channels: Option<BTreeSet<String>>,
    /// Where the API of the default account is, as it is written, if that is said.
    pub base_url: Option<String>,
    /// Whether there is a word about discovery.
    pub discovers: bool,
    /// Where the page is, if it is at a place that can be known.
    pub page: Option<SocketAddr>,
    /// Whether the file is there and is TOML from end to end.
    pub is_whole: bool,
    /// Why nothing of the file is used, where it may not be obeyed.
    pub refused: Option<Problem>,
}

/// What a reading command needs of the registration of an avatar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisteredAvatar {
    /// The name that the user gave it.
    pub name: Option<String>,
    /// The account that it is watched with.
    pub account: AccountName,
}

/// Reads the outline, as far as it can be read; a config that cannot be read at all, or may not be
/// obeyed, has the database where it is by default.
pub fn partial(config: &ConfigFile, environment: &Environment) -> PartialConfig {
    file_stamp::settled(|files| {
        let path = config.path.as_path();
        let read = files.read(path).ok();
        let (bytes, trust, refused) = match read.map(|(bytes, facts)| {
            let admitted = config.admit(&facts, environment);
            admitted.map(|(trust, _)| (bytes, trust))
        }) {
            Some(Ok((bytes, trust))) => (bytes, trust, None),
            Some(Err(refused)) => (Vec::new(), Trust::for_named(), Some(refused)),
            None => (Vec::new(), Trust::for_named(), None),
        };
        let drop_ins = match refused {
            None => DropIns::beside(path, files, &trust),
            Some(_) => DropIns::default(),
        };
        let outside = Outside { environment, files, trust: &trust };
        PartialConfig { refused, ..outline_of(path, &bytes, drop_ins, outside) }
    })
    .0
}

fn outline_of(path: &Path, bytes: &[u8], drop_ins: DropIns, outside: Outside<'_>) -> PartialConfig {
    let text = String::from_utf8_lossy(bytes);
    let (entries, damage) = DeTable::parse_recoverable(&text);
    let is_whole = damage.is_empty() && !bytes.is_empty();
    let reader = Document::new(path, &text, FileAccess::Owner, outside);
    let root = Table::root(&reader, entries.get_ref());
    let mut registry = Registry::new(References::default());
    let avatars = registry.read(&root).filter(|_| !bytes.is_empty());
    let dropped = drop_ins.read(&mut registry, outside, &mut Diagnostics::default());
    let avatars = avatars.zip(dropped).map(|(avatars, dropped)| [avatars, dropped].concat());
    let accounts = account::names(&root).filter(|_| !bytes.is_empty());
    let channels = root.names("channels").filter(|_| !bytes.is_empty());
    let named = |avatar: AvatarSettings| {
        (avatar.id, RegisteredAvatar { name: avatar.name, account: avatar.account })
    };
    let store_path = match is_whole {
        true => store::path(&root),
        false => store_path_in_ruins(path, &text, outside).or_else(|| store::path(&root)),
    };
    PartialConfig {
        store_path: store_path.unwrap_or_else(|| reader.resolve(store::PATH)),
        avatars: avatars.map(|avatars| avatars.into_iter().map(named).collect()),
        accounts: accounts.map(|names| names.into_iter().map(str::to_owned).collect()),
        channels: channels.map(|names| names.into_iter().map(str::to_owned).collect()),
        base_url: account::written_base_url(&root),
        discovers: root.field(DISCOVER.path).is_some(),
        page: web::page(&root).filter(|_| is_whole),
        is_whole,
        refused: None,
    }
}

/// Where the database is, by the one line that says so, in a file that is no TOML as a whole: the
/// parser goes on after damage, but what it swallowed may be that line. Such a file may have lost
/// its line ends to `\r`, or be in UTF-16.
fn store_path_in_ruins(path: &Path, text: &str, outside: Outside<'_>) -> Option<PathBuf> {
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

/// Reads everything before it gives up on anything; what there is to say of the drop-ins goes
/// into `dropped`.
fn settings(root: &Table<'_>, drop_ins: DropIns, dropped: &mut Diagnostics) -> Option<Settings> {
    root.check_keys(&ROOT);
    let accounts = account::read(root);
    let poll = poll::read(root);
    let infer = root
        .section(EVENTS.path, &EVENTS)
        .and_then(|events| events.or("infer_unseen_training", true, |field| field.flag()));
    let store = store::read(root);
    let heartbeat = heartbeat::read(root);
    let web = web::read(root);
    let channels = channel::read(root);
    let names = References::of(root, poll.as_ref().and_then(|poll| poll.overdue_after));
    let discover = discover::read(root, &names);
    let mut registry = Registry::new(names);
    let avatars = registry.read(root);
    let is_alone = drop_ins.is_empty();
    let more = drop_ins.read(&mut registry, root.reader.outside(), dropped);
    if let (true, Some([]), Some(None)) = (is_alone, avatars.as_deref(), &discover) {
        warn_of_none(root);
    }
    let (poll, (store_path, retention)) = (poll?, store?);
    Some(Settings {
        path: root.reader.path.to_owned(),
        accounts: accounts?,
        strategy: poll.strategy,
        intervals: poll.intervals,
        infer_unseen_training: infer?,
        store_path,
        retention,
        avatars: [avatars?, more?].concat(),
        discover: discover?,
        channels: channels?,
        web: web?,
        heartbeat: heartbeat?,
        warnings: Vec::new(),
    })
}

fn warn_of_none(root: &Table<'_>) {
    let place = Location { key: AVATAR.path.to_owned(), span: None };
    let help = "add `[[avatars]]` with an `id`";
    root.reader.warning(&place, "is empty, so nothing is watched", help);
}

/// The permission bits of everyone but the owner.
const OTHERS: u32 = 0o077;

#[cfg(test)]
#[path = "file_tests.rs"]
pub(super) mod tests;
