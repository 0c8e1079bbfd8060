//! What a reload changes: the difference of two snapshots, in words.
//!
//! Lines and order are no difference. A secret that differs is told by the name of its key; its
//! value, old or new, never is.

use std::collections::BTreeSet;
use std::fmt;

use crate::config::parse::field::shown;
use crate::config::serialize::is_hidden;
use crate::config::snapshot::{ConfigSnapshot, Keys};
use crate::domain::account::AccountName;

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigChange {
    /// The section that differs, as `poll` or `channels.NAME`.
    pub section: String,
    /// How it differs.
    pub kind: ChangeKind,
}

/// How a section differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// It was not there; with its keys.
    Added(Keys),
    /// It is no longer there; with the keys that it had.
    Removed(Keys),
    /// It is there with other values of these keys: at least one.
    Changed(Vec<KeyChange>),
}

/// A key that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyChange {
    /// The key, as it stands below its section.
    pub key: String,
    /// Its value before; `None` when it had none, or is a secret.
    pub old: Option<String>,
    /// Its value now; `None` when it has none, or is a secret.
    pub new: Option<String>,
}

/// Everything that differs. Secrets are compared where both snapshots have them.
pub fn diff(old: &ConfigSnapshot, new: &ConfigSnapshot) -> Vec<ConfigChange> {
    let sections: BTreeSet<&String> = old.sections.keys().chain(new.sections.keys()).collect();
    let change = |section: &String| {
        let turn = match (old.sections.get(section), new.sections.get(section)) {
            (None, None) => return None,
            (None, Some(keys)) => ChangeKind::Added(visible(keys)),
            (Some(keys), None) => ChangeKind::Removed(visible(keys)),
            (Some(old), Some(new)) if old == new => return None,
            (Some(old), Some(new)) => ChangeKind::Changed(compare(old, new)),
        };
        Some(ConfigChange { section: section.clone(), kind: turn })
    };
    sections.into_iter().filter_map(change).collect()
}

fn visible(keys: &Keys) -> Keys {
    let shown = keys.iter().filter(|(_, text)| !is_hidden(text));
    shown.map(|(key, text)| (key.clone(), text.clone())).collect()
}

fn compare(old: &Keys, new: &Keys) -> Vec<KeyChange> {
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let differ = keys.into_iter().filter(|key| old.get(*key) != new.get(*key));
    let change = |key: &String| {
        let [old, new] =
            [old, new].map(|keys| keys.get(key).filter(|text| !is_hidden(text)).cloned());
        KeyChange { key: key.clone(), old, new }
    };
    differ.map(change).collect()
}

impl ConfigChange {
    /// Whether it takes effect only after a restart.
    pub fn needs_restart(&self) -> bool {
        match &self.kind {
            ChangeKind::Changed(keys) => {
                self.section == "store" && keys.iter().any(|change| change.key == "path")
            }
            ChangeKind::Added(_) | ChangeKind::Removed(_) => false,
        }
    }

    /// One line of a list: `+`, `-` or `~`, what it is about, and which keys differ.
    pub fn diff_line(&self) -> String {
        match &self.kind {
            ChangeKind::Added(keys) => format!("+ {}", self.subject(keys)),
            ChangeKind::Removed(keys) => format!("- {}", self.subject(keys)),
            ChangeKind::Changed(keys) => format!("~ {}: {}", self.noun(), self.listed(keys)),
        }
    }

    /// What it is about, with what tells an avatar from others.
    fn subject(&self, keys: &Keys) -> String {
        let mut text = self.noun();
        if let Some(name) = keys.get("name") {
            text += &format!(" \"{}\"", shown(name));
        }
        match keys.get("account") {
            Some(account) if account != AccountName::DEFAULT => {
                text += &format!(" of account `{account}`");
            }
            Some(_) | None => (),
        }
        text
    }

    fn noun(&self) -> String {
        match self.section.split_once('.') {
            Some((table, name)) => format!("{} `{name}`", table.trim_end_matches('s')),
            None => match self.section.as_str() {
                "poll" => "the pace of looking",
                "events" => "what counts as news",
                "discover" => "the discovery",
                other => return format!("the {other}"),
            }
            .to_owned(),
        }
    }

    /// The keys, with their values where they are short and nobody's business is in them.
    fn listed(&self, keys: &[KeyChange]) -> String {
        let tells = !self.section.contains('.');
        let told = |KeyChange { key, old, new }: &KeyChange| match (old, new) {
            (Some(old), Some(new)) if tells => {
                format!("`{key}` from `{}` to `{}`", shown(old), shown(new))
            }
            (Some(_) | None, Some(_) | None) => format!("`{key}`"),
        };
        keys.iter().map(told).collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Display for ConfigChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ChangeKind::Added(_) if self.section == "discover" => {
                f.write_str("the discovery is on now")
            }
            ChangeKind::Removed(_) if self.section == "discover" => {
                f.write_str("the discovery is off now")
            }
            ChangeKind::Added(keys) => write!(f, "{} added", self.subject(keys)),
            ChangeKind::Removed(keys) => write!(f, "{} removed", self.subject(keys)),
            ChangeKind::Changed(keys) => {
                write!(f, "{} changed: {}", self.noun(), self.listed(keys))
            }
        }?;
        if self.needs_restart() { f.write_str("; it takes a restart") } else { Ok(()) }
    }
}

#[cfg(test)]
#[path = "diff_tests.rs"]
mod tests;
