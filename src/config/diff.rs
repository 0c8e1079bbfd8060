//! What a reload changes: the difference of two settings, in words.
//!
//! Lines and order are no difference, and no secret is ever named.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use crate::config::settings::{AvatarSettings, Settings};
use crate::domain::avatar::AvatarId;
use crate::domain::channel::ChannelName;

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The key, the address or the limits of the account.
    Account,
    /// The waits between looks.
    Pace,
    /// What counts as news.
    News,
    /// Where the database is, which a reload cannot change.
    StorePath {
        /// Where it stays until the restart.
        old: PathBuf,
        /// Where it will be then.
        new: PathBuf,
    },
    /// An avatar that was not there.
    AvatarAdded(AvatarId),
    /// An avatar that is no longer there.
    AvatarRemoved(AvatarId),
    /// An avatar with another name, other channels or another assumption.
    AvatarChanged(AvatarId),
    /// A channel that was not there.
    ChannelAdded(ChannelName),
    /// A channel that is no longer there.
    ChannelRemoved(ChannelName),
    /// A channel with other settings.
    ChannelChanged(ChannelName),
}

impl Change {
    /// Whether it takes effect only after a restart.
    pub const fn needs_restart(&self) -> bool {
        matches!(self, Self::StorePath { .. })
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account => f.write_str("the account changed"),
            Self::Pace => f.write_str("the pace of looking changed"),
            Self::News => f.write_str("`events.infer_unseen_training` changed"),
            Self::StorePath { old, new } => {
                let (old, new) = (old.display(), new.display());
                write!(f, "the store moves from `{old}` to `{new}` only with a restart")
            }
            Self::AvatarAdded(id) => write!(f, "avatar `{id}` added"),
            Self::AvatarRemoved(id) => write!(f, "avatar `{id}` removed"),
            Self::AvatarChanged(id) => write!(f, "avatar `{id}` changed"),
            Self::ChannelAdded(name) => write!(f, "channel `{name}` added"),
            Self::ChannelRemoved(name) => write!(f, "channel `{name}` removed"),
            Self::ChannelChanged(name) => write!(f, "channel `{name}` changed"),
        }
    }
}

/// Everything that differs, in the order of the config's sections.
pub fn diff(old: &Settings, new: &Settings) -> Vec<Change> {
    let mut changes = Vec::new();
    if old.argil != new.argil {
        changes.push(Change::Account);
    }
    if old.cadence != new.cadence {
        changes.push(Change::Pace);
    }
    if old.infer_unseen_training != new.infer_unseen_training {
        changes.push(Change::News);
    }
    if old.store_path != new.store_path {
        let (old, new) = (old.store_path.clone(), new.store_path.clone());
        changes.push(Change::StorePath { old, new });
    }
    avatars(&old.avatars, &new.avatars, &mut changes);
    channels(old, new, &mut changes);
    changes
}

fn avatars(old: &[AvatarSettings], new: &[AvatarSettings], changes: &mut Vec<Change>) {
    let old: BTreeMap<_, _> = old.iter().map(|avatar| (&avatar.id, avatar)).collect();
    let new: BTreeMap<_, _> = new.iter().map(|avatar| (&avatar.id, avatar)).collect();
    for (id, avatar) in &new {
        match old.get(id) {
            None => changes.push(Change::AvatarAdded((*id).clone())),
            Some(before) if !same(before, avatar) => {
                changes.push(Change::AvatarChanged((*id).clone()));
            }
            Some(_) => (),
        }
    }
    let gone = old.keys().filter(|id| !new.contains_key(*id));
    changes.extend(gone.map(|id| Change::AvatarRemoved((*id).clone())));
}

fn same(old: &AvatarSettings, new: &AvatarSettings) -> bool {
    AvatarSettings { line: new.line, ..old.clone() } == *new
}

fn channels(old: &Settings, new: &Settings, changes: &mut Vec<Change>) {
    for (name, channel) in &new.channels {
        match old.channels.get(name) {
            None => changes.push(Change::ChannelAdded(name.clone())),
            Some(before) if before != channel => {
                changes.push(Change::ChannelChanged(name.clone()));
            }
            Some(_) => (),
        }
    }
    let gone = old.channels.keys().filter(|name| !new.channels.contains_key(*name));
    changes.extend(gone.map(|name| Change::ChannelRemoved(name.clone())));
}

#[cfg(test)]
#[path = "diff_tests.rs"]
mod tests;
