//! Log lines of several loops: writes that fail or recover, and conditions.

use tracing::{error, info, warn};

use crate::daemon::context::DaemonContext;
use crate::daemon::logging::log_throttle::{Key, Resolution};
use crate::daemon::ports::Clock;
use crate::domain::condition::{ConditionSubject, Phase};
use crate::domain::event::{Event, Subject};
use crate::domain::status_report::NAME_CHARS_MAX;
use crate::store::error::StoreError;
use crate::text::sanitize::sanitize_line;

/// Logs that the store cannot write `what` yet.
pub(crate) fn log_write_failed<C: Clock>(
    context: &DaemonContext<C>,
    what: &'static str,
    failure: &StoreError,
) {
    let now = context.clock.monotonic();
    if let Some(emission) = context.throttle.record(Key::Store(what), what, now) {
        let (suppressed, text) =
            (emission.suppressed(), format!("cannot write {what} yet; will retry: {failure}"));
        // Someone has to free space.
        match matches!(failure, StoreError::NoSpace { .. }) {
            true => error!(suppressed, "{text}"),
            false => warn!(suppressed, "{text}"),
        }
    }
}

/// Logs that the store writes `what` again, if the failure was logged.
pub(crate) fn log_write_recovered<C: Clock>(context: &DaemonContext<C>, what: &'static str) {
    let now = context.clock.monotonic();
    if let Resolution::Logged(emission) = context.throttle.resolve(&Key::Store(what), now) {
        info!(suppressed = emission.suppressed(), "writing {what} recovered {emission}");
    }
}

/// Logs which deliveries became dead letters, if the event is about them.
pub(crate) fn log_dead_letters(event: &Event) {
    let Subject::DeadLetter(group) = &event.subject else { return };
    let (channel, count) = (&group.first.channel, group.count());
    let messages = if count == 1 { "message" } else { "messages" };
    warn!(
        event.id = %event.id, channel = %channel, count,
        "{count} {messages} to channel `{channel}` became dead letters: {}", group.first.reason
    );
}

/// Logs that a condition fires or is resolved.
pub(crate) fn log_condition(event: &Event) {
    let Subject::Condition(condition) = &event.subject else { return };
    let kind = event.kind;
    let subject = match &condition.subject {
        ConditionSubject::Avatar { id, .. } => id.to_string(),
        ConditionSubject::Account { .. }
        | ConditionSubject::Config
        | ConditionSubject::Channel { .. } => event.ordering_key().to_string(),
    };
    let reason = condition.reason.as_deref().map(|it| format!(": {it}")).unwrap_or_default();
    let name = match &condition.subject {
        ConditionSubject::Avatar { name: Some(name), .. } => {
            format!(" ({})", sanitize_line(name, NAME_CHARS_MAX))
        }
        ConditionSubject::Avatar { name: None, .. }
        | ConditionSubject::Account { .. }
        | ConditionSubject::Config
        | ConditionSubject::Channel { .. } => String::new(),
    };
    match condition.phase {
        Phase::Firing => {
            warn!(
                event.id = %event.id, subject = %subject,
                "{kind} firing for `{subject}`{name}{reason}"
            );
        }
        Phase::Reminder => {
            info!(event.id = %event.id, subject = %subject, "{kind} still firing for `{subject}`");
        }
        Phase::Resolved => {
            info!(event.id = %event.id, subject = %subject, "{kind} resolved for `{subject}`{name}")
        }
    }
}
