//! A watch: the record of one avatar; decides what an observation means.
//!
//! Only [`Observation::Seen`] changes the status. Every change makes one transition, numbered
//! without a gap, with the status before. A poll that observes no change asks for no write. A
//! failure is never a status. A condition is reported once when it starts and once when it is
//! resolved. An unrecognized status does not end a training: a later outcome belongs to that
//! training.

use std::time::Duration;

use crate::domain::avatar::open_training::OpenTraining;
use crate::domain::avatar::status::Status;
use crate::domain::avatar::training::{Training, TrainingStart};
use crate::domain::avatar::transition::{Previous, Transition};
use crate::domain::avatar::{Avatar, AvatarId};
use crate::domain::condition::{AvatarGroup, Condition, ConditionSubject, Phase};
use crate::domain::event::{Event, EventKind, Subject};
use crate::domain::id::EventId;
use crate::domain::polling::avatar_conditions::{
    ActiveConditions, ConditionChange, FailureContext, FiringConditions,
};
use crate::domain::polling::observation::{Denial, Observation, PollError};
use crate::domain::polling::policy::{Origin, Policy};
use crate::domain::polling::poll_failure::{
    CONFIRMED_AFTER, FailureKind, FailureStreak, PollFailure,
};
use crate::domain::random::RandomBits;
use crate::domain::time::timestamp::Timestamp;

/// The record of one avatar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    /// The avatar.
    pub id: AvatarId,
    /// The name in the last response.
    pub name: Option<String>,
    /// The model in the last response.
    pub model: Option<String>,
    /// The last observation of it; `None` before the first.
    pub observed: Option<LastObserved>,
    /// The open training before the current status, if any.
    pub open_training: Option<OpenTraining>,
    /// The number of its transitions.
    pub sequence: u64,
    /// The current failure, if any.
    pub failure: Option<PollFailure>,
    /// The consecutive failed polls.
    pub streak: FailureStreak,
    /// The conditions that are firing.
    pub conditions: ActiveConditions,
    /// Argil's `updatedAt` in the last response. Not stored.
    pub updated_at: Option<String>,
    /// When `updatedAt` last changed without a new status: a hint at a retraining between two
    /// polls. Not stored.
    pub touched_at: Option<Timestamp>,
    /// `updatedAt` of the response with the newest transition.
    pub transition_updated_at: Option<String>,
    /// When `updatedAt` last changed during the open training: it may have ended, and another one
    /// begun. Not stored; a start compares with the transition.
    pub retrained_at: Option<Timestamp>,
}

/// The last observation of an avatar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastObserved {
    /// Its status.
    pub status: Status,
    /// When that status was first observed.
    pub since: Timestamp,
    /// When the status before was last observed; `None` if none was.
    pub changed_after: Option<Timestamp>,
    /// When the request was sent that last showed it; it may have changed since.
    pub last_seen_at: Timestamp,
}

/// The result of an observation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The new watch.
    pub watch: Watch,
    /// The transition, if any.
    pub transition: Option<Transition>,
    /// The events, in this order.
    pub events: Vec<Event>,
    /// Whether the watch must be written.
    pub changed: bool,
    /// The delay before the next poll; `None` is never.
    pub next_poll_in: Option<Duration>,
}

impl Watch {
    /// A watch of an avatar that was never polled.
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
            updated_at: None,
            touched_at: None,
            transition_updated_at: None,
            retrained_at: None,
        }
    }

    /// Applies an observation made at `now` under `policy`. `random` gives the jitter and the ids
    /// of events.
    pub fn observe(
        self,
        observation: Observation,
        now: Timestamp,
        policy: &Policy<'_>,
        random: RandomBits,
    ) -> Decision {
        let context = ObservationContext { now, policy, random };
        let intervals = policy.intervals;
        match observation {
            Observation::Seen(avatar) => self.on_seen(*avatar, &context),
            Observation::Missing { reason } => {
                let unknown = self.observed.is_none();
                let decision = self.on_failure(FailureKind::Missing, AT_ONCE, reason, &context);
                let polls = decision.watch.streak.missing;
                let soon = (unknown && polls < CONFIRMED_AFTER).then_some(NEW_DELAY);
                let wait = soon.map_or(intervals.missing, |soon| soon.min(intervals.missing));
                Decision { next_poll_in: Some(wait), ..decision }
            }
            Observation::Denied { denial, reason } => {
                let floor = match denial {
                    Denial::Key => Duration::ZERO,
                    Denial::Avatar => intervals.missing,
                };
                self.on_failure(FailureKind::Denied, AT_ONCE, reason, &context)
                    .after_backoff(&context, floor)
            }
            Observation::Throttled { retry_after, reason } => {
                let floor = retry_after.unwrap_or_default();
                self.on_failure(FailureKind::Throttled, CONFIRMED_AFTER, reason, &context)
                    .after_backoff(&context, floor)
            }
            Observation::Failed { fault, reason } => {
                let (floor, polls_min) = match fault {
                    PollError::Unresolved
                    | PollError::Unreachable
                    | PollError::Misrouted
                    | PollError::InvalidResponse
                    | PollError::UnknownEncoding
                    | PollError::Local => (Duration::ZERO, CONFIRMED_AFTER),
                    PollError::RequestRejected => (intervals.missing, AT_ONCE),
                };
                self.on_failure(FailureKind::Failed, polls_min, reason, &context)
                    .after_backoff(&context, floor)
            }
        }
    }

    fn on_seen(mut self, avatar: Avatar, context: &ObservationContext<'_>) -> Decision {
        let ObservationContext { now, policy, .. } = *context;
        let transition = self.transition_to(&avatar, context);
        let renamed = avatar.name.is_some() && avatar.name != self.name;
        let model_changed = avatar.model.is_some() && avatar.model != self.model;
        let was_failing = self.failure.is_some();
        let (since, changed_after) = match (&transition, &self.observed) {
            (None, Some(observed)) => (observed.since, observed.changed_after),
            (Some(next), _) => (now, next.last_seen_previous_at()),
            (None, None) => (now, None),
        };
        let observed = LastObserved {
            status: avatar.status.clone(),
            since,
            changed_after,
            last_seen_at: policy.asked_at.min(now),
        };
        if let Some(next) = &transition {
            let start = self.observed.as_ref().map(LastObserved::start);
            self.open_training =
                OpenTraining::after(self.open_training, &next.previous, start, &next.status);
        }
        let updated = self.updated_at.is_some() && self.updated_at != avatar.updated_at;
        self.touched_at = match transition {
            None if updated && avatar.updated_at.is_some() => Some(now),
            None => self.touched_at,
            Some(_) => None,
        };
        let known_update = self.updated_at.take().or_else(|| self.transition_updated_at.clone());
        if known_update.is_some()
            && avatar.updated_at.is_some()
            && known_update != avatar.updated_at
            && transition.is_none()
        {
            self.retrained_at = Some(now);
        }
        if self.open_start(&observed).is_none() {
            self.retrained_at = None;
        }
        if transition.is_some() {
            self.transition_updated_at.clone_from(&avatar.updated_at);
        }
        self.updated_at.clone_from(&avatar.updated_at);
        self.sequence += u64::from(transition.is_some());
        self.failure = None;
        self.streak = FailureStreak::default();
        if renamed {
            self.name.clone_from(&avatar.name);
        }
        if model_changed {
            self.model.clone_from(&avatar.model);
        }
        let next_poll_in = self.next_delay(&observed, context);
        let resolved: Vec<ConditionChange> =
            self.conditions.change(FiringConditions::on_success).collect();
        let training_since = self.open_since(&observed);
        let mut conditions_after: Vec<ConditionChange> = self
            .conditions
            .change(|it| it.overdue(training_since, now, policy.overdue_after, policy.usual))
            .into_iter()
            .collect();
        let changed = transition.is_some();
        conditions_after.extend(
            self.conditions.change(|it| it.unrecognized(&observed.status, observed.since, changed)),
        );
        self.observed = Some(observed);
        let mut events: Vec<Event> =
            resolved.into_iter().map(|change| self.condition_event(change, context)).collect();
        let kind = transition.as_ref().and_then(|t| EventKind::of(t, policy.infer_unseen_training));
        if let (Some(kind), Some(transition)) = (kind, &transition) {
            events.push(Event {
                id: EventId::mint(now, context.random),
                kind,
                occurred_at: now,
                subject: Subject::Transition {
                    avatar: Box::new(with_label(avatar, policy.label)),
                    transition: Box::new(transition.clone()),
                },
            });
        }
        // The transition precedes the conditions that follow from it.
        events.extend(
            conditions_after.into_iter().map(|change| self.condition_event(change, context)),
        );
        let changed =
            transition.is_some() || renamed || model_changed || was_failing || !events.is_empty();
        Decision { watch: self, transition, events, changed, next_poll_in }
    }

    /// The delay after that observation.
    fn next_delay(
        &self,
        observed: &LastObserved,
        context: &ObservationContext<'_>,
    ) -> Option<Duration> {
        let Policy { intervals, forecast, .. } = context.policy;
        let wait = match (forecast, self.open_since(observed)) {
            (Some(forecast), Some(since)) => Some(forecast.delay(context.now.since(since))),
            (Some(_) | None, _) => {
                let is_named = context.policy.location.is_some();
                intervals.delay(&observed.status, self.age_of(observed, is_named, context.now))
            }
        };
        wait.map(|wait| context.random.derive(INTERVAL_BITS).jitter_down(wait, intervals.jitter))
    }

    /// The age that interval and priority depend on: of the training, or of the status. `None`
    /// before the first observation. `is_named`: whether the config names the avatar. An outcome
    /// that an avatar had when it was discovered may be of any age, and counts as old.
    pub fn age(&self, is_named: bool, now: Timestamp) -> Option<Duration> {
        Some(self.age_of(self.observed.as_ref()?, is_named, now))
    }

    fn age_of(&self, observed: &LastObserved, is_named: bool, now: Timestamp) -> Duration {
        let training_since = self.open_since(observed);
        match (training_since, self.touched_at) {
            (Some(since), _) => now.since(since),
            (None, Some(touched_at)) => now.since(touched_at),
            (None, None) if observed.status.is_settled() && self.sequence <= 1 && !is_named => {
                Duration::MAX
            }
            (None, None) => now.since(observed.since),
        }
    }

    /// Whether the last poll failed.
    pub fn is_failing(&self) -> bool {
        self.failure.is_some() || self.streak.polls > 0
    }

    /// The start of the training, if it is in training; an unrecognized status does not end one.
    pub fn training_since(&self) -> Option<Timestamp> {
        self.open_since(self.observed.as_ref()?)
    }

    fn open_since(&self, observed: &LastObserved) -> Option<Timestamp> {
        self.open_start(observed).map(|start| start.before)
    }

    fn open_start(&self, observed: &LastObserved) -> Option<TrainingStart> {
        match (self.open_training, &observed.status) {
            (Some(OpenTraining::Observed { start, .. }), _) => Some(start),
            (Some(OpenTraining::Assumed) | None, Status::Training) => Some(observed.start()),
            (Some(OpenTraining::Assumed) | None, _) => None,
        }
    }

    fn transition_to(
        &self,
        avatar: &Avatar,
        context: &ObservationContext<'_>,
    ) -> Option<Transition> {
        let previous = match (&self.observed, context.policy.origin) {
            (Some(observed), _) if observed.status == avatar.status => return None,
            (Some(observed), _) => {
                Previous::Observed { status: observed.status.clone(), at: observed.last_seen_at }
            }
            (None, Origin::Assumed(assumed)) if *assumed != avatar.status => {
                Previous::Assumed(assumed.clone())
            }
            (None, Origin::New) => Previous::Absent,
            (None, Origin::Assumed(_) | Origin::Unknown) => Previous::Unknown,
        };
        let was_training = previous.status() == Some(&Status::Training);
        let earlier = self.open_training.filter(|_| avatar.status.is_settled() && !was_training);
        Some(Transition {
            avatar_id: self.id.clone(),
            sequence: self.sequence + 1,
            previous,
            earlier: earlier.map(OpenTraining::evidence),
            training: self.ended_training(avatar, context.now),
            status: avatar.status.clone(),
            detected_at: context.now,
            upstream_updated_at: avatar.updated_at.clone(),
        })
    }

    fn ended_training(&self, avatar: &Avatar, ended_before: Timestamp) -> Option<Training> {
        let observed = self.observed.as_ref().filter(|_| avatar.status.is_settled())?;
        let start = self.open_start(observed)?;
        let last_seen_at = match (&observed.status, self.open_training) {
            (Status::Training, _) => observed.last_seen_at,
            (_, Some(OpenTraining::Observed { last_seen_at, .. })) => last_seen_at,
            (_, Some(OpenTraining::Assumed) | None) => return None,
        };
        let model = avatar.model.clone().or_else(|| self.model.clone());
        // After a start, it is not known whether `updatedAt` changed before.
        let is_unknown = self.updated_at.is_none() && self.transition_updated_at.is_some();
        let retrained_at = if is_unknown { Some(last_seen_at) } else { self.retrained_at };
        let before = start.before.max(retrained_at.unwrap_or(start.before));
        Some(Training {
            model,
            start: TrainingStart { before, ..start },
            last_seen_at,
            ended_before,
        })
    }

    /// Applies a failed poll. The failure starts with the consecutive poll number `polls_min`, and
    /// again when its kind changes: at once when the response is about this avatar, this key or
    /// this request, later when it may be transient.
    fn on_failure(
        mut self,
        kind: FailureKind,
        polls_min: u32,
        reason: String,
        context: &ObservationContext<'_>,
    ) -> Decision {
        self.streak = self.streak.and(kind, context.now);
        let same = self.failure.as_ref().is_some_and(|failure| failure.kind == kind);
        let failure = FailureContext {
            kind,
            reason: &reason,
            streak: &self.streak,
            was_seen: self.observed.is_some(),
            location: context.policy.location,
            account_last_success_at: context.policy.account_last_success_at,
        };
        let change = self.conditions.change(|it| it.on_failure(failure, context.now));
        let events: Vec<Event> =
            change.map(|change| self.condition_event(change, context)).into_iter().collect();
        let begins = !same && self.streak.polls >= polls_min;
        if begins {
            self.failure = Some(PollFailure { kind, since: context.now, reason });
        }
        let changed = begins || !events.is_empty();
        Decision { watch: self, transition: None, events, changed, next_poll_in: None }
    }

    fn condition_event(&self, change: ConditionChange, context: &ObservationContext<'_>) -> Event {
        let ConditionChange { kind, phase, started_at: since, reason, cause } = change;
        let is_resolved = u64::from(phase == Phase::Resolved);
        let subject = ConditionSubject::Avatar {
            id: self.id.clone(),
            name: context.policy.label.map(str::to_owned).or_else(|| self.name.clone()),
            account: context.policy.account.clone(),
            status: self.observed.as_ref().map(|observed| observed.status.clone()),
            group: AvatarGroup { cause, ..AvatarGroup::default() },
        };
        Event {
            id: EventId::mint(
                context.now,
                context.random.derive(CONDITIONS + 2 * kind as u64 + is_resolved),
            ),
            kind,
            occurred_at: context.now,
            subject: Subject::Condition(Box::new(Condition {
                phase,
                started_at: since,
                subject,
                reason,
            })),
        }
    }
}

impl LastObserved {
    /// The start of the training, if the status is `TRAINING`.
    const fn start(&self) -> TrainingStart {
        TrainingStart { after: self.changed_after, before: self.since }
    }
}

impl Decision {
    fn after_backoff(self, context: &ObservationContext<'_>, floor: Duration) -> Self {
        let wait = context
            .policy
            .intervals
            .backoff
            .delay(self.watch.streak.polls, context.random)
            .max(floor);
        Self { next_poll_in: Some(wait), ..self }
    }
}

/// The context of one observation: time, policy and random bits.
struct ObservationContext<'a> {
    now: Timestamp,
    policy: &'a Policy<'a>,
    random: RandomBits,
}

fn with_label(avatar: Avatar, label: Option<&str>) -> Avatar {
    let name = label.map(str::to_owned).or(avatar.name);
    Avatar { name, ..avatar }
}

/// The number of consecutive polls that confirm an unambiguous failure.
const AT_ONCE: u32 = 1;
/// The delay before an avatar that is missing and was never observed is polled again, for the first
/// polls: it may be about to be created.
const NEW_DELAY: Duration = Duration::from_secs(3 * 60);
/// Salts for separate random bits within one observation.
const INTERVAL_BITS: u64 = 1;
const CONDITIONS: u64 = 16;

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
