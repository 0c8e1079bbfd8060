//! Logs that polling avatars fails and recovers: an avatar that fails alone by its name, several of
//! an account together, so that an outage is not one line for each avatar.

use tracing::{info, warn};

use crate::daemon::config::runtime_config::WatchedAvatar;
use crate::daemon::context::DaemonContext;
use crate::daemon::logging::avatar_label::avatar_label;
use crate::daemon::logging::failing_avatars::NoLongerFailing;
use crate::daemon::logging::log_throttle::{Key, Resolution};
use crate::daemon::ports::Clock;
use crate::domain::account::AccountName;
use crate::domain::avatar::AvatarId;
use crate::domain::polling::poll_failure::FailureKind;
use crate::domain::polling::watch::Watch;

/// Logs that polling an avatar fails or has recovered.
pub(super) fn log_reachability<C: Clock>(
    context: &DaemonContext<C>,
    watched: &WatchedAvatar,
    before: &Watch,
    after: &Watch,
    reason: Option<&str>,
) {
    match &after.failure {
        Some(failure) => {
            let reason = reason.unwrap_or(&failure.reason);
            log_failure(context, watched, after, failure.kind, reason);
        }
        None if before.failure.is_some() => {
            log_recovery(context, &after.id, &avatar_label(watched, after));
        }
        None => {}
    }
}

/// Logs the recovery of an account when the last of its failing avatars is no longer watched.
pub(super) fn forget<C: Clock>(context: &DaemonContext<C>, id: &AvatarId) {
    if let Some(NoLongerFailing { account, is_last: true }) = context.failing.remove(id) {
        log_account_recovery(context, &account);
    }
}

fn log_failure<C: Clock>(
    context: &DaemonContext<C>,
    watched: &WatchedAvatar,
    watch: &Watch,
    kind: FailureKind,
    reason: &str,
) {
    let (account, id, label) = (&watched.account, &watch.id, avatar_label(watched, watch));
    let now = context.clock.monotonic();
    // Only the avatar itself can be missing.
    let failing = if kind == FailureKind::Missing { 1 } else { context.failing.add(account, id) };
    let kind = kind.name();
    if failing > 1 {
        let key = Key::Polling(account.clone());
        if let Some(emission) = context.throttle.record(key, kind, now) {
            warn!(
                account = %account, failure = kind, suppressed = emission.suppressed(),
                "polling avatars of account `{account}` fails ({failing} so far): {reason}"
            );
        }
    } else if let Some(emission) = context.throttle.record(Key::Avatar(id.clone()), kind, now) {
        warn!(
            avatar.id = %id, failure = kind, suppressed = emission.suppressed(),
            "polling {label} failed: {reason}"
        );
    }
}

fn log_recovery<C: Clock>(context: &DaemonContext<C>, id: &AvatarId, label: &str) {
    let now = context.clock.monotonic();
    let was_failing = context.failing.remove(id);
    match (context.throttle.resolve(&Key::Avatar(id.clone()), now), &was_failing) {
        (Resolution::Logged(emission), _) => info!(
            avatar.id = %id, suppressed = emission.suppressed(),
            "polling {label} recovered {emission}"),
        // It failed before the start of this process.
        (Resolution::Unknown, None) => info!(avatar.id = %id, "polling {label} recovered"),
        (Resolution::Unknown, Some(_)) | (Resolution::Suppressed, _) => {}
    }
    if let Some(NoLongerFailing { account, is_last: true }) = was_failing {
        log_account_recovery(context, &account);
    }
}

fn log_account_recovery<C: Clock>(context: &DaemonContext<C>, account: &AccountName) {
    let key = Key::Polling(account.clone());
    if let Resolution::Logged(emission) = context.throttle.resolve(&key, context.clock.monotonic())
    {
        info!(
            account = %account, suppressed = emission.suppressed(),
            "polling all avatars of account `{account}` recovered {emission}"
        );
    }
}
