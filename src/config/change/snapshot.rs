//! A snapshot: the settings as texts, key by key, so that two of them can be compared.
//!
//! In memory it has salted hashes of the secrets; what is kept has no secret and nothing made of
//! one: no key, password, signing secret, webhook URL, header, proxy, token or certificate.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Value, json};

use crate::config::change::serialize::{duration_or, hash, is_hidden};
use crate::config::settings::{
    AvatarSettings, ChannelSettings, FormatSettings, Settings, SmtpLogin, TemplateSettings,
};
use crate::domain::avatar::AvatarId;
use crate::domain::delivery::channel_name::ChannelName;
use crate::domain::mail::options::LoginMethod;
use crate::secret::CredentialSource;

/// The keys of a section, with their values as text; a key without a value is not there.
pub(crate) type Keys = BTreeMap<String, String>;

/// The settings of a daemon, or of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ConfigSnapshot {
    version: u32,
    /// The keys of each section: of `poll`, say, or `channels.NAME`.
    pub(crate) sections: BTreeMap<String, Keys>,
}

impl ConfigSnapshot {
    /// A snapshot of the channels alone.
    pub(crate) fn of_channels(channels: &BTreeMap<ChannelName, ChannelSettings>) -> Self {
        sections("channels", json!(channels)).map(|(section, it)| (section, keys(it))).collect()
    }

    /// The channels, each with its kind and the format or the transport.
    pub(crate) fn channel_kinds(&self) -> BTreeMap<ChannelName, String> {
        let kinds = self.named("channels").filter_map(|(name, keys)| {
            let has = |part: &str| keys.keys().any(|key| key.starts_with(part));
            let kind = match keys.get("type").map(String::as_str) {
                Some("email") if has("smtp.") => "email, smtp".to_owned(),
                Some("email") if has("sendmail.") => "email, sendmail".to_owned(),
                Some("email") => "email, file".to_owned(),
                _ => format!("webhook, {}", keys.get("format").map_or("standard", |it| it)),
            };
            Some((ChannelName::parse(name).ok()?, kind))
        });
        kinds.collect()
    }

    /// What the settings say, but for their secrets.
    pub(crate) fn of(settings: &Settings) -> Self {
        without_secrets(sections_of(settings, |_| true)).collect()
    }

    /// What two settings say, with the hashes of their secrets: for a comparison in memory. Without
    /// the avatars that are the same in both.
    pub(crate) fn pair(old: &Settings, new: &Settings) -> [Self; 2] {
        let known: HashMap<&AvatarId, &AvatarSettings> =
            old.avatars.iter().map(|avatar| (&avatar.id, avatar)).collect();
        let is_known = |it: &&AvatarSettings| known.get(&it.id).is_some_and(|old| old.is_like(it));
        let same: HashSet<&AvatarId> =
            new.avatars.iter().filter(is_known).map(|avatar| &avatar.id).collect();
        [old, new].map(|it| sections_of(it, |avatar| !same.contains(&avatar.id)).collect())
    }

    /// The text to keep of the settings: one JSON object. It is written section by section, since
    /// there may be many avatars.
    pub(crate) fn text_of(settings: &Settings) -> String {
        // A map of texts is always JSON.
        serde_json::to_string(&KeptSettings { version: VERSION, sections: settings })
            .unwrap_or_default()
    }

    /// Takes a text that was kept; `None` when another version wrote it, or it is none at all.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        // Another version may mean other things by the same words.
        serde_json::from_str(text).ok().filter(|kept: &Self| kept.version == VERSION)
    }

    /// The names in a table of sections, such as `channels`, with their keys.
    pub(crate) fn named<'s>(&'s self, table: &str) -> impl Iterator<Item = (&'s str, &'s Keys)> {
        let sections = self.sections.iter();
        sections.filter_map(move |(section, keys)| {
            Some((section.strip_prefix(table)?.strip_prefix('.')?, keys))
        })
    }
}

impl FromIterator<(String, Keys)> for ConfigSnapshot {
    fn from_iter<I: IntoIterator<Item = (String, Keys)>>(sections: I) -> Self {
        Self { version: VERSION, sections: sections.into_iter().collect() }
    }
}

/// Settings as the text of a [`ConfigSnapshot`].
#[derive(Serialize)]
struct KeptSettings<'s> {
    version: u32,
    #[serde(serialize_with = "kept_sections")]
    sections: &'s Settings,
}

fn kept_sections<S: Serializer>(settings: &Settings, to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(without_secrets(sections_of(settings, |_| true)))
}

impl Serialize for SmtpLogin {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self { username, auth, credential: proof } = self;
        let (key, proof) = match (proof, auth) {
            (CredentialSource::Given(secret), _) => ("password", hash(secret)),
            (CredentialSource::Command(program), LoginMethod::Password) => {
                ("password_command", hash(&program.command))
            }
            (CredentialSource::Command(program), LoginMethod::Xoauth2) => {
                ("token_command", hash(&program.command))
            }
        };
        let unusual = (*auth != LoginMethod::Password).then_some("xoauth2");
        json!({ "username": username, "auth": unusual, key: proof }).serialize(to)
    }
}

impl Serialize for FormatSettings {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let format = self.name();
        match self {
            Self::Standard | Self::Slack | Self::Discord | Self::Teams | Self::Ntfy => {
                json!({ "format": format })
            }
            Self::CloudEvents { source } => json!({ "format": format, "source": source }),
            Self::Template(TemplateSettings { tree, content_type, .. }) => {
                let template = hash(&format!("{tree:?}"));
                json!({ "format": format, "template": template, "content_type": content_type })
            }
        }
        .serialize(to)
    }
}

/// The sections of the settings, with the hashes of their secrets, and with those avatars.
fn sections_of<'s>(
    settings: &'s Settings,
    is_wanted: impl Fn(&AvatarSettings) -> bool + 's,
) -> impl Iterator<Item = (String, Keys)> + 's {
    let Settings {
        path: _,
        accounts,
        strategy,
        intervals,
        infer_unseen_training,
        time_zone,
        alert_timing,
        store_path,
        retention,
        avatars,
        discover,
        channels,
        web,
        heartbeat,
        warnings: _,
    } = settings;
    let named = [("accounts", json!(accounts)), ("channels", json!(channels))];
    let named = named.into_iter().flat_map(|(table, value)| sections(table, value));
    let single = json!({
        "poll": { "strategy": strategy, "": intervals },
        "events": {
            "infer_unseen_training": infer_unseen_training,
            "time_zone": time_zone.name(),
            "group_window": humantime::format_duration(alert_timing.group_window).to_string(),
            "remind_after": duration_or(alert_timing.remind_after, "never"),
        },
        "store": {
            "path": store_path.display().to_string(),
            "keep_transitions": age(retention.transitions),
            "keep_deliveries": age(retention.deliveries),
        },
        "web": web,
        "heartbeat": heartbeat,
        "discover": discover,
    });
    let avatars = avatars.iter().filter(move |avatar| is_wanted(avatar));
    let avatars = avatars.map(|avatar| (format!("avatars.{}", avatar.id), keys(json!(avatar))));
    let others = named.chain(entries(single)).filter(|(_, value)| !value.is_null());
    others.map(|(section, value)| (section, keys(value))).chain(avatars)
}

fn without_secrets(
    sections: impl Iterator<Item = (String, Keys)>,
) -> impl Iterator<Item = (String, Keys)> {
    sections.map(|(section, mut keys)| {
        keys.retain(|_, text| !is_hidden(text));
        (section, keys)
    })
}

/// The entries of a table of sections, each by the name of its section.
fn sections(table: &'static str, value: Value) -> impl Iterator<Item = (String, Value)> {
    entries(value).into_iter().map(move |(name, keys)| (format!("{table}.{name}"), keys))
}

fn entries(value: Value) -> serde_json::Map<String, Value> {
    match value {
        Value::Object(entries) => entries,
        _ => serde_json::Map::new(),
    }
}

/// The values below a section, each by its dotted key.
fn keys(section: Value) -> Keys {
    let mut found = Keys::new();
    flatten("", section, &mut found);
    found
}

fn flatten(key: &str, value: Value, found: &mut Keys) {
    let text = match value {
        Value::Null => return,
        Value::Object(entries) => {
            for (name, value) in entries {
                let dot = if key.is_empty() || name.is_empty() { "" } else { "." };
                flatten(&format!("{key}{dot}{name}"), value, found);
            }
            return;
        }
        // A list in which the order says nothing.
        Value::Array(words) => {
            let words: BTreeSet<String> = words.into_iter().map(text).collect();
            words.into_iter().collect::<Vec<_>>().join(", ")
        }
        value => text(value),
    };
    found.insert(key.to_owned(), text);
}

fn text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        value => value.to_string(),
    }
}

/// In days, as people write it: the months of the usual form are no whole days.
fn age(age: Option<Duration>) -> String {
    match age.map(|age| (age, age.as_secs() / DAY_S)) {
        Some((age, days)) if age == Duration::from_secs(days * DAY_S) => format!("{days}d"),
        _ => duration_or(age, "forever"),
    }
}

const DAY_S: u64 = 24 * 3_600;
/// Goes up when a section or a key means something else than before.
const VERSION: u32 = 2;

#[cfg(test)]
#[path = "snapshot_tests.rs"]
mod tests;
