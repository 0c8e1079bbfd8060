//! The status: how everything is, at a glance. The page, the API and `status` on the command line
//! evaluate it here and nowhere else.

use std::time::Duration;

use serde::Serialize;

use crate::domain::status_report::{Inputs, Severity, evaluate};
use crate::domain::time::timestamp::Timestamp;
use crate::store::reader::ConditionRow;
use crate::web::views::{AccountView, AvatarView, ChannelView, ConditionView, FindingView};

/// All at a glance.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StatusView {
    /// The program's version.
    pub version: &'static str,
    /// The time of this answer.
    pub now: String,
    /// Whether nothing needs a person: the status is `ok` or `note`.
    pub healthy: bool,
    /// `ok`, `note`, `warning` or `critical`: the worst of the findings.
    #[serde(rename = "status", serialize_with = "name")]
    pub level: Severity,
    /// What is wrong, or worth knowing, the worst first.
    pub findings: Vec<FindingView>,
    /// The daemon.
    pub daemon: DaemonView,
    /// Whether the config file can be read from end to end.
    pub config_readable: bool,
    /// What is wrong with the config file, for every reader of it: not the secrets that only this
    /// process cannot read.
    pub config_problems: Vec<String>,
    /// What a reload would change. Secrets are not compared.
    pub config_changes: Vec<String>,
    /// How many avatars are watched.
    pub avatars_watched: u64,
    /// How many of them are in training.
    pub avatars_training: u64,
    /// Deliveries that wait or are being sent.
    pub deliveries_in_flight: u64,
    /// Dead letters that were not sent again since.
    pub deliveries_failed: u64,
    /// When the oldest delivery was made that is in flight.
    pub oldest_in_flight_at: Option<String>,
    /// The accounts.
    pub accounts: Vec<AccountView>,
    /// The avatars of the config and of the database; only the command line lists them here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avatars: Option<Vec<AvatarView>>,
    /// The channels; none where one avatar was asked for.
    pub channels: Vec<ChannelView>,
    /// The conditions that hold.
    pub conditions: Vec<ConditionView>,
}

/// The daemon.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct DaemonView {
    /// Whether one holds the database.
    pub running: bool,
    /// Its process, if it names itself.
    pub pid: Option<u32>,
    /// Why it cannot do its work, if that is known.
    pub not_ready_reason: Option<String>,
}

/// What the status is made of, besides the avatars.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    /// The daemon.
    pub daemon: DaemonView,
    /// The parts of it that do not move.
    pub stuck: Vec<&'static str>,
    /// Whether the config file can be read from end to end.
    pub config_readable: bool,
    /// What is wrong with the config file.
    pub config_problems: Vec<String>,
    /// What a reload would change.
    pub config_changes: Vec<String>,
    /// The channels; `None` where one avatar was asked for.
    pub channels: Option<Vec<ChannelView>>,
    /// The conditions that hold, of what is watched.
    pub conditions: Vec<ConditionView>,
    /// The accounts, each with the time of its last answer.
    pub accounts: Vec<(String, Option<Timestamp>)>,
    /// Whether it is known which avatars are watched.
    pub knows_avatars: bool,
    /// Whether lists are searched for avatars.
    pub discovers: bool,
}

impl StatusView {
    /// Evaluates everything at `now`; a delivery is late when it is older than `late_after`.
    pub fn new(parts: Parts, avatars: &[AvatarView], late_after: Duration, now: Timestamp) -> Self {
        let (channels, conditions) = (&parts.channels, &parts.conditions);
        let watched: Vec<&AvatarView> = avatars.iter().filter(|it| it.is_watched()).collect();
        let count = parts.knows_avatars && !parts.discovers && channels.is_some();
        let findings = evaluate(
            &Inputs {
                running: parts.daemon.running,
                stalled: parts.stuck,
                obstacle: parts.daemon.not_ready_reason.as_deref(),
                config_readable: parts.config_readable && parts.knows_avatars,
                config_problems: &parts.config_problems,
                config_changes: &parts.config_changes,
                watched: count.then_some(watched.len()),
                conditions: conditions.iter().map(ConditionView::facts).collect(),
                channels: channels.as_ref().map(|it| it.iter().map(ChannelView::facts).collect()),
                unreachable: watched.iter().filter_map(|it| it.failure_facts()).collect(),
                unrecognized: watched.iter().filter_map(|it| it.status_facts()).collect(),
            },
            late_after,
            now,
        );
        let level = Severity::of(&findings);
        let accounts = parts.accounts.into_iter().map(|(name, answered_at)| {
            let subject = format!("account {name}");
            let unavailable = conditions.iter().find(|it| it.subject == subject).cloned();
            AccountView { name, answered_at: answered_at.map(|at| at.to_string()), unavailable }
        });
        let (in_flight, failed) = match channels {
            Some(all) => all.iter().map(|it| (it.in_flight, it.failed)).fold((0, 0), sum),
            None => {
                let counts = avatars.iter();
                counts.map(|it| (it.deliveries_in_flight, it.deliveries_failed)).fold((0, 0), sum)
            }
        };
        let is_training = |it: &&&AvatarView| it.status.as_deref() == Some("TRAINING");
        Self {
            version: env!("CARGO_PKG_VERSION"),
            now: now.to_string(),
            healthy: level.is_well(),
            level,
            findings: findings.iter().map(FindingView::from).collect(),
            daemon: parts.daemon,
            config_readable: parts.config_readable,
            config_problems: parts.config_problems,
            config_changes: parts.config_changes,
            avatars_watched: watched.len() as u64,
            avatars_training: watched.iter().filter(is_training).count() as u64,
            deliveries_in_flight: in_flight,
            deliveries_failed: failed,
            oldest_in_flight_at: channels
                .iter()
                .flatten()
                .filter_map(|channel| channel.oldest_in_flight_at.clone())
                .min(),
            accounts: accounts.collect(),
            avatars: None,
            channels: parts.channels.unwrap_or_default(),
            conditions: parts.conditions,
        }
    }
}

/// The conditions that hold, of what is watched: of anything else it is not known whether they
/// still do. Where `accounts` or the avatars are not known, none is left out for that.
pub fn conditions(
    rows: &[ConditionRow],
    avatars: &[AvatarView],
    accounts: Option<&[String]>,
    knows_avatars: bool,
    discovers: bool,
) -> Vec<ConditionView> {
    let watched = avatars.iter().filter(|it| it.is_watched());
    let holds = |row: &&ConditionRow| match row.subject.split_once(' ') {
        Some(("account", name)) => {
            let exists = accounts.is_none_or(|all| all.iter().any(|it| it == name));
            let is_used = watched.clone().any(|it| it.account.as_deref() == Some(name));
            exists && (is_used || discovers || !knows_avatars)
        }
        Some(_) => true,
        None => !knows_avatars || watched.clone().any(|avatar| avatar.id == row.subject),
    };
    rows.iter().filter(holds).map(ConditionView::from).collect()
}

fn sum(one: (u64, u64), other: (u64, u64)) -> (u64, u64) {
    (one.0 + other.0, one.1 + other.1)
}

fn name<S: serde::Serializer>(level: &Severity, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(level.name())
}
