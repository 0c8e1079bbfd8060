//! A snapshot: the settings as words, section by section, without any secret.
//!
//! It can be kept and compared later, when the settings themselves are gone. What always holds:
//! no key, password, signing secret, webhook URL, header, proxy, hint token or certificate is in
//! it, nor anything that is made of one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::channel::ACCEPTS;
use crate::config::settings::{
    AccountSettings, AvatarSettings, BounceTo, ChannelKind, ChannelSettings, DiscoverSettings,
    EmailSettings, FormatSettings, HeartbeatSettings, MailWay, Settings, SmtpAuth, SmtpLogin,
    SmtpSettings, SmtpTls, Strategy, Threading, WebSettings, WebhookSettings,
};
use crate::config::terms::ON_UNKNOWN;
use crate::domain::account::AccountName;
use crate::domain::avatar::AvatarId;
use crate::domain::cadence::Cadence;
use crate::domain::channel::{Accepts, ChannelName};
use crate::domain::reach::Reach;
use crate::domain::retention::Retention;
use crate::domain::retry::Terms;

/// What a part of the config is about, in the order of the config.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    /// One account.
    Account(AccountName),
    /// How avatars are looked at, and the waits between looks.
    Poll,
    /// What counts as news.
    Events,
    /// Where the database is, and how long the past is kept in it.
    Store,
    /// What is shown over HTTP.
    Web,
    /// Who hears that all is well; there is none while nobody does.
    Heartbeat,
    /// One avatar.
    Avatar(AvatarId),
    /// The discovery; there is none while it is off.
    Discover,
    /// One channel.
    Channel(ChannelName),
}

/// The keys of a section, with their values as text; a key without a value is not there.
pub type Keys = BTreeMap<String, String>;

/// The settings without their secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The keys of each section.
    pub sections: BTreeMap<Section, Keys>,
}

/// The form in which it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    version: u32,
    sections: BTreeMap<String, Keys>,
}

impl Snapshot {
    /// What the settings say, but for their secrets.
    pub fn of(settings: &Settings) -> Self {
        let Settings {
            path: _,
            accounts,
            strategy,
            cadence,
            infer_unseen_training,
            store_path,
            retention,
            avatars,
            discover: found,
            channels,
            web: shown,
            heartbeat: beats,
            warnings: _,
        } = settings;
        let infer = infer_unseen_training.to_string();
        let mut sections = BTreeMap::from([
            (Section::Poll, poll(*strategy, cadence)),
            (Section::Events, keys([("infer_unseen_training", infer)])),
            (Section::Store, store(store_path, *retention)),
            (Section::Web, web(shown)),
        ]);
        let name_account =
            |(name, it): (&AccountName, _)| (Section::Account(name.clone()), account(it));
        let name_channel =
            |(name, it): (&ChannelName, _)| (Section::Channel(name.clone()), channel(it));
        sections.extend(accounts.iter().map(name_account));
        sections.extend(avatars.iter().map(|it| (Section::Avatar(it.id.clone()), avatar(it))));
        let beat = |it: &HeartbeatSettings| {
            let HeartbeatSettings { url: _, every } = it;
            (Section::Heartbeat, keys([("every", wait(*every))]))
        };
        sections.extend(beats.iter().map(beat));
        sections.extend(found.iter().map(|it| (Section::Discover, discover(it))));
        sections.extend(channels.iter().map(name_channel));
        Self { sections }
    }

    /// The text to keep: one JSON object.
    pub fn to_text(&self) -> String {
        let named = |(section, keys): (&Section, &Keys)| (section.to_string(), keys.clone());
        let sections = self.sections.iter().map(named).collect();
        // A map of texts is always JSON.
        serde_json::to_string(&Kept { version: VERSION, sections }).unwrap_or_default()
    }

    /// Takes a text that was kept; `None` when another version wrote it, or it is none at all.
    pub fn from_text(text: &str) -> Option<Self> {
        let kept: Kept = serde_json::from_str(text).ok()?;
        // Another version may mean other things by the same words.
        if kept.version != VERSION {
            return None;
        }
        let named = |(name, keys): (String, Keys)| Some((Section::parse(&name)?, keys));
        let sections = kept.sections.into_iter().map(named).collect::<Option<_>>()?;
        Some(Self { sections })
    }
}

impl Section {
    /// The section of that name.
    fn parse(name: &str) -> Option<Self> {
        match name.split_once(' ') {
            Some(("account", name)) => AccountName::parse(name).ok().map(Self::Account),
            Some(("avatar", id)) => AvatarId::parse(id).ok().map(Self::Avatar),
            Some(("channel", name)) => ChannelName::parse(name).ok().map(Self::Channel),
            Some(_) => None,
            None => {
                let single = [
                    Self::Poll,
                    Self::Events,
                    Self::Store,
                    Self::Web,
                    Self::Heartbeat,
                    Self::Discover,
                ];
                single.into_iter().find(|section| section.to_string() == name)
            }
        }
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(name) => write!(f, "account {name}"),
            Self::Poll => f.write_str("poll"),
            Self::Events => f.write_str("events"),
            Self::Store => f.write_str("store"),
            Self::Web => f.write_str("web"),
            Self::Heartbeat => f.write_str("heartbeat"),
            Self::Avatar(id) => write!(f, "avatar {id}"),
            Self::Discover => f.write_str("discover"),
            Self::Channel(name) => write!(f, "channel {name}"),
        }
    }
}

fn account(account: &AccountSettings) -> Keys {
    let AccountSettings {
        api_key: _,
        base_url,
        timeout,
        max_concurrency,
        max_requests_per_second,
        blind_after,
    } = account;
    keys([
        ("base_url", base_url.to_string()),
        ("timeout", wait(*timeout)),
        ("max_concurrency", max_concurrency.to_string()),
        ("max_requests_per_second", max_requests_per_second.to_string()),
        ("blind_after", wait(*blind_after)),
    ])
}

fn poll(strategy: Strategy, cadence: &Cadence) -> Keys {
    let Cadence { training, not_trained, settled, missing, backoff, jitter } = cadence;
    keys([
        ("strategy", strategy.name().to_owned()),
        ("training.min", wait(training.min)),
        ("training.max", wait(training.max)),
        ("training.age_fraction", training.age_fraction.to_string()),
        ("training.learn", training.learn.to_string()),
        ("not_trained", wait(*not_trained)),
        ("settled", wait_or_never(*settled)),
        ("missing", wait(*missing)),
        ("backoff", waits(backoff.waits())),
        ("backoff.jitter", backoff.jitter().to_string()),
        ("jitter", jitter.to_string()),
    ])
}

fn store(path: &Path, Retention { transitions, deliveries }: Retention) -> Keys {
    // In days, as people write it: the months of the usual form are no whole days.
    let age = |age: Option<Duration>| match age.map(|age| (age, age.as_secs() / DAY_S)) {
        None => "forever".to_owned(),
        Some((age, days)) if age == Duration::from_secs(days * DAY_S) => format!("{days}d"),
        Some((age, _)) => wait(age),
    };
    keys([
        ("path", path.display().to_string()),
        ("keep_transitions", age(transitions)),
        ("keep_deliveries", age(deliveries)),
    ])
}

fn web(web: &WebSettings) -> Keys {
    let WebSettings { listen, is_chosen: _, hint_token: _, token: _, read, hosts, thumbnails } =
        web;
    let listen = listen.map_or("off".to_owned(), |address| address.to_string());
    let mut found = keys([
        ("listen", listen),
        ("read", read.name().to_owned()),
        ("thumbnails", thumbnails.to_string()),
    ]);
    add(&mut found, [("hosts", (!hosts.is_empty()).then(|| hosts.join(", ")))]);
    found
}

fn avatar(avatar: &AvatarSettings) -> Keys {
    let AvatarSettings { id: _, name, channels, assume, account, overdue_after, place: _ } = avatar;
    let given = [
        ("name", name.clone()),
        ("channels", channels.as_deref().map(sorted)),
        ("assume", assume.as_ref().map(|status| status.name().to_owned())),
    ];
    let mut found =
        keys([("account", account.to_string()), ("overdue_after", wait_or_never(*overdue_after))]);
    add(&mut found, given);
    found
}

fn discover(discover: &DiscoverSettings) -> Keys {
    let DiscoverSettings { every, accounts, channels, overdue_after } = discover;
    let mut found = keys([
        ("every", wait(*every)),
        ("accounts", sorted(accounts)),
        ("overdue_after", wait_or_never(*overdue_after)),
    ]);
    add(&mut found, [("channels", channels.as_deref().map(sorted))]);
    found
}

fn channel(channel: &ChannelSettings) -> Keys {
    let ChannelSettings { name: _, events, operator, terms, kind } = channel;
    let Terms { schedule, expires_after, on_unknown } = terms;
    let on_unknown = ON_UNKNOWN.iter().find(|(_, it)| it == on_unknown).map(|(word, _)| *word);
    let events: Vec<&str> = events.iter().map(|kind| kind.name()).collect();
    let mut found = keys([
        ("events", sorted(&events)),
        ("operator", operator.to_string()),
        ("retry_schedule", waits(schedule.waits())),
        ("expires_after", wait(*expires_after)),
    ]);
    add(&mut found, [("on_unknown", on_unknown.map(str::to_owned))]);
    match kind {
        ChannelKind::Webhook(webhook) => {
            let WebhookSettings {
                url: _,
                secrets: _,
                timeout,
                format,
                headers: _,
                proxy: _,
                reach,
                ca_file: _,
                accepts,
            } = webhook.as_ref();
            add(&mut found, [("type", "webhook"), ("timeout", &wait(*timeout))].map(given));
            let denied = (*reach == Reach::Public).then(|| true.to_string());
            add(&mut found, [("deny_private", denied)]);
            let accepted = ACCEPTS.iter().find(|(_, it)| it == accepts).map(|(word, _)| *word);
            let unusual = accepted.filter(|_| *accepts != Accepts::default());
            add(&mut found, [("accepts", unusual.map(str::to_owned))]);
            let unusual = (*format != FormatSettings::Standard).then(|| format.name().to_owned());
            let (source, content_type) = match format {
                FormatSettings::CloudEvents { source } => (Some(source.clone()), None),
                FormatSettings::Template(template) => (None, Some(template.content_type.clone())),
                FormatSettings::Standard
                | FormatSettings::Slack
                | FormatSettings::Discord
                | FormatSettings::Teams
                | FormatSettings::Ntfy => (None, None),
            };
            let format = [("format", unusual), ("source", source), ("content_type", content_type)];
            add(&mut found, format);
        }
        ChannelKind::Email(email) => mail(email, &mut found),
    }
    found
}

fn mail(email: &EmailSettings, found: &mut Keys) {
    let EmailSettings {
        from,
        to,
        bounce_to,
        reply_to,
        message_id_domain,
        subject_prefix,
        threading,
        list_unsubscribe: _,
        way,
    } = email;
    let to: Vec<&str> = to.iter().map(|address| address.as_str()).collect();
    let threading = match threading {
        Threading::Avatar => "avatar",
        Threading::None => "none",
    };
    let bounce_to = match bounce_to {
        BounceTo::From => None,
        BounceTo::Address(address) => Some(address.to_string()),
        BounceTo::None => Some("none".to_owned()),
    };
    let always = [
        ("type", "email"),
        ("from", from.as_str()),
        ("to", &sorted(&to)),
        ("message_id_domain", message_id_domain.as_str()),
        ("subject_prefix", subject_prefix),
        ("threading", threading),
    ];
    add(found, always.map(given));
    add(
        found,
        [("bounce_to", bounce_to), ("reply_to", reply_to.as_ref().map(ToString::to_string))],
    );
    match way {
        MailWay::Smtp(settings) => smtp(settings, found),
        MailWay::Sendmail { program: _, timeout } => {
            add(found, [("sendmail.timeout", wait(*timeout).as_str())].map(given));
        }
        MailWay::File { folder } => {
            add(found, [("file.folder", folder.display().to_string().as_str())].map(given));
        }
    }
}

fn smtp(smtp: &SmtpSettings, found: &mut Keys) {
    let SmtpSettings { host, port, tls, login, ca_file: _, hello_name, dot_timeout } = smtp;
    let tls = match tls {
        SmtpTls::Starttls => "starttls",
        SmtpTls::Implicit => "implicit",
        SmtpTls::None => "none",
    };
    let always = [
        ("smtp.host", host.as_str()),
        ("smtp.port", &port.to_string()),
        ("smtp.tls", tls),
        ("smtp.dot_timeout", &wait(*dot_timeout)),
    ];
    add(found, always.map(given));
    let username = login.as_ref().map(|login| login.username.clone());
    let auth = login.as_ref().and_then(|SmtpLogin { auth, .. }| match auth {
        SmtpAuth::Password => None,
        SmtpAuth::Xoauth2 => Some("xoauth2".to_owned()),
    });
    add(found, [("smtp.username", username), ("smtp.auth", auth)]);
    add(found, [("smtp.hello_name", hello_name.as_ref().map(ToString::to_string))]);
}

fn keys<const N: usize>(pairs: [(&str, String); N]) -> Keys {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

fn given<'k>((key, value): (&'k str, &str)) -> (&'k str, Option<String>) {
    (key, Some(value.to_owned()))
}

fn add<const N: usize>(found: &mut Keys, pairs: [(&str, Option<String>); N]) {
    found.extend(pairs.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
}

fn wait(wait: Duration) -> String {
    humantime::format_duration(wait).to_string()
}

fn wait_or_never(it: Option<Duration>) -> String {
    it.map_or("never".to_owned(), wait)
}

fn waits(waits: &[Duration]) -> String {
    waits.iter().copied().map(wait).collect::<Vec<_>>().join(", ")
}

/// A list in which the order says nothing.
fn sorted<T: ToString>(words: &[T]) -> String {
    let words: BTreeSet<String> = words.iter().map(T::to_string).collect();
    words.into_iter().collect::<Vec<_>>().join(", ")
}

const DAY_S: u64 = 24 * 3_600;
/// Goes up when a section or a key means something else than before.
const VERSION: u32 = 1;

#[cfg(test)]
#[path = "snapshot_tests.rs"]
mod tests;
