//! One look at one avatar: ask, decide, write what changed. A step, not a loop.
//!
//! What always holds: what was observed is on disk before anyone hears of it; while it cannot be
//! written, the avatar is not looked at again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::select;
use tokio_util::sync::CancellationToken;
use tracing::{Span, debug, info, warn};

use crate::daemon::background::log_throttle::{Key, Resolution};
use crate::daemon::context::DaemonContext;
use crate::daemon::ports::{AvatarSource, Clock, Notifier};
use crate::daemon::runtime_config::{RuntimeConfig, WatchedAvatar};
use crate::domain::account::AccountName;
use crate::domain::avatar::status::Status;
use crate::domain::avatar::training::Training;
use crate::domain::avatar::transition::{Previous, Transition};
use crate::domain::condition::Phase;
use crate::domain::event::{Event, EventKind, Subject};
use crate::domain::polling::connectivity::PollSignal;
use crate::domain::polling::forecast::Forecast;
use crate::domain::polling::observation::Observation;
use crate::domain::polling::watch::{Decision, Origin, Policy, Watch};
use crate::domain::random::RandomBits;
use crate::domain::time::monotonic::Monotonic;
use crate::domain::time::timestamp::Timestamp;
use crate::runtime::event_bus::LiveEvent;
use crate::runtime::last_seen::LastPoll;
use crate::store::error::StoreError;
use crate::store::handle::ObservationCommit;

/// What a look needs to know besides the plan and the watch.
#[derive(Clone, Debug)]
pub struct PollInput {
    /// How the avatar is registered.
    pub watched_avatar: Arc<WatchedAvatar>,
    /// Whether a whole list lacked it until now.
    pub is_new: bool,
    /// Whether a list showed it, and this is the first that is written of it.
    pub discovered: bool,
    /// When its account last showed any avatar.
    pub account_ok_at: Option<Timestamp>,
    /// What past trainings of its model tell about when to look.
    pub forecast: Option<Arc<Forecast>>,
}

/// What came of a look.
#[derive(Debug)]
pub struct PollResult {
    /// The watch as it is now.
    pub watch: Watch,
    /// What the answer says about the key; `None` when nobody was asked, or all at once.
    pub signal: Option<PollSignal>,
    /// When the API was asked.
    pub asked_at: Monotonic,
    /// Whether anything about the avatar changed.
    pub changed: bool,
    /// The training that ended, if one did.
    pub training: Option<Training>,
    /// How long to wait before the next look; `None` is never.
    pub next_poll_in: Option<Duration>,
    /// What was observed and could not be written, if so, and why.
    pub pending_write: Option<(Box<PendingWrite>, StoreError)>,
}

/// What was observed and is not on disk yet. Nobody has heard of it; it must be written before
/// the avatar is looked at again.
#[derive(Debug)]
pub struct PendingWrite {
    before: Watch,
    decision: Decision,
    change: ObservationCommit,
    /// The look that showed it.
    pub(in crate::daemon) span: Span,
}

/// What an observation means: nothing new, or something to write.
#[derive(Debug)]
pub enum Evaluation {
    /// The watch as it is now, and the wait before the next look.
    Unchanged(Box<Watch>, Option<Duration>),
    /// What is to be written.
    Changed(Box<PendingWrite>),
}

/// Looks at the avatar of `watch`. What was seen counts for nothing when `stale` was set
/// meanwhile: then it was asked with what is no longer the avatar's account or key. An order on
/// `cut` ends the asking, and never the writing of what was seen.
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
    let seen = select! {
        biased;
        seen = source.poll(&watch.id, context.clock.now()) => seen,
        () = cancel.cancelled() => return PollResult::unchanged(watch, asked_at, Some(Duration::ZERO)),
    };
    let elapsed = context.clock.monotonic().since(asked_at);
    context.metrics.record_poll(&input.watched_avatar.account, &seen, elapsed);
    if stale.load(Ordering::Relaxed) {
        return PollResult::unchanged(watch, asked_at, Some(Duration::ZERO));
    }
    let poll_signal = Some(PollSignal::of(&seen, &watch));
    let polled = match evaluate(&context, &config, &input, watch, seen, asked_at) {
        Evaluation::Unchanged(watch, next_poll_in) => {
            PollResult::unchanged(*watch, asked_at, next_poll_in)
        }
        Evaluation::Changed(pending) => write(&context, pending, asked_at).await,
    };
    PollResult { signal: poll_signal, ..polled }
}

/// What `seen`, observed just now and asked for at `asked_at`, means for the avatar of `watch`.
pub fn evaluate<S, N: Notifier, C: Clock>(
    context: &DaemonContext<C>,
    config: &RuntimeConfig<S, N>,
    input: &PollInput,
    watch: Watch,
    seen: Observation,
    asked_at: Monotonic,
) -> Evaluation {
    let now = context.clock.now();
    // By the steady clock, since the wall's may have been set meanwhile.
    let asked_at = now.minus(context.clock.monotonic().since(asked_at));
    let random = context.rng.next_bits();
    log_observation(&watch, &seen);
    if let Observation::Seen(avatar) = &seen {
        let thumbnail = avatar.thumbnail_url.clone();
        context.last_seen.record(&watch.id, LastPoll { seen_at: asked_at, thumbnail });
    }
    let reason = seen.reason().map(str::to_owned);
    let before = watch.clone();
    let decision = watch.observe(seen, now, &policy(config, input, asked_at), random);
    if !decision.changed && !input.discovered {
        let Decision { watch, next_poll_in, .. } = decision;
        log_reachability(context, &before, &watch, reason.as_deref());
        return Evaluation::Unchanged(Box::new(watch), next_poll_in);
    }
    let change = change(config, input, &decision, now, random);
    Evaluation::Changed(Box::new(PendingWrite { before, decision, change, span: Span::current() }))
}

/// Writes what was observed before; the same, to the byte, however often it is tried. What was
/// not written in its time makes the avatar due once it is: time has passed.
pub async fn retry_write<C: Clock>(
    context: DaemonContext<C>,
    pending: Box<PendingWrite>,
) -> PollResult {
    let asked_at = context.clock.monotonic();
    let polled = write(&context, pending, asked_at).await;
    let next_poll_in = if polled.changed { Some(Duration::ZERO) } else { polled.next_poll_in };
    PollResult { next_poll_in, ..polled }
}

/// Writes what was observed.
pub async fn write<C: Clock>(
    context: &DaemonContext<C>,
    pending: Box<PendingWrite>,
    asked_at: Monotonic,
) -> PollResult {
    match context.store.commit(pending.change.clone()).await {
        Ok(()) => {
            let PendingWrite { before, decision, change, .. } = *pending;
            log_change(context, &before, &decision);
            log_write_recovered(context, CHANGES);
            publish(context, &decision, &change);
            let Decision { watch, training, next_poll_in, .. } = decision;
            let polled = PollResult::unchanged(watch, asked_at, next_poll_in);
            PollResult { changed: true, training, ..polled }
        }
        Err(failure) => {
            let watch = pending.before.clone();
            let polled = PollResult::unchanged(watch, asked_at, Some(WRITE_RETRY_DELAY));
            PollResult { pending_write: Some((pending, failure)), ..polled }
        }
    }
}

/// Writes the baselines that the first whole list of an account shows, all of them or none.
///
/// # Errors
/// When they could not be written.
pub async fn write_baseline<C: Clock>(
    context: &DaemonContext<C>,
    found: Vec<Box<PendingWrite>>,
    account: &AccountName,
    asked_at: Monotonic,
) -> Result<Vec<PollResult>, StoreError> {
    let changes = found.iter().map(|pending| pending.change.clone()).collect();
    context.store.commit_first_list(changes, account.clone(), context.clock.now()).await?;
    // A baseline is no news, but it may be in a status that operators have to hear of.
    if found.iter().any(|it| it.change.events.iter().any(|it| !it.deliveries.is_empty())) {
        context.wakeup.notify();
    }
    let polled = |pending: Box<PendingWrite>| {
        log_change(context, &pending.before, &pending.decision);
        let Decision { watch, next_poll_in, .. } = pending.decision;
        PollResult::unchanged(watch, asked_at, next_poll_in)
    };
    Ok(found.into_iter().map(polled).collect())
}

impl PollResult {
    fn unchanged(watch: Watch, asked_at: Monotonic, next_poll_in: Option<Duration>) -> Self {
        Self {
            watch,
            signal: None,
            asked_at,
            changed: false,
            training: None,
            next_poll_in,
            pending_write: None,
        }
    }
}

/// Takes an avatar up that a list showed, as it is known from before: nothing is observed yet.
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
        training: None,
        changed: true,
        next_poll_in: Some(Duration::ZERO),
    };
    let change = change(config, input, &decision, context.clock.now(), context.rng.next_bits());
    Box::new(PendingWrite { before: watch, decision, change, span: Span::current() })
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
        location: watched_avatar.location.as_deref(),
        overdue_after: watched_avatar.overdue_after,
        account_ok_at: input.account_ok_at,
        forecast: input.forecast.as_deref(),
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
    let new_events = (0u64..).zip(&decision.events).map(|(number, event)| {
        let random = random.derive(EVENT_BITS + number);
        config.new_event(event.clone(), Some(watched_avatar), now, random)
    });
    ObservationCommit {
        watch: decision.watch.clone(),
        transition: decision.transition.clone(),
        training: decision.training.clone(),
        events: new_events.collect(),
        discovered: input.discovered.then(|| watched_avatar.account.clone()),
        now,
    }
}

fn publish<C>(context: &DaemonContext<C>, decision: &Decision, change: &ObservationCommit) {
    if let Some(transition) = &decision.transition {
        if transition.previous != Previous::Unknown {
            context.metrics.record_transition(&transition.status);
        }
        let told = change.events.iter().find(|it| {
            matches!(it.event.subject, Subject::Transition { .. }) && !it.deliveries.is_empty()
        });
        let event = told.map(|it| (it.event.id.clone(), it.event.kind));
        context
            .events
            .publish(|| LiveEvent::StatusChanged { transition: transition.clone(), event });
    }
    if change.events.iter().any(|it| !it.deliveries.is_empty()) {
        context.wakeup.notify();
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

fn log_change<C: Clock>(context: &DaemonContext<C>, before: &Watch, decision: &Decision) {
    let news = |event: &&Event| matches!(event.subject, Subject::Transition { .. });
    if let Some(transition) = &decision.transition {
        log_transition(transition, decision.events.iter().find(news).map(|event| event.kind));
    }
    for event in decision.events.iter().filter(|event| !news(event)) {
        log_condition(event);
    }
    let reason = decision.watch.failure.as_ref().map(|failure| failure.reason.as_str());
    log_reachability(context, before, &decision.watch, reason);
}

/// Says that an avatar is out of sight, or in sight again.
fn log_reachability<C: Clock>(
    context: &DaemonContext<C>,
    before: &Watch,
    after: &Watch,
    reason: Option<&str>,
) {
    let id = &after.id;
    let key = || Key::Avatar(id.clone());
    if let Some(failure) = &after.failure {
        let kind = failure.kind.name();
        let Some(said) = context.throttle.record(key(), kind, context.clock.monotonic()) else {
            return;
        };
        let reason = reason.unwrap_or(&failure.reason);
        warn!(
            avatar.id = %id, failure = kind, suppressed = said.suppressed(),
            "avatar `{id}` is out of sight: {reason}"
        );
    } else if before.failure.is_some() {
        match context.throttle.resolve(&key(), context.clock.monotonic()) {
            Resolution::Logged(said) => info!(
                avatar.id = %id, suppressed = said.suppressed(),
                "avatar `{id}` is in sight again, {said}"),
            Resolution::Unknown => info!(avatar.id = %id, "avatar `{id}` is in sight again"),
            Resolution::Suppressed => {}
        }
    }
}

/// Says that the store cannot write `what`, which is kept meanwhile.
pub fn log_write_failed<C: Clock>(
    context: &DaemonContext<C>,
    what: &'static str,
    failure: &StoreError,
) {
    let now = context.clock.monotonic();
    if let Some(said) = context.throttle.record(Key::Writing(what), what, now) {
        warn!(suppressed = said.suppressed(), "{what} are not written yet, and wait: {failure}");
    }
}

/// Says that the store writes `what` again, if it was said that it could not.
pub fn log_write_recovered<C: Clock>(context: &DaemonContext<C>, what: &'static str) {
    let now = context.clock.monotonic();
    if let Resolution::Logged(said) = context.throttle.resolve(&Key::Writing(what), now) {
        info!(suppressed = said.suppressed(), "{what} are written again, {said}");
    }
}

fn log_transition(transition: &Transition, kind: Option<EventKind>) {
    let id = &transition.avatar_id;
    let (to, shown) = (escaped(&transition.status), transition.status.display());
    let event = kind.map(EventKind::name);
    match transition.previous.status() {
        None => info!(avatar.id = %id, to_status = %to, "avatar `{id}` seen first: {shown}"),
        Some(from) => info!(
            avatar.id = %id, from_status = %escaped(from), to_status = %to, event,
            "avatar `{id}` went from {} to {shown}", from.display()
        ),
    }
}

/// Says that a condition began or ended.
pub fn log_condition(event: &Event) {
    let Subject::Condition(condition) = &event.subject else { return };
    let (kind, line) = (event.kind, event.line());
    let reason = condition.reason.as_deref().map(|it| format!(": {it}")).unwrap_or_default();
    match condition.phase {
        Phase::Started => {
            warn!(event.id = %event.id, subject = line, "{kind} has begun for `{line}`{reason}");
        }
        Phase::Resolved => {
            info!(event.id = %event.id, subject = line, "{kind} has ended for `{line}`")
        }
    }
}

/// A status as it may stand in a log: an unknown one can hold anything.
fn escaped(status: &Status) -> String {
    status.name().escape_default().to_string()
}

/// What the log calls the changes of avatars.
pub(in crate::daemon) const CHANGES: &str = "changes of avatars";
/// The wait before a change that could not be written is written again.
const WRITE_RETRY_DELAY: Duration = Duration::from_secs(5);
/// What keeps the rolls of one look apart from those of its events.
const EVENT_BITS: u64 = 1 << 32;
