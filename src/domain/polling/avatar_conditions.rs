//! The conditions of one avatar: missing, unreachable, overdue, status unrecognized.
//!
//! Each starts once and is resolved once, in turn. Firing conditions are stored with the watch, so
//! that a restart reports nothing twice. An unrecognized status is reported once for each avatar
//! and status.

use std::time::Duration;

use crate::domain::avatar::status::Status;
use crate::domain::avatar::training::UsualDuration;
use crate::domain::condition::Phase;
use crate::domain::config_origin::ConfigOrigin;
use crate::domain::event::EventKind;
use crate::domain::polling::overdue::OverdueAfter;
use crate::domain::polling::poll_failure::{CONFIRMED_AFTER, FailureKind, FailureStreak};
use crate::domain::time::timestamp::Timestamp;

/// The conditions of an avatar. Most avatars have none, and then they take no memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ActiveConditions(Option<Box<FiringConditions>>);

/// The firing conditions of an avatar, each with its start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FiringConditions {
    /// There is no such avatar.
    pub missing: Option<Timestamp>,
    /// It cannot be polled, while others can.
    pub unreachable: Option<Timestamp>,
    /// Its training lasts too long.
    pub overdue: Option<Timestamp>,
    /// It has a status that this version does not know.
    pub unrecognized: Option<Timestamp>,
    /// The unrecognized statuses that were reported, newest last; each at most once, and no more
    /// than [`REPORTED_STATUSES_MAX`].
    pub reported_statuses: Vec<String>,
}

/// A condition that starts or is resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConditionChange {
    /// Which condition.
    pub kind: EventKind,
    /// Whether it starts.
    pub phase: Phase,
    /// When it started.
    pub started_at: Timestamp,
    /// The error, if a poll failed.
    pub reason: Option<String>,
    /// The cause that others may share, besides the kind.
    pub cause: Option<String>,
}

/// The context of a failed poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailureContext<'a> {
    /// The kind of the failure.
    pub kind: FailureKind,
    /// The error text.
    pub reason: &'a str,
    /// The consecutive failed polls, including the last.
    pub streak: &'a FailureStreak,
    /// Whether the avatar was ever observed.
    pub was_seen: bool,
    /// Its location in the config, for people.
    pub location: Option<&'a ConfigOrigin>,
    /// When the key last showed any avatar.
    pub account_last_success_at: Option<Timestamp>,
}

impl From<FiringConditions> for ActiveConditions {
    fn from(firing: FiringConditions) -> Self {
        Self((firing != FiringConditions::default()).then(|| Box::new(firing)))
    }
}

impl ActiveConditions {
    /// Changes the firing conditions.
    pub fn change<T>(&mut self, change: impl FnOnce(&mut FiringConditions) -> T) -> T {
        let mut firing = self.0.take().map(|firing| *firing).unwrap_or_default();
        let changed = change(&mut firing);
        *self = firing.into();
        changed
    }
}

impl FiringConditions {
    /// The condition that starts because of that failure, if any.
    pub fn on_failure(
        &mut self,
        context: FailureContext<'_>,
        now: Timestamp,
    ) -> Option<ConditionChange> {
        let FailureContext { kind, reason, streak, was_seen, location, account_last_success_at } =
            context;
        let since = streak.since?;
        let long = now.since(since) >= REPORTED_AFTER;
        if kind == FailureKind::Missing && self.missing.is_none() {
            if !was_seen {
                // Most likely the config is wrong, so waiting is useless.
                let location = location.map(|it| format!(" in `{it}`")).unwrap_or_default();
                let reason =
                    format!("{reason}; the avatar was never observed: check the id{location}");
                self.missing = Some(since);
                return Some(started(EventKind::AvatarMissing, since, Some(&reason)));
            }
            if streak.missing >= CONFIRMED_AFTER && long {
                self.missing = Some(since);
                return Some(started(EventKind::AvatarMissing, since, Some(reason)));
            }
        }
        let key_works = account_last_success_at.is_some_and(|at| at > since);
        let unreported = self.unreachable.is_none() && self.missing.is_none();
        let confirmed = streak.polls >= CONFIRMED_AFTER && long;
        if kind != FailureKind::Missing && key_works && confirmed && unreported {
            self.unreachable = Some(since);
            let change = started(EventKind::AvatarUnreachable, since, Some(reason));
            return Some(ConditionChange { cause: Some(kind.name().to_owned()), ..change });
        }
        None
    }

    /// The conditions that a successful poll resolves.
    pub fn on_success(&mut self) -> impl Iterator<Item = ConditionChange> + use<> {
        let missing = self.missing.take().map(|since| resolved(EventKind::AvatarMissing, since));
        let unreachable =
            self.unreachable.take().map(|since| resolved(EventKind::AvatarUnreachable, since));
        missing.into_iter().chain(unreachable)
    }

    /// Whether training becomes overdue, or is no longer, for a training since `training_since`;
    /// `None` is not in training.
    pub fn overdue(
        &mut self,
        training_since: Option<Timestamp>,
        now: Timestamp,
        overdue_after: OverdueAfter,
        usual: Option<UsualDuration>,
    ) -> Option<ConditionChange> {
        let kind = EventKind::AvatarTrainingOverdue;
        let Some(since) = training_since else {
            return self.overdue.take().map(|since| resolved(kind, since));
        };
        let limit = overdue_after.limit(usual)?;
        if self.overdue.is_some() || now.since(since) < limit {
            return None;
        }
        self.overdue = Some(since);
        Some(started(kind, since, Some(&overdue_after.reason(limit, usual))))
    }

    /// Resolves the reported unrecognized status if the status has `changed`, and reports a new one
    /// that was not reported before. The avatar has `status` since `since`.
    pub fn unrecognized(
        &mut self,
        status: &Status,
        since: Timestamp,
        changed: bool,
    ) -> impl Iterator<Item = ConditionChange> + use<> {
        let kind = EventKind::AvatarStatusUnrecognized;
        let over = self.unrecognized.take_if(|_| changed).map(|since| resolved(kind, since));
        let name = match status {
            Status::Unrecognized(name) if !self.reported_statuses.contains(name) => {
                Some(name.clone())
            }
            Status::Unrecognized(_)
            | Status::NotTrained
            | Status::Training
            | Status::TrainingFailed
            | Status::Idle
            | Status::Refused => None,
        };
        let new = name.map(|name| {
            let excess = (self.reported_statuses.len() + 1).saturating_sub(REPORTED_STATUSES_MAX);
            self.reported_statuses.drain(..excess);
            self.reported_statuses.push(name.clone());
            self.unrecognized = Some(since);
            let shown = status.display();
            let reason = format!("the API shows {shown}; nothing is concluded from it");
            ConditionChange { cause: Some(name), ..started(kind, since, Some(&reason)) }
        });
        over.into_iter().chain(new)
    }
}

fn started(kind: EventKind, since: Timestamp, reason: Option<&str>) -> ConditionChange {
    ConditionChange {
        kind,
        phase: Phase::Firing,
        started_at: since,
        reason: reason.map(str::to_owned),
        cause: None,
    }
}

fn resolved(kind: EventKind, since: Timestamp) -> ConditionChange {
    ConditionChange { kind, phase: Phase::Resolved, started_at: since, reason: None, cause: None }
}

/// The maximum number of reported statuses of an avatar.
pub const REPORTED_STATUSES_MAX: usize = 16;
/// How long polls of a known avatar must fail before it is reported.
const REPORTED_AFTER: Duration = Duration::from_secs(30 * 60);
