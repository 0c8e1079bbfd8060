//! The changes of a reload: the differences of two snapshots, as text. Lines and order do not
//! matter. A changed secret is reported by the name of its key, never by its value.

use std::collections::BTreeSet;
use std::fmt;

use crate::config::change::serialize::is_hidden;
use crate::config::change::snapshot::{ConfigSnapshot, Keys};
use crate::config::parse::field::shown;
use crate::domain::account::AccountName;

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigChange {
    /// The section that differs, as `poll` or `channels.NAME`.
    pub(crate) section: String,
    pub(crate) kind: ChangeKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ChangeKind {
    Added(Keys),
    Removed(Keys),
    /// Its values of these keys differ: at least one.
    Changed(Vec<KeyChange>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyChange {
    /// The key, relative to its section.
    pub(crate) key: String,
    /// Its value before; `None` when it had none, or is a secret.
    pub(crate) old: Option<String>,
    /// Its value now; `None` when it has none, or is a secret.
    pub(crate) new: Option<String>,
}

/// All differences. Secrets are compared if both snapshots have them.
pub(crate) fn diff(old: &ConfigSnapshot, new: &ConfigSnapshot) -> Vec<ConfigChange> {
    let sections: BTreeSet<&String> = old.sections.keys().chain(new.sections.keys()).collect();
    let change = |section: &String| {
        let kind = match (old.sections.get(section), new.sections.get(section)) {
            (None, None) => return None,
            (None, Some(keys)) => ChangeKind::Added(visible(keys)),
            (Some(keys), None) => ChangeKind::Removed(visible(keys)),
            (Some(old), Some(new)) if old == new => return None,
            (Some(old), Some(new)) => ChangeKind::Changed(compare(old, new)),
        };
        Some(ConfigChange { section: section.clone(), kind })
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
    pub(crate) fn needs_restart(&self) -> bool {
        match &self.kind {
            ChangeKind::Changed(keys) => {
                self.section == "store" && keys.iter().any(|change| change.key == "path")
            }
            ChangeKind::Added(_) | ChangeKind::Removed(_) => false,
        }
    }

    /// One line of a list: `+`, `-` or `~`, the subject, and the changed keys.
    pub(crate) fn diff_line(&self) -> String {
        match &self.kind {
            ChangeKind::Added(keys) => format!("+ {}", self.subject(keys)),
            ChangeKind::Removed(keys) => format!("- {}", self.subject(keys)),
            ChangeKind::Changed(keys) => format!("~ {}: {}", self.noun(), self.listed(keys)),
        }
    }

    /// The subject; an avatar is shown with its name and account.
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
                "poll" => "the polling",
                "events" => "the events",
                "discover" => "the discovery",
                other => return format!("the {other}"),
            }
            .to_owned(),
        }
    }

    /// The keys, with their values if they are short and not private.
    fn listed(&self, keys: &[KeyChange]) -> String {
        let shows_values = !self.section.contains('.');
        let describe = |KeyChange { key, old, new }: &KeyChange| match (old, new) {
            (Some(old), Some(new)) if shows_values => {
                format!("`{key}` from `{}` to `{}`", shown(old), shown(new))
            }
            (Some(_) | None, Some(_) | None) => format!("`{key}`"),
        };
        keys.iter().map(describe).collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Display for ConfigChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ChangeKind::Added(_) if self.section == "discover" => f.write_str("discovery enabled"),
            ChangeKind::Removed(_) if self.section == "discover" => {
                f.write_str("discovery disabled")
            }
            ChangeKind::Added(keys) => write!(f, "{} added", self.subject(keys)),
            ChangeKind::Removed(keys) => write!(f, "{} removed", self.subject(keys)),
            ChangeKind::Changed(keys) => {
                write!(f, "{} changed: {}", self.noun(), self.listed(keys))
            }
        }?;
        if self.needs_restart() { f.write_str("; requires a restart") } else { Ok(()) }
    }
}

#[cfg(test)]
#[path = "diff_tests.rs"]
mod tests;
