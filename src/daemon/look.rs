//! One look at one avatar: ask, decide, write what changed. A step, not a loop.
//!
//! What always holds: what was observed is on disk before anyone hears of it; while it cannot be
//! written, the avatar is not looked at again.

use std::sync::Arc;
use std::time::Duration;

use tracing::{debug, info, warn};

use crate::daemon::bell::Bell;
use crate::daemon::chance::Chance;
use crate::daemon::feed::{Feed, Happening};
use crate::daemon::plan::{Plan, Registration};
use crate::daemon::ports::{AvatarSource, Clock, Notifier};
use crate::domain::event::EventKind;
use crate::domain::key_gate::Welcome;
use crate::domain::moment::Moment;
use crate::domain::observation::Observation;
use crate::domain::roll::Roll;
use crate::domain::status::Status;
use crate::domain::timestamp::Timestamp;
use crate::domain::transition::Transition;
use crate::domain::watch::{Decision, Watch};
use crate::notify::format::standard;
use crate::store::error::StoreError;
use crate::store::handle::{Change, Store};

/// What a look works with besides the plan; clones share everything.
#[derive(Clone, Debug)]
pub struct Tools<C> {
    /// Where what changed is written.
    pub store: Store,
    /// The time.
    pub clock: C,
    /// Chance.
    pub chance: Chance,
    /// Rung when there is something to deliver.
    pub bell: Bell,
    /// Told what happened.
    pub feed: Feed,
}

/// What came of a look.
#[derive(Debug)]
pub struct Looked {
    /// The watch as it is now.
    pub watch: Watch,
    /// What the answer says about the key.
    pub welcome: Welcome,
    /// When the API was asked.
    pub asked_at: Moment,
    /// Whether anything about the avatar changed.
    pub changed: bool,
    /// How long to wait before the next look; `None` is never.
    pub next_poll_in: Option<Duration>,
    /// What was observed and could not be written, if so, and why.
    pub unwritten: Option<(Box<Unwritten>, StoreError)>,
}

/// What was observed and is not on disk yet. Nobody has heard of it; it must be written before
/// the avatar is looked at again.
#[derive(Debug)]
pub struct Unwritten {
    before: Watch,
    decision: Decision,
    change: Change,
}

/// Looks at the avatar of `watch`.
pub async fn look<S, N, C>(tools: Tools<C>, plan: Arc<Plan<S, N, C>>, watch: Watch) -> Looked
where
    S: AvatarSource,
    N: Notifier,
    C: Clock,
{
    let unregistered = Registration::default();
    let registration = plan.avatars.get(&watch.id).unwrap_or(&unregistered);
    let asked_at = tools.clock.moment();
    let seen = plan.source.look(&watch.id, tools.clock.now()).await;
    let now = tools.clock.now();
    let roll = tools.chance.roll();
    let welcome = Welcome::from(&seen);
    log_observation(&watch, &seen);

    let decision = watch.clone().observe(seen, now, &plan.policy(registration), roll);
    if !decision.changed {
        let Decision { watch, next_poll_in, .. } = decision;
        return Looked { watch, welcome, asked_at, changed: false, next_poll_in, unwritten: None };
    }
    let change = change(&plan, registration, &decision, now, roll);
    let unwritten = Box::new(Unwritten { before: watch, decision, change });
    write(&tools, unwritten, welcome, asked_at).await
}

/// Writes what an earlier look observed; the same, to the byte, as it would have written then.
/// Once it is written, the avatar is due: time has passed.
pub async fn write_again<C: Clock>(tools: Tools<C>, unwritten: Box<Unwritten>) -> Looked {
    let asked_at = tools.clock.moment();
    let looked = write(&tools, unwritten, Welcome::NoAnswer, asked_at).await;
    let next_poll_in = if looked.changed { Some(Duration::ZERO) } else { looked.next_poll_in };
    Looked { next_poll_in, ..looked }
}

async fn write<C: Clock>(
    tools: &Tools<C>,
    unwritten: Box<Unwritten>,
    welcome: Welcome,
    asked_at: Moment,
) -> Looked {
    match tools.store.commit(unwritten.change.clone()).await {
        Ok(()) => {
            let Unwritten { before, decision, change } = *unwritten;
            log_change(&before, &decision);
            announce(tools, &decision, !change.deliveries.is_empty());
            let Decision { watch, next_poll_in, .. } = decision;
            Looked { watch, welcome, asked_at, changed: true, next_poll_in, unwritten: None }
        }
        Err(failure) => {
            let watch = unwritten.before.clone();
            let next_poll_in = Some(UNWRITTEN_WAIT);
            let unwritten = Some((unwritten, failure));
            Looked { watch, welcome, asked_at, changed: false, next_poll_in, unwritten }
        }
    }
}

fn change<S, N: Notifier, C: Clock>(
    plan: &Plan<S, N, C>,
    registration: &Registration,
    decision: &Decision,
    now: Timestamp,
    roll: Roll,
) -> Change {
    let deliveries = decision
        .event
        .as_ref()
        .map(|event| plan.deliveries(registration, event, now, roll))
        .unwrap_or_default();
    let event = decision.event.clone().map(|event| {
        let body = standard::render(&event);
        (event, body)
    });
    Change {
        watch: decision.watch.clone(),
        transition: decision.transition.clone(),
        event,
        deliveries,
        now,
    }
}

fn announce<C>(tools: &Tools<C>, decision: &Decision, told: bool) {
    if let Some(transition) = &decision.transition {
        let event = decision.event.as_ref().filter(|_| told);
        let event = event.map(|event| (event.id.clone(), event.kind));
        tools.feed.tell(|| Happening::Changed { transition: transition.clone(), event });
    }
    if told {
        tools.bell.ring();
    }
}

fn log_observation(watch: &Watch, seen: &Observation) {
    let id = &watch.id;
    match seen {
        Observation::Seen(avatar) => {
            let status = escaped(&avatar.status);
            debug!(avatar.id = %id, avatar.status = %status, "looked at avatar `{id}`");
        }
        Observation::Missing { reason }
        | Observation::Denied { reason, .. }
        | Observation::Throttled { reason, .. }
        | Observation::Failed { reason, .. } => {
            debug!(avatar.id = %id, "could not see avatar `{id}`: {reason}");
        }
    }
}

fn log_change(before: &Watch, decision: &Decision) {
    let id = &decision.watch.id;
    if let Some(transition) = &decision.transition {
        log_transition(transition, decision.event.as_ref().map(|event| event.kind));
    }
    match (&before.trouble, &decision.watch.trouble) {
        (_, Some(trouble)) => {
            let (kind, reason) = (trouble.kind.name(), &trouble.reason);
            warn!(avatar.id = %id, trouble = kind, "avatar `{id}` is out of sight: {reason}");
        }
        (Some(_), None) => info!(avatar.id = %id, "avatar `{id}` is in sight again"),
        (None, None) => {}
    }
}

fn log_transition(transition: &Transition, kind: Option<EventKind>) {
    let id = &transition.avatar_id;
    let to = escaped(&transition.status);
    let event = kind.map(EventKind::name);
    match transition.previous.status().map(escaped) {
        None => info!(avatar.id = %id, to_status = %to, "avatar `{id}` seen first: {to}"),
        Some(from) => info!(
            avatar.id = %id, from_status = %from, to_status = %to, event,
            "avatar `{id}` went from {from} to {to}"
        ),
    }
}

/// A status as it may stand in a log: an unknown one can hold anything.
fn escaped(status: &Status) -> String {
    status.name().escape_debug().to_string()
}

/// The wait before a change that could not be written is written again.
const UNWRITTEN_WAIT: Duration = Duration::from_secs(5);
