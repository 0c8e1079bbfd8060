//! What a reload changes: the difference of two settings, in words.
//!
//! Lines and order are no difference. A secret that differs is told by the name of its key; its
//! value, old or new, never is.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::config::field::shown;
use crate::config::settings::{
    ChannelKind, EmailSettings, FormatSettings, MailWay, Settings, SmtpAuth, SmtpProof,
};
use crate::config::snapshot::{Keys, Section, Snapshot};
use crate::domain::account::AccountName;
use crate::domain::custom_header::CustomHeaderName;
use crate::domain::template_tree::TemplateTree;
use crate::secret::Secret;
use crate::signing_secret::SigningSecret;

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What differs.
    pub section: Section,
    /// How it differs.
    pub turn: Turn,
}

/// How a section differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
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

/// Everything that differs, in the order of the config's sections; secrets are compared too.
pub fn diff(old: &Settings, new: &Settings) -> Vec<Change> {
    compare(&Snapshot::of(old), &Snapshot::of(new), &secrets(old), &secrets(new))
}

/// Everything that differs but for the secrets, which are not in a snapshot.
pub fn diff_snapshots(old: &Snapshot, new: &Snapshot) -> Vec<Change> {
    compare(old, new, &Secrets::new(), &Secrets::new())
}

impl Change {
    /// Whether it takes effect only after a restart.
    pub fn needs_restart(&self) -> bool {
        match &self.turn {
            Turn::Changed(keys) => {
                self.section == Section::Store && keys.iter().any(|change| change.key == "path")
            }
            Turn::Added(_) | Turn::Removed(_) => false,
        }
    }

    /// One line of a list: `+`, `-` or `~`, what it is about, and which keys differ.
    pub fn marked(&self) -> String {
        match &self.turn {
            Turn::Added(keys) => format!("+ {}", self.subject(keys)),
            Turn::Removed(keys) => format!("- {}", self.subject(keys)),
            Turn::Changed(keys) => format!("~ {}: {}", self.noun(), self.listed(keys)),
        }
    }

    /// What it is about, with what tells an avatar from others.
    fn subject(&self, keys: &Keys) -> String {
        let mut text = self.noun();
        if !matches!(self.section, Section::Avatar(_)) {
            return text;
        }
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
        match &self.section {
            Section::Account(name) => format!("account `{name}`"),
            Section::Poll => "the pace of looking".to_owned(),
            Section::Events => "what counts as news".to_owned(),
            Section::Store => "the store".to_owned(),
            Section::Web => "the web".to_owned(),
            Section::Heartbeat => "the heartbeat".to_owned(),
            Section::Avatar(id) => format!("avatar `{id}`"),
            Section::Discover => "the discovery".to_owned(),
            Section::Channel(name) => format!("channel `{name}`"),
        }
    }

    fn listed(&self, keys: &[KeyChange]) -> String {
        let words: Vec<String> = keys.iter().map(|key| self.told(key)).collect();
        words.join(", ")
    }

    /// A key, with its values where they are short and nobody's business is in them.
    fn told(&self, KeyChange { key, old, new }: &KeyChange) -> String {
        let tells = matches!(
            self.section,
            Section::Poll
                | Section::Events
                | Section::Store
                | Section::Web
                | Section::Heartbeat
                | Section::Discover
        );
        match (old, new) {
            (Some(old), Some(new)) if tells => {
                format!("`{key}` from `{}` to `{}`", shown(old), shown(new))
            }
            (Some(_) | None, Some(_) | None) => format!("`{key}`"),
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.turn {
            Turn::Added(_) if self.section == Section::Discover => f.write_str(DISCOVER_ON)?,
            Turn::Removed(_) if self.section == Section::Discover => f.write_str(DISCOVER_OFF)?,
            Turn::Added(keys) => write!(f, "{} added", self.subject(keys))?,
            Turn::Removed(keys) => write!(f, "{} removed", self.subject(keys))?,
            Turn::Changed(keys) => write!(f, "{} changed: {}", self.noun(), self.listed(keys))?,
        }
        if self.needs_restart() { f.write_str("; it takes a restart") } else { Ok(()) }
    }
}

/// The secrets of each section by their keys. They are compared, and nothing else.
type Secrets<'s> = BTreeMap<Section, BTreeMap<&'static str, Hidden<'s>>>;

/// What is compared in memory alone.
#[derive(PartialEq)]
enum Hidden<'s> {
    Text(&'s Secret),
    Signing(&'s [SigningSecret]),
    Certificates(&'s [u8]),
    Headers(&'s BTreeMap<CustomHeaderName, Secret>),
    Template(&'s TemplateTree),
    Words(&'s [String]),
}

fn secrets(settings: &Settings) -> Secrets<'_> {
    let mut secrets = Secrets::new();
    for (name, account) in &settings.accounts {
        let key = [("api_key", Hidden::Text(&account.api_key))];
        secrets.insert(Section::Account(name.clone()), BTreeMap::from(key));
    }
    let hint_token = settings.web.hint_token.iter().map(|it| ("hint_token", Hidden::Text(it)));
    let token = settings.web.token.iter().map(|it| ("token", Hidden::Text(it)));
    secrets.insert(Section::Web, hint_token.chain(token).collect());
    if let Some(heartbeat) = &settings.heartbeat {
        let url = [("url", Hidden::Text(&heartbeat.url))];
        secrets.insert(Section::Heartbeat, BTreeMap::from(url));
    }
    for (name, channel) in &settings.channels {
        let hidden = match &channel.kind {
            ChannelKind::Webhook(webhook) => {
                let proxy = webhook.proxy.iter().map(|proxy| ("proxy", Hidden::Text(proxy)));
                let trusted = webhook.ca_file.iter();
                let trusted = trusted.map(|pem| ("ca_file", Hidden::Certificates(pem)));
                let always = [
                    ("url", Hidden::Text(&webhook.url)),
                    ("secret", Hidden::Signing(&webhook.secrets)),
                    ("headers", Hidden::Headers(&webhook.headers)),
                ];
                let template = match &webhook.format {
                    FormatSettings::Template(it) => Some(("template", Hidden::Template(&it.tree))),
                    FormatSettings::Standard
                    | FormatSettings::CloudEvents { .. }
                    | FormatSettings::Slack
                    | FormatSettings::Discord
                    | FormatSettings::Teams
                    | FormatSettings::Ntfy => None,
                };
                always.into_iter().chain(template).chain(proxy).chain(trusted).collect()
            }
            ChannelKind::Email(email) => mail_secrets(email),
        };
        secrets.insert(Section::Channel(name.clone()), hidden);
    }
    secrets
}

/// What a snapshot does not hold of a mail channel. Addresses to leave by, and arguments of
/// programs, may have secrets in them.
fn mail_secrets(email: &EmailSettings) -> BTreeMap<&'static str, Hidden<'_>> {
    let mut hidden = BTreeMap::new();
    if let Some(url) = &email.list_unsubscribe {
        hidden.insert("list_unsubscribe", Hidden::Words(std::slice::from_ref(url)));
    }
    match &email.way {
        MailWay::Smtp(smtp) => {
            hidden.extend(smtp.login.iter().map(|login| match (&login.proof, login.auth) {
                (SmtpProof::Given(secret), _) => ("smtp.password", Hidden::Text(secret)),
                (SmtpProof::Command(program), SmtpAuth::Password) => {
                    ("smtp.password_command", Hidden::Words(&program.command))
                }
                (SmtpProof::Command(program), SmtpAuth::Xoauth2) => {
                    ("smtp.token_command", Hidden::Words(&program.command))
                }
            }));
            let trusted = smtp.ca_file.iter();
            hidden.extend(trusted.map(|pem| ("smtp.ca_file", Hidden::Certificates(pem))));
        }
        MailWay::Sendmail { program, .. } => {
            hidden.insert("sendmail.command", Hidden::Words(&program.command));
        }
        MailWay::File { .. } => (),
    }
    hidden
}

fn compare(
    old: &Snapshot,
    new: &Snapshot,
    old_secrets: &Secrets<'_>,
    new_secrets: &Secrets<'_>,
) -> Vec<Change> {
    let sections: BTreeSet<&Section> = old.sections.keys().chain(new.sections.keys()).collect();
    let turn = |section: &Section| match (old.sections.get(section), new.sections.get(section)) {
        (None, Some(keys)) => Some(Turn::Added(keys.clone())),
        (Some(keys), None) => Some(Turn::Removed(keys.clone())),
        (Some(old), Some(new)) => {
            let mut changes = compare_keys(old, new);
            let none = BTreeMap::new();
            changes.extend(compare_hidden(
                old_secrets.get(section).unwrap_or(&none),
                new_secrets.get(section).unwrap_or(&none),
            ));
            (!changes.is_empty()).then_some(Turn::Changed(changes))
        }
        (None, None) => None,
    };
    let change =
        |section: &Section| Some(Change { section: section.clone(), turn: turn(section)? });
    sections.into_iter().filter_map(change).collect()
}

fn compare_keys(old: &Keys, new: &Keys) -> Vec<KeyChange> {
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let differ = keys.into_iter().filter(|key| old.get(*key) != new.get(*key));
    let change = |key: &String| {
        let [old, new] = [old, new].map(|keys| keys.get(key).cloned());
        KeyChange { key: key.clone(), old, new }
    };
    differ.map(change).collect()
}

fn compare_hidden(
    old: &BTreeMap<&'static str, Hidden<'_>>,
    new: &BTreeMap<&'static str, Hidden<'_>>,
) -> Vec<KeyChange> {
    let keys: BTreeSet<&str> = old.keys().chain(new.keys()).copied().collect();
    let differ = keys.into_iter().filter(|key| old.get(key) != new.get(key));
    differ.map(|key| KeyChange { key: key.to_owned(), old: None, new: None }).collect()
}

const DISCOVER_ON: &str = "the discovery is on now";
const DISCOVER_OFF: &str = "the discovery is off now";

#[cfg(test)]
#[path = "diff_tests.rs"]
mod tests;
