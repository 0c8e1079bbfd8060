//! A watch: our record of one configured avatar, and the one decision about it: what an
//! observation means.
//!
//! What always holds: only [`Observation::Seen`] changes the status; every change of it makes
//! exactly one transition, numbered without a gap, whose previous status is the one before;
//! an observation that changed nothing asks for nothing to be written. A failure is never a
//! status; a condition is told once when it begins and once when it ends. A status that nobody
//! knows ends no training: an outcome that comes through it is still that training's outcome.

use std::time::Duration;

use crate::domain::account::AccountName;
use crate::domain::avatar::status::Status;
use crate::domain::avatar::training::{OpenTraining, Training};
use crate::domain::avatar::transition::{Previous, Transition};
use crate::domain::avatar::{Avatar, AvatarId};
use crate::domain::condition::{Condition, ConditionSubject, Phase};
use crate::domain::event::{Event, EventKind, Subject};
use crate::domain::id::EventId;
use crate::domain::polling::avatar_conditions::{
    ActiveConditions, ConditionChange, FailureContext,
};
use crate::domain::polling::forecast::Forecast;
use crate::domain::polling::interval::PollIntervals;
use crate::domain::polling::observation::{Denial, Observation, PollError};
use crate::domain::polling::poll_failure::{
    CONFIRMED_AFTER, FailureKind, FailureStreak, PollFailure,
};
use crate::domain::random::RandomBits;
use crate::domain::time::timestamp::Timestamp;

/// What is known of one avatar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    /// Which avatar.
    pub id: AvatarId,
    /// The name the API last showed.
    pub name: Option<String>,
    /// The model the API last showed.
    pub model: Option<String>,
    /// The last sight of it; `None` before the first.
    pub observed: Option<LastObserved>,
    /// The training that was open when it came to its status, if one was.
    pub open_training: Option<OpenTraining>,
    /// How many transitions it has had.
    pub sequence: u64,
    /// Why it cannot be seen just now, if so.
    pub failure: Option<PollFailure>,
    /// The looks in a row that showed no avatar.
    pub streak: FailureStreak,
    /// The conditions that were told and hold.
    pub conditions: ActiveConditions,
}

/// What was last seen of an avatar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastObserved {
    /// Its status.
    pub status: Status,
    /// When that status was first seen.
    pub since: Timestamp,
    /// When the API was asked that last showed it: later than that, it may have changed.
    pub last_seen_at: Timestamp,
}

/// What the config says about one watch.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy<'a> {
    /// The waits between looks.
    pub intervals: &'a PollIntervals,
    /// Whether an avatar that settled without having been seen in training is news.
    pub infer_unseen_training: bool,
    /// When the API was asked: an answer may be as old as its question.
    pub asked_at: Timestamp,
    /// What was known of it before it was looked at.
    pub origin: Origin<'a>,
    /// The name that the user gave the avatar; told instead of the API's own.
    pub label: Option<&'a str>,
    /// The account that it is watched with.
    pub account: &'a AccountName,
    /// Where it is registered, for people.
    pub location: Option<&'a str>,
    /// For how long it may be in training before that is told; `None` is for ever.
    pub overdue_after: Option<Duration>,
    /// When the key last showed any avatar.
    pub account_ok_at: Option<Timestamp>,
    /// What past trainings of the model tell about when to look.
    pub forecast: Option<&'a Forecast>,
}

/// What is known of an avatar before the first sight of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin<'a> {
    /// Nothing: the first sight is a baseline.
    Unknown,
    /// The registration says what it was.
    Assumed(&'a Status),
    /// It was not there before: a whole list lacked it.
    New,
}

/// What an observation means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The watch as it is now.
    pub watch: Watch,
    /// The change of status, if there was one.
    pub transition: Option<Transition>,
    /// What is to be told, in this order.
    pub events: Vec<Event>,
    /// The training that ended, if one did before our eyes.
    pub training: Option<Training>,
    /// Whether there is anything to write to disk.
    pub changed: bool,
    /// How long to wait before the next look; `None` is never.
    pub next_poll_in: Option<Duration>,
}

impl<'a> Policy<'a> {
    /// A policy of nothing but a pace and an account, for an answer asked for at `asked_at`.
    pub fn new(
        intervals: &'a PollIntervals,
        account: &'a AccountName,
        asked_at: Timestamp,
    ) -> Self {
        Self {
            intervals,
            infer_unseen_training: true,
            asked_at,
            origin: Origin::Unknown,
            label: None,
            account,
            location: None,
            overdue_after: None,
            account_ok_at: None,
            forecast: None,
        }
    }
}

impl Watch {
    /// A watch of an avatar that was never looked at.
    pub fn new(id: AvatarId) -> Self {
        Self {
            id,
            name: None,
            model: None,
            observed: None,
            open_training: None,
            sequence: 0,
            failure: None,
            streak: FailureStreak::default(),
            conditions: ActiveConditions::default(),
        }
    }

    /// What `seen`, observed at `now`, means under `policy`. `roll` gives the jitter of a
    /// wait and the ids of events.
    pub fn observe(
        self,
        seen: Observation,
        now: Timestamp,
        policy: &Policy<'_>,
        roll: RandomBits,
    ) -> Decision {
        let pass = ObservationContext { now, policy, roll };
        let cadence = policy.intervals;
        match seen {
            Observation::Seen(avatar) => self.on_seen(*avatar, &pass),
            Observation::Missing { reason } => {
                let unknown = self.observed.is_none();
                let decision = self.on_failure(FailureKind::Missing, AT_ONCE, reason, &pass);
                let looks = decision.watch.streak.missing;
                let soon =
                    if unknown && looks < CONFIRMED_AFTER { NEW_DELAY } else { Duration::MAX };
                Decision { next_poll_in: Some(cadence.missing.min(soon)), ..decision }
            }
            Observation::Denied { denial, reason } => {
                let floor = match denial {
                    Denial::Key => Duration::ZERO,
                    Denial::Avatar => cadence.missing,
                };
                self.on_failure(FailureKind::Denied, AT_ONCE, reason, &pass)
                    .after_backoff(&pass, floor)
            }
            Observation::Throttled { retry_after, reason } => {
                let floor = retry_after.unwrap_or_default();
                self.on_failure(FailureKind::Throttled, CONFIRMED_AFTER, reason, &pass)
                    .after_backoff(&pass, floor)
            }
            Observation::Failed { fault, reason } => {
                let (floor, looks) = match fault {
                    PollError::Unresolved
                    | PollError::Unreachable
                    | PollError::Misrouted
                    | PollError::InvalidResponse
                    | PollError::UnknownEncoding
                    | PollError::Local => (Duration::ZERO, CONFIRMED_AFTER),
                    PollError::RequestRejected => (cadence.missing, AT_ONCE),
                };
                self.on_failure(FailureKind::Failed, looks, reason, &pass)
                    .after_backoff(&pass, floor)
            }
        }
    }

    fn on_seen(mut self, avatar: Avatar, pass: &ObservationContext<'_>) -> Decision {
        let ObservationContext { now, policy, .. } = *pass;
        let transition = self.transition_to(&avatar, pass);
        let renamed = avatar.name.is_some() && avatar.name != self.name;
        let remodelled = avatar.model.is_some() && avatar.model != self.model;
        let troubled = self.failure.is_some();
        let training = transition.as_ref().and_then(|next| self.ended_training(next, &avatar));
        let since = match (&transition, &self.observed) {
            (None, Some(sight)) => sight.since,
            (Some(_), _) | (None, None) => now,
        };
        let sight = LastObserved {
            status: avatar.status.clone(),
            since,
            last_seen_at: policy.asked_at.min(now),
        };
        if let Some(next) = &transition {
            let since = self.observed.as_ref().map(|sight| sight.since);
            self.open_training =
                OpenTraining::after(self.open_training, &next.previous, since, &next.status);
        }
        self.sequence += u64::from(transition.is_some());
        self.failure = None;
        self.streak = FailureStreak::default();
        if renamed {
            self.name.clone_from(&avatar.name);
        }
        if remodelled {
            self.model.clone_from(&avatar.model);
        }
        let next_poll_in = self.next_delay(&sight, pass);
        let turns: Vec<ConditionChange> = self.conditions.on_success().collect();
        let training_since = self.open_since(&sight);
        let mut later: Vec<ConditionChange> = self
            .conditions
            .overdue(training_since, now, policy.overdue_after)
            .into_iter()
            .collect();
        let changed = transition.is_some();
        later.extend(self.conditions.unrecognized(&sight.status, sight.since, changed));
        self.observed = Some(sight);
        let mut events: Vec<Event> =
            turns.into_iter().map(|turn| self.condition(turn, pass)).collect();
        let kind = transition.as_ref().and_then(|t| EventKind::of(t, policy.infer_unseen_training));
        if let (Some(kind), Some(transition)) = (kind, &transition) {
            events.push(Event {
                id: EventId::mint(now, pass.roll),
                kind,
                occurred_at: now,
                subject: Subject::Transition {
                    avatar: Box::new(with_label(avatar, policy.label)),
                    transition: Box::new(transition.clone()),
                    training: training.clone().map(Box::new),
                },
            });
        }
        // The news goes before its consequence.
        events.extend(later.into_iter().map(|turn| self.condition(turn, pass)));
        let changed =
            transition.is_some() || renamed || remodelled || troubled || !events.is_empty();
        Decision { watch: self, transition, events, training, changed, next_poll_in }
    }

    /// How long to wait after that sight.
    fn next_delay(&self, sight: &LastObserved, pass: &ObservationContext<'_>) -> Option<Duration> {
        let Policy { intervals: cadence, forecast, .. } = pass.policy;
        let training_since = self.open_since(sight);
        let age = pass.now.since(training_since.unwrap_or(sight.since));
        let wait = match (forecast, training_since) {
            (Some(forecast), Some(_)) => Some(forecast.delay(age)),
            (Some(_) | None, _) => cadence.delay(&sight.status, age),
        };
        wait.map(|wait| pass.roll.derive(PACE_BITS).jitter_down(wait, cadence.jitter))
    }

    /// Since when it has been in training, if it is, as far as is known: a status that nobody
    /// knows does not end one.
    pub fn training_since(&self) -> Option<Timestamp> {
        self.open_since(self.observed.as_ref()?)
    }

    fn open_since(&self, sight: &LastObserved) -> Option<Timestamp> {
        match (self.open_training, &sight.status) {
            (Some(OpenTraining::Observed { since, .. }), _) => Some(since),
            (Some(OpenTraining::Assumed) | None, Status::Training) => Some(sight.since),
            (Some(OpenTraining::Assumed) | None, _) => None,
        }
    }

    fn transition_to(&self, avatar: &Avatar, pass: &ObservationContext<'_>) -> Option<Transition> {
        let previous = match (&self.observed, pass.policy.origin) {
            (Some(sight), _) if sight.status == avatar.status => return None,
            (Some(sight), _) => {
                Previous::Observed { status: sight.status.clone(), at: sight.last_seen_at }
            }
            (None, Origin::Assumed(assumed)) if *assumed != avatar.status => {
                Previous::Assumed(assumed.clone())
            }
            (None, Origin::New) => Previous::Absent,
            (None, Origin::Assumed(_) | Origin::Unknown) => Previous::Unknown,
        };
        let straight = previous.status() == Some(&Status::Training);
        let earlier = self.open_training.filter(|_| avatar.status.is_settled() && !straight);
        Some(Transition {
            avatar_id: self.id.clone(),
            sequence: self.sequence + 1,
            previous,
            earlier: earlier.map(OpenTraining::evidence),
            status: avatar.status.clone(),
            detected_at: pass.now,
            upstream_updated_at: avatar.updated_at.clone(),
        })
    }

    fn ended_training(&self, next: &Transition, avatar: &Avatar) -> Option<Training> {
        let sight = self.observed.as_ref()?;
        if !next.status.is_settled() {
            return None;
        }
        let since = self.open_since(sight)?;
        let last_seen_at = match (&sight.status, self.open_training) {
            (Status::Training, _) => sight.last_seen_at,
            (_, Some(OpenTraining::Observed { last_seen_at, .. })) => last_seen_at,
            (_, Some(OpenTraining::Assumed) | None) => return None,
        };
        let model = avatar.model.clone().or_else(|| self.model.clone());
        let (status, now) = (next.status.clone(), next.detected_at);
        Some(Training::between(since, last_seen_at, now, status, model))
    }

    /// A look that showed no avatar. Trouble begins with the look in a row that has the number
    /// `looks`, and again when its kind changes: at once when the API says that it is about this
    /// avatar, this key or this question, later when it may pass by itself.
    fn on_failure(
        mut self,
        kind: FailureKind,
        looks: u32,
        reason: String,
        pass: &ObservationContext<'_>,
    ) -> Decision {
        self.streak = self.streak.and(kind, pass.now);
        let same = self.failure.as_ref().is_some_and(|trouble| trouble.kind == kind);
        let absence = FailureContext {
            kind,
            reason: &reason,
            streak: &self.streak,
            was_seen: self.observed.is_some(),
            location: pass.policy.location,
            account_ok_at: pass.policy.account_ok_at,
        };
        let turn = self.conditions.on_failure(absence, pass.now);
        let events: Vec<Event> = turn.map(|turn| self.condition(turn, pass)).into_iter().collect();
        let begins = !same && self.streak.polls >= looks;
        if begins {
            self.failure = Some(PollFailure { kind, since: pass.now, reason });
        }
        let changed = begins || !events.is_empty();
        Decision {
            watch: self,
            transition: None,
            events,
            training: None,
            changed,
            next_poll_in: None,
        }
    }
    fn condition(&self, turn: ConditionChange, pass: &ObservationContext<'_>) -> Event {
        let ConditionChange { kind, phase, started_at: since, reason } = turn;
        let ends = u64::from(phase == Phase::Resolved);
        let about = ConditionSubject::Avatar {
            id: self.id.clone(),
            name: pass.policy.label.map(str::to_owned).or_else(|| self.name.clone()),
            account: pass.policy.account.clone(),
            status: self.observed.as_ref().map(|sight| sight.status.clone()),
        };
        Event {
            id: EventId::mint(pass.now, pass.roll.derive(CONDITIONS + 2 * kind as u64 + ends)),
            kind,
            occurred_at: pass.now,
            subject: Subject::Condition(Box::new(Condition {
                phase,
                started_at: since,
                subject: about,
                reason,
            })),
        }
    }
}

impl Decision {
    fn after_backoff(self, pass: &ObservationContext<'_>, floor: Duration) -> Self {
        let wait =
            pass.policy.intervals.backoff.delay(self.watch.streak.polls, pass.roll).max(floor);
        Self { next_poll_in: Some(wait), ..self }
    }
}

/// One pass over one watch: one `now`, one policy, one roll.
struct ObservationContext<'a> {
    now: Timestamp,
    policy: &'a Policy<'a>,
    roll: RandomBits,
}

fn with_label(avatar: Avatar, label: Option<&str>) -> Avatar {
    let name = label.map(str::to_owned).or(avatar.name);
    Avatar { name, ..avatar }
}

/// Looks in a row that are enough where none can have been an accident.
const AT_ONCE: u32 = 1;
/// The wait before an avatar that was never seen is looked at again, for the first times: it may
/// only just have been made.
const NEW_DELAY: Duration = Duration::from_secs(3 * 60);
/// What keeps the rolls of one pass apart.
const PACE_BITS: u64 = 1;
const CONDITIONS: u64 = 16;

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
