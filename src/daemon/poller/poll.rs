//! One poll of one avatar: request, evaluate, write changes.
//!
//! An observation is written before any notification; while it cannot be written, the avatar is not
//! polled again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::select;
use tokio_util::sync::CancellationToken;
use tracing::{Span, debug, info, warn};

use crate::daemon::config::runtime_config::{RuntimeConfig, WatchedAvatar};
use crate::daemon::context::{DaemonContext, STORE_RETRY_DELAY};
use crate::daemon::logging::avatar_label::avatar_label;
use crate::daemon::logging::log::{log_condition, log_write_recovered};
use crate::daemon::logging::log_throttle::Key;
use crate::daemon::poller::failure_log::log_reachability;
use crate::daemon::ports::{AvatarSource, Clock, Notifier};
use crate::domain::account::AccountName;
use crate::domain::avatar::status::Status;
use crate::domain::avatar::training::UsualDuration;
use crate::domain::avatar::transition::{Previous, Transition};
use crate::domain::event::{Event, EventKind, Subject};
use crate::domain::polling::account_availability::AccountSignal;
use crate::domain::polling::forecast::Forecast;
use crate::domain::polling::observation::Observation;
use crate::domain::polling::policy::{Origin, Policy};
use crate::domain::polling::watch::{Decision, Watch};
use crate::domain::random::RandomBits;
use crate::domain::routing::facts::AvatarFacts;
use crate::domain::time::monotonic::Monotonic;
use crate::domain::time::timestamp::Timestamp;
use crate::runtime::event_bus::LiveEvent;
use crate::store::error::StoreError;
use crate::store::handle::{NewEvent, ObservationCommit};

/// Input of a poll besides the config and the watch.
#[derive(Clone, Debug)]
pub struct PollInput {
    /// The config of the avatar.
    pub watched_avatar: Arc<WatchedAvatar>,
    /// Whether complete lists lacked it before.
    pub is_new: bool,
    /// Whether it was discovered and is not stored yet.
    pub discovered: bool,
    /// When a poll with its account last succeeded.
    pub account_last_success_at: Option<Timestamp>,
    /// Forecast for trainings of its model.
    pub forecast: Option<Arc<Forecast>>,
    /// The usual duration of trainings of its model.
    pub usual: Option<UsualDuration>,
}

/// Result of a poll.
#[derive(Debug)]
pub struct PollResult {
    /// The watch after the poll.
    pub watch: Watch,
    /// What the response says about the account; `None` without a request of its own.
    pub signal: Option<AccountSignal>,
    /// When the request was sent.
    pub asked_at: Monotonic,
    /// Whether the watch changed.
    pub changed: bool,
    /// The transition that was stored, if any.
    pub transition: Option<Transition>,
    /// Delay until the next poll; `None` for never.
    pub next_poll_in: Option<Duration>,
    /// The observation that could not be written, and the error.
    pub pending_write: Option<(Box<PendingWrite>, StoreError)>,
}

/// An observation that is not stored yet. It must be written before the avatar is polled again.
#[derive(Debug)]
pub struct PendingWrite {
    watched_avatar: Arc<WatchedAvatar>,
    before: Watch,
    decision: Decision,
    change: ObservationCommit,
    /// Why no channel gets the event of the transition, if there are channels and none does.
    unreached: Option<String>,
    /// The span of the poll.
    pub(in crate::daemon) span: Span,
}

/// Result of an evaluation.
#[derive(Debug)]
pub enum Evaluation {
    /// No change: the watch and the delay until the next poll.
    Unchanged(Box<Watch>, Option<Duration>),
    /// A change to write.
    Changed(Box<PendingWrite>),
}

/// Polls the avatar of `watch`. The observation is discarded if `stale` was set during the request,
/// because account or key changed. `cancel` stops the request, but never a write.
pub async fn poll_avatar<S, N, C>(
    context: DaemonContext<C>,
    config: Arc<RuntimeConfig<S, N>>,
    source: Arc<S>,
    input: PollInput,
    watch: Watch,
    stale: Arc<AtomicBool>,
    cancel: CancellationToken,
) -> PollResult
where
    S: AvatarSource,
    N: Notifier,
    C: Clock,
{
    let asked_at = context.clock.monotonic();
    let observation = select! {
        biased;
        observation = source.poll(&watch.id, context.clock.now()) => observation,
        () = cancel.cancelled() => {
            return PollResult::unchanged(watch, asked_at, Some(Duration::ZERO));
        }
    };
    let elapsed = context.clock.monotonic().since(asked_at);
    context.metrics.record_poll(&input.watched_avatar.account, &observation, elapsed);
    if stale.load(Ordering::Relaxed) {
        return PollResult::unchanged(watch, asked_at, Some(Duration::ZERO));
    }
    let account_signal = Some(AccountSignal::of(&observation, &watch));
    let polled = match evaluate(&context, &config, &input, watch, observation, asked_at) {
        Evaluation::Unchanged(watch, next_poll_in) => {
            PollResult::unchanged(*watch, asked_at, next_poll_in)
        }
        Evaluation::Changed(pending) => write(&context, pending, asked_at).await,
    };
    PollResult { signal: account_signal, ..polled }
}

/// Evaluates an observation of `watch` that was requested at `asked_at`.
pub fn evaluate<S, N: Notifier, C: Clock>(
    context: &DaemonContext<C>,
    config: &RuntimeConfig<S, N>,
    input: &PollInput,
    watch: Watch,
    observation: Observation,
    asked_at: Monotonic,
) -> Evaluation {
    let now = context.clock.now();
    // Uses the monotonic clock, because the wall clock may have been set.
    let asked_at = now.minus(context.clock.monotonic().since(asked_at));
    let random = context.rng.next_bits();
    log_observation(&input.watched_avatar, &watch, &observation);
    if let Observation::Seen(avatar) = &observation {
        context.last_seen.record(&watch.id, asked_at, avatar.thumbnail_url.as_deref());
    }
    let reason = observation.reason().map(str::to_owned);
    let before = watch.clone();
    let decision = watch.observe(observation, now, &policy(config, input, asked_at), random);
    if !decision.changed && !input.discovered {
        let Decision { watch, next_poll_in, .. } = decision;
        log_reachability(context, &input.watched_avatar, &before, &watch, reason.as_deref());
        return Evaluation::Unchanged(Box::new(watch), next_poll_in);
    }
    let change = change(config, input, &decision, now, random);
    let unreached = change.events.iter().find(|it| !it.has_deliveries());
    Evaluation::Changed(Box::new(PendingWrite {
        watched_avatar: Arc::clone(&input.watched_avatar),
        unreached: unreached.and_then(|it| {
            let facts = routing_facts(&input.watched_avatar, &decision.watch);
            config.unreached_reason(it.event.kind, &facts)
        }),
        before,
        decision,
        change,
        span: Span::current(),
    }))
}

/// Writes a pending observation again, with the same bytes. Afterwards the avatar is due at once,
/// because time has passed.
pub async fn retry_write<C: Clock>(
    context: DaemonContext<C>,
    pending: Box<PendingWrite>,
) -> PollResult {
    let asked_at = context.clock.monotonic();
    let polled = write(&context, pending, asked_at).await;
    let next_poll_in = if polled.changed { Some(Duration::ZERO) } else { polled.next_poll_in };
    PollResult { next_poll_in, ..polled }
}

/// Writes an observation.
pub async fn write<C: Clock>(
    context: &DaemonContext<C>,
    pending: Box<PendingWrite>,
    asked_at: Monotonic,
) -> PollResult {
    match context.store.commit(pending.change.clone()).await {
        Ok(()) => {
            let PendingWrite { watched_avatar, before, decision, change, unreached, .. } = *pending;
            log_change(context, &watched_avatar, &before, &decision);
            if let Some(reason) = unreached {
                log_unreached(context, &watched_avatar, &change, &reason);
            }
            log_write_recovered(context, CHANGES);
            publish(context, &decision, &change);
            let Decision { watch, transition, next_poll_in, .. } = decision;
            let polled = PollResult::unchanged(watch, asked_at, next_poll_in);
            PollResult { changed: true, transition, ..polled }
        }
        Err(failure) => {
            let watch = pending.before.clone();
            let polled = PollResult::unchanged(watch, asked_at, Some(STORE_RETRY_DELAY));
            PollResult { pending_write: Some((pending, failure)), ..polled }
        }
    }
}

/// Writes the baselines of an account's first complete list, all or none.
///
/// # Errors
/// When the store cannot write them.
pub async fn write_baseline<C: Clock>(
    context: &DaemonContext<C>,
    found: Vec<Box<PendingWrite>>,
    account: &AccountName,
    asked_at: Monotonic,
) -> Result<Vec<PollResult>, StoreError> {
    let changes = found.iter().map(|pending| pending.change.clone()).collect();
    context.store.commit_first_list(changes, account.clone(), context.clock.now()).await?;
    // A baseline is no transition, but its status may fire a condition.
    found.iter().for_each(|pending| wake_dispatcher(context, &pending.change));
    let polled = |pending: Box<PendingWrite>| {
        log_change(context, &pending.watched_avatar, &pending.before, &pending.decision);
        let Decision { watch, next_poll_in, .. } = pending.decision;
        PollResult::unchanged(watch, asked_at, next_poll_in)
    };
    Ok(found.into_iter().map(polled).collect())
}

impl PendingWrite {
    /// The avatar, as log lines name it.
    pub(in crate::daemon) fn label(&self) -> String {
        avatar_label(&self.watched_avatar, &self.decision.watch)
    }
}

impl PollResult {
    fn unchanged(watch: Watch, asked_at: Monotonic, next_poll_in: Option<Duration>) -> Self {
        Self {
            watch,
            signal: None,
            asked_at,
            changed: false,
            transition: None,
            next_poll_in,
            pending_write: None,
        }
    }
}

/// Enrolls a discovered avatar with its stored state, without an observation.
pub fn enroll<S, N: Notifier, C: Clock>(
    context: &DaemonContext<C>,
    config: &RuntimeConfig<S, N>,
    input: &PollInput,
    watch: Watch,
) -> Box<PendingWrite> {
    let decision = Decision {
        watch: watch.clone(),
        transition: None,
        events: Vec::new(),
        changed: true,
        next_poll_in: Some(Duration::ZERO),
    };
    let change = change(config, input, &decision, context.clock.now(), context.rng.next_bits());
    let watched_avatar = Arc::clone(&input.watched_avatar);
    let span = Span::current();
    let unreached = None;
    Box::new(PendingWrite { watched_avatar, before: watch, decision, change, unreached, span })
}

fn policy<'a, S, N>(
    config: &'a RuntimeConfig<S, N>,
    input: &'a PollInput,
    asked_at: Timestamp,
) -> Policy<'a> {
    let watched_avatar = &input.watched_avatar;
    Policy {
        intervals: &config.intervals,
        asked_at,
        infer_unseen_training: config.infer_unseen_training,
        origin: match &watched_avatar.assume {
            Some(assumed) => Origin::Assumed(assumed),
            None if input.is_new => Origin::New,
            None => Origin::Unknown,
        },
        label: watched_avatar.label.as_deref(),
        account: &watched_avatar.account,
        location: watched_avatar.location.as_ref(),
        overdue_after: watched_avatar.overdue_after,
        account_last_success_at: input.account_last_success_at,
        forecast: input.forecast.as_deref(),
        usual: input.usual,
    }
}

fn change<S, N: Notifier>(
    config: &RuntimeConfig<S, N>,
    input: &PollInput,
    decision: &Decision,
    now: Timestamp,
    random: RandomBits,
) -> ObservationCommit {
    let watched_avatar = &input.watched_avatar;
    let facts = routing_facts(watched_avatar, &decision.watch);
    let (events, conditions): (Vec<_>, Vec<_>) =
        decision.events.iter().cloned().partition(is_transition);
    let new_events = (0u64..).zip(events).map(|(number, event)| {
        let random = random.derive(EVENT_BITS + number);
        config.new_event(event, &[facts], now, random)
    });
    ObservationCommit {
        watch: decision.watch.clone(),
        transition: decision.transition.clone(),
        events: new_events.collect(),
        conditions,
        discovered: input.discovered.then(|| watched_avatar.account.clone()),
        now,
    }
}

/// What is known of an avatar for routing.
fn routing_facts<'a>(watched: &'a WatchedAvatar, watch: &'a Watch) -> AvatarFacts<'a> {
    let facts = watched.facts(watch.name.as_deref(), watch.model.as_deref());
    facts.polled(watch.observed.is_some())
}

fn publish<C>(context: &DaemonContext<C>, decision: &Decision, change: &ObservationCommit) {
    if let Some(transition) = &decision.transition {
        if transition.previous != Previous::Unknown {
            context.metrics.record_transition(transition);
        }
        let notified =
            change.events.iter().find(|it| is_transition(&it.event) && it.has_deliveries());
        let event = notified.map(|it| (it.event.id.clone(), it.event.kind));
        context
            .events
            .publish(|| LiveEvent::StatusChanged { transition: transition.clone(), event });
    }
    wake_dispatcher(context, change);
}

fn wake_dispatcher<C>(context: &DaemonContext<C>, change: &ObservationCommit) {
    if change.events.iter().any(NewEvent::has_deliveries) || !change.conditions.is_empty() {
        context.wakeup.notify_one();
    }
}

fn log_observation(watched: &WatchedAvatar, watch: &Watch, observation: &Observation) {
    let (id, label) = (&watch.id, avatar_label(watched, watch));
    match observation {
        Observation::Seen(avatar) => {
            let status = escaped(&avatar.status);
            debug!(avatar.id = %id, avatar.status = %status, "polled {label}");
        }
        Observation::Missing { reason }
        | Observation::Denied { reason, .. }
        | Observation::Throttled { reason, .. }
        | Observation::Failed { reason, .. } => {
            debug!(avatar.id = %id, "poll of {label} failed: {reason}");
        }
    }
}

fn log_change<C: Clock>(
    context: &DaemonContext<C>,
    watched: &WatchedAvatar,
    before: &Watch,
    decision: &Decision,
) {
    if let Some(transition) = &decision.transition {
        log_transition(
            &avatar_label(watched, &decision.watch),
            transition,
            decision.events.iter().find(|it| is_transition(it)).map(|event| event.kind),
        );
    }
    for event in decision.events.iter().filter(|it| !is_transition(it)) {
        log_condition(event);
    }
    let reason = decision.watch.failure.as_ref().map(|failure| failure.reason.as_str());
    log_reachability(context, watched, before, &decision.watch, reason);
}

const fn is_transition(event: &Event) -> bool {
    matches!(event.subject, Subject::Transition { .. })
}

fn log_transition(label: &str, transition: &Transition, kind: Option<EventKind>) {
    let id = &transition.avatar_id;
    let (to, shown) = (escaped(&transition.status), transition.status.display());
    let event = kind.map(EventKind::name);
    match transition.previous.status() {
        None => info!(avatar.id = %id, to_status = %to, "{label}: baseline {shown}"),
        Some(from) => info!(
            avatar.id = %id, from_status = %escaped(from), to_status = %to, event,
            "{label}: {} -> {shown}", from.display()
        ),
    }
}

/// Logs that an event is recorded and goes nowhere.
fn log_unreached<C: Clock>(
    context: &DaemonContext<C>,
    watched: &WatchedAvatar,
    change: &ObservationCommit,
    reason: &str,
) {
    let Some(NewEvent { event, .. }) = change.events.iter().find(|it| !it.has_deliveries()) else {
        return;
    };
    let (id, now) = (&change.watch.id, context.clock.monotonic());
    let key = Key::Routing(id.clone());
    if let Some(emission) = context.throttle.record(key, "unreached", now) {
        warn!(
            avatar.id = %id, event = event.kind.name(), suppressed = emission.suppressed(),
            "no channel receives {} of {}: {reason}",
            event.kind.name(), avatar_label(watched, &change.watch)
        );
    }
}

/// A status escaped for the log: an unrecognized one may contain anything.
fn escaped(status: &Status) -> String {
    status.name().escape_default().to_string()
}

/// Name of these writes in the log.
pub(in crate::daemon) const CHANGES: &str = "avatar changes";
/// Separates the random bits of a poll from those of its events.
const EVENT_BITS: u64 = 1 << 32;
