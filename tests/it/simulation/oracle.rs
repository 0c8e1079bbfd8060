//! The oracle: what must hold of every history. It knows the promises and nothing of the code that
//! keeps them. A violation begins with the name of its promise:
//!
//! - I2: the transitions of an avatar are a chain without a gap.
//! - I3: a transition has one event, and one delivery to each recipient that should get it.
//! - I4: a delivery ends as what the receiver saw, or with a reason.
//! - I5: a repeat has the same id and the same bytes.
//! - I6: a receiver gets a message again only if the daemon cannot know that it was accepted.
//! - I7: nothing is invented: transitions, events, conditions and attempts have an origin.
//! - I8: rate limits hold, and requested delays are minimums.
//! - I9: after the faults have stopped, the record is current and nothing is in flight.
//! - LOST, TRAINED, CONDITION, LETTER, ATTEMPT, ORDER: an observed status, the training before an
//!   outcome, a condition, the report of a dead letter, an attempt, the order of a queue.

use std::collections::{BTreeMap, BTreeSet};

use avatar_watch::domain::avatar::AvatarId;
use avatar_watch::domain::avatar::status::Status;
use avatar_watch::domain::avatar::transition::{Previous, Transition};
use avatar_watch::domain::id::EventId;
use avatar_watch::domain::time::timestamp::Timestamp;

use crate::simulation::history::{EventRow, History, PlanNote, Poll, Shown};
use crate::simulation::oracle_trainings::{Trained, trained};
use crate::simulation::{oracle_conditions, oracle_delivery, oracle_rate_limits, oracle_trainings};

/// All violations of a history; each begins with the name of a promise.
pub(super) fn judge(history: &History) -> Vec<String> {
    let mut violations = Vec::new();
    let avatars: BTreeSet<&AvatarId> = history
        .polls
        .iter()
        .map(|poll| &poll.avatar)
        .chain(history.transitions.iter().map(|transition| &transition.avatar_id))
        .collect();
    let mut origins = Vec::new();
    for avatar in avatars {
        chain(history, avatar, &mut violations);
        origins.extend(retrace(history, avatar, &mut violations));
    }
    let expected = events(history, &origins, &mut violations);
    oracle_delivery::judge(history, &expected, &mut violations);
    oracle_conditions::judge(history, &mut violations);
    oracle_rate_limits::judge(history, &mut violations);
    oracle_trainings::judge(history, &mut violations);
    settled(history, &mut violations);
    violations
}

/// An expected event, and the config that applied.
pub(super) struct Expected<'a> {
    pub(super) id: &'a EventId,
    pub(super) kind: &'static str,
    pub(super) avatar: &'a AvatarId,
    pub(super) plan: &'a PlanNote,
}

/// I2: the transitions of an avatar are a chain without a gap.
fn chain(history: &History, avatar: &AvatarId, violations: &mut Vec<String>) {
    let mut last: Option<&Transition> = None;
    for transition in history.transitions.iter().filter(|t| t.avatar_id == *avatar) {
        let sequence = last.map_or(1, |last| last.sequence + 1);
        if transition.sequence != sequence {
            violations
                .push(format!("I2 `{avatar}`: number {} is not {sequence}", transition.sequence));
        }
        let fits = match (&transition.previous, last) {
            (Previous::Unknown | Previous::Assumed(_), None) => true,
            (Previous::Observed { status, .. }, Some(last)) => *status == last.status,
            (Previous::Unknown | Previous::Assumed(_), Some(_))
            | (Previous::Observed { .. }, None)
            | (Previous::Absent, _) => false,
        };
        if !fits || transition.previous.status() == Some(&transition.status) {
            violations
                .push(format!("I2 `{avatar}`: number {sequence} does not follow the one before"));
        }
        last = Some(transition);
    }
}

/// Nothing invented, nothing lost: walks through what was shown of an avatar, beside what was
/// recorded. Each transition with its poll.
fn retrace<'a>(
    history: &'a History,
    avatar: &AvatarId,
    violations: &mut Vec<String>,
) -> Vec<(&'a Transition, &'a Poll)> {
    let polls: Vec<&Poll> = history.polls.iter().filter(|poll| poll.avatar == *avatar).collect();
    let mut recorded = history.transitions.iter().filter(|t| t.avatar_id == *avatar).peekable();
    let mut origins = Vec::new();
    let mut known: Option<&Status> = None;
    for (number, poll) in polls.iter().enumerate() {
        let Some(Shown::Status(status)) = &poll.shown else { continue };
        if known == Some(status) {
            continue;
        }
        let next = recorded.next_if(|t| t.status == *status && t.detected_at == poll.wall);
        if let Some(transition) = next {
            check_origin(history, transition, &polls[..number], poll, violations);
            known = Some(status);
            origins.push((transition, *poll));
            continue;
        }
        // The response may have been received during a crash; then a later poll detects it.
        if poll.outlived {
            let wall = poll.wall;
            violations
                .push(format!("LOST `{avatar}` was shown as {status} at {wall}, not recorded"));
            known = Some(status);
        }
    }
    for transition in recorded {
        let number = transition.sequence;
        violations.push(format!("I7 `{avatar}`: transition {number} was never shown"));
    }
    origins
}

/// What a transition says of the time before it is true as well.
fn check_origin(
    history: &History,
    transition: &Transition,
    earlier: &[&Poll],
    poll: &Poll,
    violations: &mut Vec<String>,
) {
    let registered = history.plans[poll.plan].avatars.get(&poll.avatar);
    let assumed = registered.and_then(|(assumed, ..)| assumed.as_ref());
    let true_ = match &transition.previous {
        Previous::Unknown => assumed.is_none_or(|assumed| *assumed == transition.status),
        Previous::Assumed(status) => assumed == Some(status),
        // No plan of the simulation discovers anything.
        Previous::Absent => false,
        Previous::Observed { status, at } => earlier
            .iter()
            .any(|poll| asked_at(poll) == *at && poll.shown == Some(Shown::Status(status.clone()))),
    };
    if !true_ {
        let Transition { avatar_id, sequence, previous, .. } = transition;
        violations
            .push(format!("I7 `{avatar_id}`: {sequence} came from {previous:?}, never shown"));
    }
}

/// When the API was asked, by the wall clock as it was when the answer came.
fn asked_at(poll: &Poll) -> Timestamp {
    poll.wall.minus(poll.ended_at.since(poll.begun_at))
}

/// Each transition but a baseline has exactly one event, of the kind that the table says.
fn events<'a>(
    history: &'a History,
    origins: &[(&'a Transition, &'a Poll)],
    violations: &mut Vec<String>,
) -> Vec<Expected<'a>> {
    let mut rows: BTreeMap<(&AvatarId, u64), &EventRow> = BTreeMap::new();
    for event in &history.events {
        if rows.insert((&event.avatar, event.sequence), event).is_some() {
            violations.push(format!("I3 `{}`: two events for {}", event.avatar, event.sequence));
        }
    }
    let mut expected = Vec::new();
    let trained = trained(history);
    for (transition, poll) in origins {
        let (avatar, sequence) = (&transition.avatar_id, transition.sequence);
        let trained = trained.get(&(avatar, sequence)).copied().unwrap_or(Trained::No);
        let row = rows.remove(&(avatar, sequence));
        let plan = plan_of(history, transition, trained, poll, row);
        let kind = kind(transition, trained, plan.infer_unseen_training);
        match (kind, row) {
            (None, None) => {}
            (Some(kind), Some(row)) if kind == row.kind => {
                expected.push(Expected { id: &row.id, kind, avatar, plan });
            }
            (kind, row) => {
                let found = row.map(|row| &row.kind);
                violations.push(format!("I3 `{avatar}`: {sequence} is {kind:?}, found {found:?}"));
            }
        }
    }
    for ((avatar, sequence), _) in rows {
        violations.push(format!("I7 `{avatar}`: an event for {sequence}, which never happened"));
    }
    expected
}

/// The config that applied to a transition. If a config came during a poll, its response may have
/// been discarded and the avatar polled again at the same time: then the config of either poll
/// explains the event.
fn plan_of<'a>(
    history: &'a History,
    transition: &Transition,
    trained: Trained,
    poll: &Poll,
    row: Option<&EventRow>,
) -> &'a PlanNote {
    let same = |other: &&Poll| {
        (&other.avatar, other.wall, &other.shown) == (&poll.avatar, poll.wall, &poll.shown)
    };
    let explains = |plan: &&PlanNote| {
        let kind = kind(transition, trained, plan.infer_unseen_training);
        match (kind, row) {
            (None, None) => true,
            (Some(kind), Some(row)) if kind == row.kind => {
                let avatar = &transition.avatar_id;
                let event = Expected { id: &row.id, kind, avatar, plan };
                oracle_delivery::is_notified_as(history, &event)
            }
            (_, _) => false,
        }
    };
    let first = &history.plans[poll.plan];
    let plans = history.polls.iter().filter(same).map(|poll| &history.plans[poll.plan]);
    if poll.disowned { plans.into_iter().find(explains).unwrap_or(first) } else { first }
}

/// The table of the events, as the product's page has it.
fn kind(transition: &Transition, trained: Trained, infer: bool) -> Option<&'static str> {
    transition.previous.status()?;
    let settled = match transition.status.name() {
        "IDLE" => "avatar.ready",
        "TRAINING_FAILED" => "avatar.training_failed",
        "REFUSED" => "avatar.refused",
        _ => return Some("avatar.status_changed"),
    };
    let notified = trained != Trained::No || infer;
    Some(if notified { settled } else { "avatar.status_changed" })
}

/// I9: after the faults have stopped, the record is up to date and nothing is in flight.
fn settled(history: &History, violations: &mut Vec<String>) {
    for (avatar, status) in &history.statuses {
        let last = history.transitions.iter().rfind(|t| t.avatar_id == *avatar);
        if last.map(|last| &last.status) != Some(status) {
            violations.push(format!("I9 `{avatar}` is {status}, which is not recorded"));
        }
    }
    for delivery in &history.deliveries {
        let (id, state) = (&delivery.row.id, delivery.row.state.as_str());
        if !matches!(state, "delivered" | "dead" | "resent" | "cancelled") {
            violations.push(format!("I9 delivery `{id}` is still {state}: {:?}", delivery.row));
        }
    }
}
