//! The config file: found, read, and turned into settings, or into all of its problems.
//!
//! What always holds: there are settings only when there is no problem at all.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

use crate::config::account;
use crate::config::avatar;
use crate::config::channel;
use crate::config::damage;
use crate::config::environment::Environment;
use crate::config::error::{ConfigError, Problem};
use crate::config::poll;
use crate::config::reader::{Reader, Table, Visibility};
use crate::config::schema::{EVENTS, ROOT, STORE};
use crate::config::secret_source;
use crate::config::settings::{AvatarSettings, Settings};
use crate::domain::avatar::AvatarId;

/// Reads the config, with what it takes from the environment.
///
/// # Errors
/// When the file cannot be read, or with every problem that is in it.
pub fn load(path: &Path, environment: &Environment) -> Result<Settings, ConfigError> {
    let (bytes, visibility) =
        open(path).map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    match std::str::from_utf8(&bytes) {
        Ok(text) => read(path, text, visibility, environment).map_err(ConfigError::Problems),
        Err(error) => {
            let good = bytes.iter().take(error.valid_up_to());
            let line = 1 + good.filter(|byte| **byte == b'\n').count();
            Err(ConfigError::Problems(vec![Problem {
                file: path.to_owned(),
                line: Some(line),
                key: String::new(),
                message: "the text is not UTF-8".to_owned(),
                help: None,
            }]))
        }
    }
}

/// Reads a config's text.
pub(super) fn read(
    path: &Path,
    text: &str,
    visibility: Visibility,
    environment: &Environment,
) -> Result<Settings, Vec<Problem>> {
    let (entries, errors) = DeTable::parse_recoverable(text);
    let reader = Reader::new(path, text, visibility, environment);
    for error in &errors {
        damage::report(&reader, error);
    }
    let settings = settings(&reader.root(entries.get_ref()));
    let (problems, warnings) = reader.into_findings();
    match settings {
        Some(settings) if problems.is_empty() => Ok(Settings { warnings, ..settings }),
        Some(_) | None => Err(problems),
    }
}

/// What a reading command needs of the config. It is read even where the rest has problems or
/// the secrets are out of reach, because looking must work when watching does not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outline {
    /// The database.
    pub store_path: PathBuf,
    /// The registered avatars, with the names that the user gave them; `None` when they cannot
    /// be read.
    pub avatars: Option<BTreeMap<AvatarId, Option<String>>>,
}

/// Reads the outline, as far as it can be read; a config that cannot be read at all has the
/// database where it is by default.
pub fn outline(path: &Path, environment: &Environment) -> Outline {
    let bytes = open(path).map(|(bytes, _)| bytes).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let (entries, _) = DeTable::parse_recoverable(&text);
    let reader = Reader::new(path, &text, Visibility::Owner, environment);
    let root = reader.root(entries.get_ref());
    let avatars = avatar::read(&root, None).filter(|_| !bytes.is_empty());
    let named = |avatar: AvatarSettings| (avatar.id, avatar.name);
    Outline {
        store_path: store_path(&root).unwrap_or_else(|| reader.resolve(STORE_PATH)),
        avatars: avatars.map(|avatars| avatars.into_iter().map(named).collect()),
    }
}

fn open(path: &Path) -> io::Result<(Vec<u8>, Visibility)> {
    // Before it is opened: to open a pipe waits for a writer, for ever.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    let mode = metadata.permissions().mode() & 0o7777;
    let visibility = if mode & OTHERS == 0 { Visibility::Owner } else { Visibility::Others(mode) };
    Ok((secret_source::read_bounded(file)?, visibility))
}

/// Reads everything before it gives up on anything.
fn settings(root: &Table<'_>) -> Option<Settings> {
    root.check_keys(&ROOT);
    let argil = account::read(root);
    let cadence = poll::read(root);
    let infer = root
        .section(EVENTS.path, &EVENTS)
        .and_then(|events| events.or("infer_unseen_training", true, |field| field.flag()));
    let store_path = store_path(root);
    let channels = channel::read(root);
    let avatars = avatar::read(root, channel::names(root).as_deref());
    Some(Settings {
        path: root.reader.path.to_owned(),
        argil: argil?,
        cadence: cadence?,
        infer_unseen_training: infer?,
        store_path: store_path?,
        avatars: avatars?,
        channels: channels?,
        warnings: Vec::new(),
    })
}

fn store_path(root: &Table<'_>) -> Option<PathBuf> {
    let store = root.section(STORE.path, &STORE)?;
    let path = store.or("path", STORE_PATH, |field| field.text())?;
    Some(match root.reader.environment.state_directory() {
        Some(directory) => directory.join(path),
        None => root.reader.resolve(path),
    })
}

const STORE_PATH: &str = "avatar-watch.db";

/// The permission bits of everyone but the owner.
const OTHERS: u32 = 0o077;

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
