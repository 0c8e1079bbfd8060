//! How the settings are written for a snapshot: durations, names and paths as the text of the
//! config, and secrets as salted hashes.
//!
//! What always holds: the salt is of this process and is kept nowhere, so a hash says whether a
//! secret differs from another one in memory, and nothing else.

use std::collections::hash_map::RandomState;
use std::fmt::{Debug, Display};
use std::hash::{BuildHasher as _, Hash};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use serde::{Serialize, Serializer};
use serde_json::json;

use crate::domain::account::AccountName;
use crate::domain::avatar::AvatarId;
use crate::domain::avatar::status::Status;
use crate::domain::delivery::channel_name::ChannelName;
use crate::domain::delivery::retry_policy::DeliveryPolicy;
use crate::domain::event::EventKind;
use crate::domain::mail::address::MailAddress;
use crate::domain::mail::domain::MailDomain;
use crate::domain::mail::options::{SmtpTls, Threading};
use crate::domain::polling::interval::{PollIntervals, SettledIntervals, SettledStep};
use crate::domain::polling::overdue::OverdueAfter;
use crate::domain::polling::strategy::Strategy;
use crate::domain::read_access::ReadAccess;
use crate::domain::routing::filter::{ChannelFilter, FilterKey};
use crate::domain::routing::tag::Tag;
use crate::files::program::Program;

type Written<S> = Result<<S as Serializer>::Ok, <S as Serializer>::Error>;

/// The hash of a secret, with its mark.
pub(in crate::config) fn hash<T: Hash>(secret: &T) -> String {
    format!("{HIDDEN}{:016x}", SALT.hash_one(secret))
}

pub(in crate::config) fn hidden<T: Hash, S: Serializer>(secret: &T, to: S) -> Written<S> {
    to.serialize_str(&hash(secret))
}

/// Whether a text is the hash of a secret.
pub(in crate::config) fn is_hidden(text: &str) -> bool {
    text.starts_with(HIDDEN)
}

pub(in crate::config) fn command<S: Serializer>(program: &Program, to: S) -> Written<S> {
    hidden(&program.command, to)
}

pub(in crate::config) fn text<T: Display, S: Serializer>(it: &T, to: S) -> Written<S> {
    to.collect_str(it)
}

/// What is compared and has no words of its own.
pub(in crate::config) fn debug<T: Debug, S: Serializer>(it: &T, to: S) -> Written<S> {
    to.collect_str(&format_args!("{it:?}"))
}

pub(in crate::config) fn path<S: Serializer>(path: &Path, to: S) -> Written<S> {
    to.collect_str(&path.display())
}

pub(in crate::config) fn shown<T: Display, S: Serializer>(it: &Option<T>, to: S) -> Written<S> {
    to.serialize_some(&it.as_ref().map(ToString::to_string))
}

pub(in crate::config) fn wait<S: Serializer>(wait: &Duration, to: S) -> Written<S> {
    to.collect_str(&humantime::format_duration(*wait))
}

pub(in crate::config) fn listen<S: Serializer>(address: &Option<SocketAddr>, to: S) -> Written<S> {
    to.serialize_str(&address.map_or("off".to_owned(), |address| address.to_string()))
}

/// A duration, or the word for none.
pub(in crate::config) fn duration_or(it: Option<Duration>, none: &str) -> String {
    it.map_or(none.to_owned(), duration)
}

fn duration(it: Duration) -> String {
    humantime::format_duration(it).to_string()
}

/// One interval, or steps such as `15s for 10m, then 1h`.
fn settled_intervals(it: &SettledIntervals) -> String {
    let step = |it: &SettledStep| format!("{} for {}", duration(it.every), duration(it.lasts));
    let steps: Vec<String> = it.steps().iter().map(step).collect();
    let last = duration_or(it.last(), "never");
    if steps.is_empty() { last } else { format!("{}, then {last}", steps.join(", ")) }
}

/// Durations in a significant order.
fn durations(all: &[Duration]) -> String {
    all.iter().copied().map(duration).collect::<Vec<_>>().join(", ")
}

/// What is written as it is shown.
macro_rules! as_text {
    ($($kind:ty),*) => {$(
        impl Serialize for $kind {
            fn serialize<S: Serializer>(&self, to: S) -> Written<S> {
                to.collect_str(self)
            }
        }
    )*};
}

as_text!(AccountName, AvatarId, ChannelName, EventKind, MailAddress, MailDomain, Status, Tag);

/// What is written by the name of its variant.
macro_rules! as_lowercase {
    ($($kind:ty),*) => {$(
        impl Serialize for $kind {
            fn serialize<S: Serializer>(&self, to: S) -> Written<S> {
                to.serialize_str(&format!("{self:?}").to_lowercase())
            }
        }
    )*};
}

as_lowercase!(ReadAccess, SmtpTls, Strategy, Threading);

impl Serialize for OverdueAfter {
    fn serialize<S: Serializer>(&self, to: S) -> Written<S> {
        match self {
            Self::Never => to.serialize_str("never"),
            Self::Fixed(after) => wait(after, to),
            Self::TimesUsual(factor) => to.collect_str(factor),
        }
    }
}

impl Serialize for PollIntervals {
    fn serialize<S: Serializer>(&self, to: S) -> Written<S> {
        let Self { training, not_trained, settled, missing, backoff, jitter } = self;
        json!({
            "training": {
                "min": duration(training.min),
                "max": duration(training.max),
                "age_fraction": training.age_fraction,
                "adaptive": training.adaptive,
            },
            "not_trained": duration(*not_trained),
            "settled": settled_intervals(settled),
            "missing": duration(*missing),
            "backoff": { "": durations(backoff.delays()), "jitter": backoff.jitter() },
            "jitter": jitter,
        })
        .serialize(to)
    }
}

/// Each list as in the config, since a pattern may contain a comma.
impl Serialize for ChannelFilter {
    fn serialize<S: Serializer>(&self, to: S) -> Written<S> {
        let list = |key: FilterKey| match self.values(key) {
            values if values.is_empty() => None,
            values => Some((key.name(), json!(json!(values).to_string()))),
        };
        to.collect_map(FilterKey::ALL.into_iter().filter_map(list))
    }
}

impl Serialize for DeliveryPolicy {
    fn serialize<S: Serializer>(&self, to: S) -> Written<S> {
        let Self { schedule, expires_after, on_unknown } = self;
        json!({
            "retry_schedule": durations(schedule.delays()),
            "expires_after": duration(*expires_after),
            "on_unknown": format!("{on_unknown:?}"),
        })
        .serialize(to)
    }
}

static SALT: LazyLock<RandomState> = LazyLock::new(RandomState::new);
const HIDDEN: char = '\0';
