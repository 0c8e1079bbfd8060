//! The conditions of one avatar that are told: missing, unseen, overdue, status unrecognized.
//!
//! What always holds: each begins once and ends once, in turn; what began is kept with the watch,
//! so that a restart tells nothing twice. An unrecognized status is told once for each avatar and
//! status, however often the avatar comes back to it.

use std::time::Duration;

use crate::domain::condition::Phase;
use crate::domain::event::EventKind;
use crate::domain::status::Status;
use crate::domain::timestamp::Timestamp;
use crate::domain::trouble::{CONFIRMED_AFTER, Spell, TroubleKind};

/// The conditions of an avatar that were told to begin and not yet to end, each with its
/// beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// That there is no such avatar.
    pub missing: Option<Timestamp>,
    /// That it alone cannot be seen.
    pub unseen: Option<Timestamp>,
    /// That it has been in training for too long.
    pub overdue: Option<Timestamp>,
    /// That it has a status that this version does not know.
    pub unrecognized: Option<Timestamp>,
    /// The unrecognized statuses that were told of it, the newest last; of each at most once, and
    /// no more than [`STATUSES_TOLD_MAX`].
    pub statuses: Vec<String>,
}

/// A condition that begins or ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Which condition.
    pub kind: EventKind,
    /// Whether it begins.
    pub phase: Phase,
    /// Since when it holds.
    pub since: Timestamp,
    /// Why, when the avatar was not seen.
    pub reason: Option<String>,
}

/// What counts when an avatar was not seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Absence<'a> {
    /// What kind of trouble the last look met.
    pub kind: TroubleKind,
    /// What it was told.
    pub reason: &'a str,
    /// The looks in a row that showed no avatar, the last one among them.
    pub spell: &'a Spell,
    /// Whether the avatar was ever seen.
    pub was_seen: bool,
    /// Where it is registered, for people.
    pub place: Option<&'a str>,
    /// When the key last showed any avatar.
    pub key_answered_at: Option<Timestamp>,
}

impl Told {
    /// The condition that begins because of that absence, if one does.
    pub fn out_of_sight(&mut self, absence: Absence<'_>, now: Timestamp) -> Option<Turn> {
        let Absence { kind, reason, spell, was_seen, place, key_answered_at } = absence;
        let since = spell.since?;
        let long = now.since(since) >= OUT_OF_SIGHT_AFTER;
        if kind == TroubleKind::Missing && self.missing.is_none() {
            if !was_seen {
                // Most likely it is the config that is wrong, so there is nothing to wait for.
                let place = place.map(|place| format!(" in {place}")).unwrap_or_default();
                let reason = format!("{reason}; it was never seen: is the id{place} right?");
                self.missing = Some(since);
                return Some(begun(EventKind::AvatarMissing, since, Some(&reason)));
            }
            if spell.missing >= CONFIRMED_AFTER && long {
                self.missing = Some(since);
                return Some(begun(EventKind::AvatarMissing, since, Some(reason)));
            }
        }
        let key_works = key_answered_at.is_some_and(|at| at > since);
        let untold = self.unseen.is_none() && self.missing.is_none();
        let confirmed = spell.looks >= CONFIRMED_AFTER && long;
        if kind != TroubleKind::Missing && key_works && confirmed && untold {
            self.unseen = Some(since);
            return Some(begun(EventKind::AvatarUnseen, since, Some(reason)));
        }
        None
    }

    /// The conditions that end because it was seen.
    pub fn back_in_sight(&mut self) -> impl Iterator<Item = Turn> + use<> {
        let missing = self.missing.take().map(|since| ended(EventKind::AvatarMissing, since));
        let unseen = self.unseen.take().map(|since| ended(EventKind::AvatarUnseen, since));
        missing.into_iter().chain(unseen)
    }

    /// Whether training is overdue from now on, or no longer, when it has been in training since
    /// then; `None` is not in training.
    pub fn overdue(
        &mut self,
        training_since: Option<Timestamp>,
        now: Timestamp,
        overdue_after: Option<Duration>,
    ) -> Option<Turn> {
        let kind = EventKind::AvatarTrainingOverdue;
        let Some(since) = training_since else {
            return self.overdue.take().map(|since| ended(kind, since));
        };
        if self.overdue.is_some() || now.since(since) < overdue_after? {
            return None;
        }
        self.overdue = Some(since);
        Some(begun(kind, since, None))
    }

    /// That it is no longer in the unrecognized status that was told, when its status has
    /// `changed`; and that it is in another one, if that was never told. It has `status` since
    /// then.
    pub fn unrecognized(
        &mut self,
        status: &Status,
        since: Timestamp,
        changed: bool,
    ) -> impl Iterator<Item = Turn> + use<> {
        let kind = EventKind::AvatarStatusUnrecognized;
        let over = self.unrecognized.take_if(|_| changed).map(|since| ended(kind, since));
        let name = match status {
            Status::Unrecognized(name) if !self.statuses.contains(name) => Some(name.clone()),
            Status::Unrecognized(_)
            | Status::NotTrained
            | Status::Training
            | Status::TrainingFailed
            | Status::Idle
            | Status::Refused => None,
        };
        let new = name.map(|name| {
            let excess = (self.statuses.len() + 1).saturating_sub(STATUSES_TOLD_MAX);
            self.statuses.drain(..excess);
            self.statuses.push(name);
            self.unrecognized = Some(since);
            let shown = status.shown();
            begun(
                kind,
                since,
                Some(&format!("the API shows {shown}; nothing is concluded from it")),
            )
        });
        over.into_iter().chain(new)
    }
}

fn begun(kind: EventKind, since: Timestamp, reason: Option<&str>) -> Turn {
    Turn { kind, phase: Phase::Begun, since, reason: reason.map(str::to_owned) }
}

fn ended(kind: EventKind, since: Timestamp) -> Turn {
    Turn { kind, phase: Phase::Ended, since, reason: None }
}

/// So many of an avatar's unrecognized statuses are remembered as told.
pub const STATUSES_TOLD_MAX: usize = 16;
/// How long an avatar that was seen before must be out of sight before that is told.
const OUT_OF_SIGHT_AFTER: Duration = Duration::from_secs(30 * 60);
