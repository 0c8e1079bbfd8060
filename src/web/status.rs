//! Status view: the summary that the page, the API and `avatar-watch status` share.

use std::time::Duration;

use serde::Serialize;

use crate::domain::status_report::{Severity, StatusInputs, evaluate};
use crate::domain::time::time_zone::TimeZone;
use crate::domain::time::timestamp::Timestamp;
use crate::domain::unreached_avatars::UnreachedAvatars;
use crate::store::reader::ConditionRow;
use crate::web::views::{AccountView, AvatarView, ChannelView, ConditionView, FindingView};

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct StatusView {
    pub(crate) version: &'static str,
    pub(crate) now: String,
    /// Whether the status is `ok` or `notice`.
    pub(crate) healthy: bool,
    /// `ok`, `notice`, `warning` or `critical`: the worst of the findings.
    #[serde(rename = "status", serialize_with = "name")]
    pub(crate) severity: Severity,
    /// Problems and notices, the most severe first.
    pub(crate) findings: Vec<FindingView>,
    pub(crate) daemon: DaemonView,
    pub(crate) config_readable: bool,
    /// Problems of the config file; without secrets that only this process cannot read.
    pub(crate) config_problems: Vec<String>,
    /// What a reload would change. Secrets are not compared.
    pub(crate) config_changes: Vec<String>,
    pub(crate) avatars_watched: u64,
    pub(crate) avatars_training: u64,
    /// Deliveries that are pending or being sent.
    pub(crate) deliveries_in_flight: u64,
    /// Dead letters.
    pub(crate) dead_letters: u64,
    pub(crate) oldest_in_flight_at: Option<String>,
    pub(crate) accounts: Vec<AccountView>,
    /// The avatars of the config and of the database; only in the output of the command line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) avatars: Option<Vec<AvatarView>>,
    /// The channels; empty in the status of one avatar.
    pub(crate) channels: Vec<ChannelView>,
    pub(crate) conditions: Vec<ConditionView>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct DaemonView {
    /// Whether a daemon has locked the database.
    pub(crate) running: bool,
    pub(crate) pid: Option<u32>,
    pub(crate) not_ready_reason: Option<String>,
}

/// The watched avatars, as far as a status needs them.
#[derive(Clone, Debug, Default)]
pub(crate) struct WatchedAvatars<'a> {
    pub(crate) count: u64,
    pub(crate) in_training: u64,
    /// At least those with a failed last poll, or with a status that this version does not know.
    pub(crate) notable: Vec<&'a AvatarView>,
}

impl<'a> WatchedAvatars<'a> {
    /// Those of some avatars that are watched.
    pub(crate) fn among(avatars: &'a [AvatarView]) -> Self {
        let watched: Vec<_> = avatars.iter().filter(|avatar| avatar.is_watched()).collect();
        let is_training = |it: &&&AvatarView| it.status.as_deref() == Some("TRAINING");
        Self {
            count: watched.len() as u64,
            in_training: watched.iter().filter(is_training).count() as u64,
            notable: watched,
        }
    }
}

/// The input of a status, besides the avatars.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parts {
    pub(crate) daemon: DaemonView,
    pub(crate) stalled: Vec<&'static str>,
    pub(crate) config_readable: bool,
    pub(crate) config_problems: Vec<String>,
    pub(crate) config_changes: Vec<String>,
    /// The channels; `None` in the status of one avatar.
    pub(crate) channels: Option<Vec<ChannelView>>,
    /// The deliveries in flight and the dead letters without `channels`.
    pub(crate) deliveries: (u64, u64),
    /// The avatars that reach none of the channels.
    pub(crate) unreached: UnreachedAvatars,
    /// The firing conditions of watched subjects.
    pub(crate) conditions: Vec<ConditionView>,
    /// The accounts with the times of their last successful polls.
    pub(crate) accounts: Vec<(String, Option<Timestamp>)>,
    pub(crate) knows_avatars: bool,
    /// Whether `[discover]` is enabled.
    pub(crate) discovers: bool,
    /// The zone of times in texts.
    pub(crate) time_zone: TimeZone,
}

impl StatusView {
    /// Evaluates everything at `now`; a delivery is late when it is older than `late_after`.
    pub(crate) fn new(
        parts: Parts,
        watched: WatchedAvatars<'_>,
        late_after: Duration,
        now: Timestamp,
    ) -> Self {
        let (channels, conditions) = (&parts.channels, &parts.conditions);
        let is_counted = parts.knows_avatars && !parts.discovers && channels.is_some();
        let findings = evaluate(
            &StatusInputs {
                running: parts.daemon.running,
                stalled: parts.stalled,
                not_ready_reason: parts.daemon.not_ready_reason.as_deref(),
                config_readable: parts.config_readable && parts.knows_avatars,
                config_problems: &parts.config_problems,
                config_changes: &parts.config_changes,
                watched: is_counted.then_some(watched.count),
                conditions: conditions.iter().map(ConditionView::facts).collect(),
                channels: channels.as_ref().map(|it| it.iter().map(ChannelView::facts).collect()),
                unreached: parts.unreached,
                failing: watched.notable.iter().filter_map(|it| it.if_failing()).collect(),
                unrecognized: watched
                    .notable
                    .iter()
                    .filter_map(|it| it.if_unrecognized())
                    .collect(),
                time_zone: parts.time_zone,
            },
            late_after,
            now,
        );
        let severity = Severity::of(&findings);
        let accounts = parts.accounts.into_iter().map(|(name, last_success_at)| {
            let subject = format!("account {name}");
            let unavailable = conditions.iter().find(|it| it.subject == subject).cloned();
            AccountView {
                name,
                last_success_at: last_success_at.map(|at| at.to_string()),
                unavailable,
            }
        });
        let (in_flight, dead_letters) = match channels {
            Some(all) => all.iter().map(|it| (it.in_flight, it.dead_letters)).fold((0, 0), sum),
            None => parts.deliveries,
        };
        Self {
            version: env!("CARGO_PKG_VERSION"),
            now: now.to_string(),
            healthy: severity.is_well(),
            severity,
            findings: findings.iter().map(FindingView::from).collect(),
            daemon: parts.daemon,
            config_readable: parts.config_readable,
            config_problems: parts.config_problems,
            config_changes: parts.config_changes,
            avatars_watched: watched.count,
            avatars_training: watched.in_training,
            deliveries_in_flight: in_flight,
            dead_letters,
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

impl StatusView {
    /// The worst problem, or that there is none.
    pub(crate) fn title(&self) -> &str {
        let worst = self.findings.first().filter(|_| !self.healthy);
        worst.map_or(WATCHING_WORKS, |finding| &finding.text)
    }

    /// The number of findings that an operator should act on.
    pub(crate) fn problems(&self) -> u64 {
        let notice = Severity::Notice.name();
        self.findings.iter().filter(|finding| finding.severity != notice).count() as u64
    }
}

/// Which conditions are those of watched subjects; others may be outdated. Conditions are kept when
/// the accounts or the avatars are not known.
pub(crate) struct ConditionScope<'a> {
    pub(crate) accounts: Option<&'a [String]>,
    pub(crate) knows_avatars: bool,
    /// Whether `[discover]` is enabled.
    pub(crate) discovers: bool,
    /// Whether a watched avatar is polled with that account.
    pub(crate) is_used: &'a dyn Fn(&str) -> bool,
    /// Whether the avatar with that id is watched.
    pub(crate) is_watched: &'a dyn Fn(&str) -> bool,
}

impl ConditionScope<'_> {
    pub(crate) fn includes(&self, condition: &ConditionRow) -> bool {
        let subject = condition.subject.as_str();
        match subject.split_once(' ') {
            Some(("account", name)) => {
                let exists = self.accounts.is_none_or(|all| all.iter().any(|it| it == name));
                exists && (self.discovers || !self.knows_avatars || (self.is_used)(name))
            }
            Some(_) => true,
            None => !self.knows_avatars || (self.is_watched)(subject),
        }
    }
}

const WATCHING_WORKS: &str = "Watching works";

fn sum(one: (u64, u64), other: (u64, u64)) -> (u64, u64) {
    (one.0 + other.0, one.1 + other.1)
}

fn name<S: serde::Serializer>(severity: &Severity, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(severity.name())
}
