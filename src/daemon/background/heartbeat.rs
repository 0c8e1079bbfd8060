//! The heart: tells a service, again and again, that all is well, or that it is not.
//!
//! What always holds: it beats on a task of its own and holds up nobody; while the process is dead
//! or its thread is stuck it does not beat at all, which is what the service waits for. What a
//! beat tells is what the loops last did, not what they hope to.

use std::sync::Arc;
use std::time::Duration;

use tokio::select;
use tokio::sync::watch;
use tracing::{info, warn};

use crate::daemon::background::config::{BackgroundConfig, HeartbeatConfig};
use crate::daemon::background::log_throttle::{Key, LogThrottle, Resolution};
use crate::daemon::background::stats::DaemonStats;
use crate::daemon::ports::Clock;
use crate::daemon::shutdown::Shutdown;
use crate::domain::time::monotonic::Monotonic;
use crate::notify::heartbeat::HeartbeatStatus;
use crate::store::handle::Store;

/// Beats until told to stop; follows reloads.
pub async fn run<C: Clock>(
    store: Store,
    clock: C,
    stats: Arc<DaemonStats>,
    throttle: LogThrottle,
    mut chores: watch::Receiver<Arc<BackgroundConfig>>,
    stop: Shutdown,
) {
    let mut heart = chores.borrow_and_update().heartbeat.clone();
    let mut next_at = clock.monotonic();
    // The status that the service was last sent.
    let mut told = HeartbeatStatus::Healthy;
    loop {
        select! {
            biased;
            () = stop.graceful.cancelled() => return,
            Ok(()) = chores.changed() => {
                heart = chores.borrow_and_update().heartbeat.clone();
                continue;
            }
            () = sleep(&clock, heart.as_ref(), next_at) => {}
        }
        let Some(HeartbeatConfig { heartbeat, every }) = &heart else { continue };
        if !stats.liveness.has_begun() {
            next_at = clock.monotonic().plus(START_DELAY);
            continue;
        }
        next_at = clock.monotonic().plus(*every);
        let vital = match failure_reason(&stats, store.can_write(), clock.monotonic()) {
            None => HeartbeatStatus::Healthy,
            Some(ailment) => {
                if told == HeartbeatStatus::Healthy {
                    warn!("the heartbeat says that we are not well: {ailment}");
                }
                HeartbeatStatus::Unhealthy
            }
        };
        if (told, vital) == (HeartbeatStatus::Unhealthy, HeartbeatStatus::Healthy) {
            info!("the heartbeat says that we are well again");
        }
        told = vital;
        let beat = select! {
            biased;
            () = stop.graceful.cancelled() => return,
            beat = heartbeat.send(vital) => beat,
        };
        let now = clock.monotonic();
        match &beat {
            Ok(()) => {
                if let Resolution::Logged(line) = throttle.resolve(&Key::Heartbeat, now) {
                    info!(suppressed = line.suppressed(), "sending heartbeats recovered, {line}");
                }
            }
            Err(failure) => {
                if let Some(line) = throttle.record(Key::Heartbeat, SENDING, now) {
                    warn!(
                        suppressed = line.suppressed(),
                        "sending the heartbeat failed: {failure}"
                    );
                }
            }
        }
    }
}

/// Waits for the next beat; for ever where nobody hears it.
async fn sleep<C: Clock>(clock: &C, heart: Option<&HeartbeatConfig>, next_at: Monotonic) {
    match heart {
        Some(_) => clock.sleep_until(next_at).await,
        None => std::future::pending().await,
    }
}

/// What is wrong with us, if anything is.
fn failure_reason(stats: &DaemonStats, can_write: bool, now: Monotonic) -> Option<String> {
    let (keys, blind) = (stats.accounts.get(), stats.accounts_unavailable.get());
    if let Some(stuck) = stats.liveness.stalled(now) {
        Some(format!("{} does not move", stuck.part))
    } else if !can_write {
        Some("the database cannot be written".to_owned())
    } else if keys > 0 && blind >= keys {
        Some("no key can see anything".to_owned())
    } else {
        None
    }
}

const SENDING: &str = "sending";
/// How long the loops have to begin before they are asked again.
const START_DELAY: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::background::liveness::Loop;

    #[test]
    fn we_are_well_while_both_loops_move_one_key_sees_and_the_store_writes() {
        let stats = DaemonStats::default();
        let at = |seconds| Monotonic::default().plus(Duration::from_secs(seconds));
        let check = |can_write, seconds, expected: Option<&str>| {
            assert_eq!(failure_reason(&stats, can_write, at(seconds)).as_deref(), expected);
        };
        let channel_change = |one, seconds| stats.liveness.tick(one, at(seconds));
        assert!(!stats.liveness.has_begun());
        channel_change(Loop::Poller, 0);
        channel_change(Loop::Dispatcher, 0);
        assert!(stats.liveness.has_begun());
        check(true, 120, None);
        check(true, 121, Some("the poller does not move"));
        channel_change(Loop::Poller, 121);
        check(true, 121, Some("the dispatcher does not move"));
        channel_change(Loop::Dispatcher, 121);
        check(false, 121, Some("the database cannot be written"));
        stats.accounts.set(2);
        stats.accounts_unavailable.set(1);
        check(true, 121, None);
        stats.accounts_unavailable.set(2);
        check(true, 121, Some("no key can see anything"));
    }
}
