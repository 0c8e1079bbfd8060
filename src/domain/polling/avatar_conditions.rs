//! The conditions of one avatar that are told: missing, unseen, overdue, status unrecognized.
//!
//! What always holds: each begins once and ends once, in turn; what began is kept with the watch,
//! so that a restart tells nothing twice. An unrecognized status is told once for each avatar and
//! status, however often the avatar comes back to it.

use std::time::Duration;

use crate::domain::avatar::status::Status;
use crate::domain::condition::Phase;
use crate::domain::event::EventKind;
use crate::domain::polling::poll_failure::{CONFIRMED_AFTER, FailureKind, FailureStreak};
use crate::domain::time::timestamp::Timestamp;

/// The conditions of an avatar that were told to begin and not yet to end, each with its
/// beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ActiveConditions {
    /// That there is no such avatar.
    pub missing: Option<Timestamp>,
    /// That it alone cannot be seen.
    pub unreachable: Option<Timestamp>,
    /// That it has been in training for too long.
    pub overdue: Option<Timestamp>,
    /// That it has a status that this version does not know.
    pub unrecognized: Option<Timestamp>,
    /// The unrecognized statuses that were told of it, the newest last; of each at most once, and
    /// no more than [`STATUSES_TOLD_MAX`].
    pub reported_statuses: Vec<String>,
}

/// A condition that begins or ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConditionChange {
    /// Which condition.
    pub kind: EventKind,
    /// Whether it begins.
    pub phase: Phase,
    /// Since when it holds.
    pub started_at: Timestamp,
    /// Why, when the avatar was not seen.
    pub reason: Option<String>,
}

/// What counts when an avatar was not seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailureContext<'a> {
    /// What kind of trouble the last look met.
    pub kind: FailureKind,
    /// What it was told.
    pub reason: &'a str,
    /// The looks in a row that showed no avatar, the last one among them.
    pub streak: &'a FailureStreak,
    /// Whether the avatar was ever seen.
    pub was_seen: bool,
    /// Where it is registered, for people.
    pub location: Option<&'a str>,
    /// When the key last showed any avatar.
    pub account_ok_at: Option<Timestamp>,
}

impl ActiveConditions {
    /// The condition that begins because of that absence, if one does.
    pub fn on_failure(
        &mut self,
        absence: FailureContext<'_>,
        now: Timestamp,
    ) -> Option<ConditionChange> {
        let FailureContext {
            kind,
            reason,
            streak: spell,
            was_seen,
            location: place,
            account_ok_at: key_answered_at,
        } = absence;
        let since = spell.since?;
        let long = now.since(since) >= REPORTED_AFTER;
        if kind == FailureKind::Missing && self.missing.is_none() {
            if !was_seen {
                // Most likely it is the config that is wrong, so there is nothing to wait for.
                let place = place.map(|place| format!(" in {place}")).unwrap_or_default();
                let reason = format!("{reason}; it was never seen: is the id{place} right?");
                self.missing = Some(since);
                return Some(started(EventKind::AvatarMissing, since, Some(&reason)));
            }
            if spell.missing >= CONFIRMED_AFTER && long {
                self.missing = Some(since);
                return Some(started(EventKind::AvatarMissing, since, Some(reason)));
            }
        }
        let key_works = key_answered_at.is_some_and(|at| at > since);
        let untold = self.unreachable.is_none() && self.missing.is_none();
        let confirmed = spell.polls >= CONFIRMED_AFTER && long;
        if kind != FailureKind::Missing && key_works && confirmed && untold {
            self.unreachable = Some(since);
            return Some(started(EventKind::AvatarUnreachable, since, Some(reason)));
        }
        None
    }

    /// The conditions that end because it was seen.
    pub fn on_success(&mut self) -> impl Iterator<Item = ConditionChange> + use<> {
        let missing = self.missing.take().map(|since| resolved(EventKind::AvatarMissing, since));
        let unseen =
            self.unreachable.take().map(|since| resolved(EventKind::AvatarUnreachable, since));
        missing.into_iter().chain(unseen)
    }

    /// Whether training is overdue from now on, or no longer, when it has been in training since
    /// then; `None` is not in training.
    pub fn overdue(
        &mut self,
        training_since: Option<Timestamp>,
        now: Timestamp,
        overdue_after: Option<Duration>,
    ) -> Option<ConditionChange> {
        let kind = EventKind::AvatarTrainingOverdue;
        let Some(since) = training_since else {
            return self.overdue.take().map(|since| resolved(kind, since));
        };
        if self.overdue.is_some() || now.since(since) < overdue_after? {
            return None;
        }
        self.overdue = Some(since);
        Some(started(kind, since, None))
    }

    /// That it is no longer in the unrecognized status that was told, when its status has
    /// `changed`; and that it is in another one, if that was never told. It has `status` since
    /// then.
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
            self.reported_statuses.push(name);
            self.unrecognized = Some(since);
            let shown = status.display();
            started(
                kind,
                since,
                Some(&format!("the API shows {shown}; nothing is concluded from it")),
            )
        });
        over.into_iter().chain(new)
    }
}

fn started(kind: EventKind, since: Timestamp, reason: Option<&str>) -> ConditionChange {
    ConditionChange {
        kind,
        phase: Phase::Started,
        started_at: since,
        reason: reason.map(str::to_owned),
    }
}

fn resolved(kind: EventKind, since: Timestamp) -> ConditionChange {
    ConditionChange { kind, phase: Phase::Resolved, started_at: since, reason: None }
}

/// So many of an avatar's unrecognized statuses are remembered as told.
pub const REPORTED_STATUSES_MAX: usize = 16;
/// How long an avatar that was seen before must be out of sight before that is told.
const REPORTED_AFTER: Duration = Duration::from_secs(30 * 60);
