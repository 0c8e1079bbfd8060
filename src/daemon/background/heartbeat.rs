//! Heartbeat: reports to an external service that the daemon is healthy or unhealthy.
//!
//! It runs on a task of its own and delays no other. A dead process or a blocked runtime sends no
//! heartbeat, which is what the service alerts on. The status is derived from what the loops last
//! did.

use std::sync::Arc;
use std::time::Duration;

use tokio::select;
use tokio::sync::watch;
use tracing::{info, warn};

use crate::daemon::background::config::{BackgroundConfig, HeartbeatConfig};
use crate::daemon::context::DaemonContext;
use crate::daemon::logging::log_throttle::{Key, Resolution};
use crate::daemon::ports::{Clock, sleep_until};
use crate::daemon::stats::DaemonStats;
use crate::daemon::supervision::shutdown::Shutdown;
use crate::domain::time::monotonic::Monotonic;
use crate::notify::heartbeat::HeartbeatStatus;

pub(crate) async fn run<C: Clock>(
    DaemonContext { store, clock, throttle, .. }: DaemonContext<C>,
    stats: Arc<DaemonStats>,
    mut configs: watch::Receiver<Arc<BackgroundConfig>>,
    stop: Shutdown,
) {
    let mut config = configs.borrow_and_update().heartbeat.clone();
    let mut next_at = clock.monotonic();
    // The last reported status.
    let mut reported = HeartbeatStatus::Healthy;
    loop {
        select! {
            biased;
            () = stop.graceful.cancelled() => return,
            Ok(()) = configs.changed() => {
                config = configs.borrow_and_update().heartbeat.clone();
                continue;
            }
            () = sleep_until(&clock, config.as_ref().map(|_| next_at)) => {}
        }
        let Some(HeartbeatConfig { heartbeat, every }) = &config else { continue };
        if !stats.liveness.has_begun() {
            next_at = clock.monotonic().plus(START_DELAY);
            continue;
        }
        next_at = clock.monotonic().plus(*every);
        let status = match failure_reason(&stats, store.can_write(), clock.monotonic()) {
            None => HeartbeatStatus::Healthy,
            Some(reason) => {
                if reported == HeartbeatStatus::Healthy {
                    warn!("reporting unhealthy to the heartbeat service: {reason}");
                }
                HeartbeatStatus::Unhealthy
            }
        };
        if (reported, status) == (HeartbeatStatus::Unhealthy, HeartbeatStatus::Healthy) {
            info!("reporting healthy to the heartbeat service again");
        }
        reported = status;
        let sent = select! {
            biased;
            () = stop.graceful.cancelled() => return,
            sent = heartbeat.send(status) => sent,
        };
        let now = clock.monotonic();
        match &sent {
            Ok(()) => {
                if let Resolution::Logged(emission) = throttle.resolve(&Key::Heartbeat, now) {
                    let suppressed = emission.suppressed();
                    info!(suppressed, "sending the heartbeat recovered {emission}");
                }
            }
            Err(failure) => {
                if let Some(emission) = throttle.record(Key::Heartbeat, SENDING, now) {
                    let suppressed = emission.suppressed();
                    warn!(suppressed, "sending the heartbeat failed: {failure}");
                }
            }
        }
    }
}

fn failure_reason(stats: &DaemonStats, can_write: bool, now: Monotonic) -> Option<String> {
    let (accounts, unavailable) = (stats.accounts.get(), stats.accounts_unavailable.get());
    if let Some(stall) = stats.liveness.stalled(now) {
        Some(format!("{} is stalled", stall.part))
    } else if !can_write {
        Some("the database is not writable".to_owned())
    } else if accounts > 0 && unavailable >= accounts {
        Some("all accounts are unavailable".to_owned())
    } else {
        None
    }
}

const SENDING: &str = "sending";
/// Delay before checking again whether the loops have started.
const START_DELAY: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::supervision::liveness::Loop;

    #[test]
    fn healthy_while_both_loops_run_one_account_is_available_and_the_store_writes() {
        let stats = DaemonStats::default();
        let at = |seconds| Monotonic::default().plus(Duration::from_secs(seconds));
        let check = |can_write, seconds, expected: Option<&str>| {
            assert_eq!(failure_reason(&stats, can_write, at(seconds)).as_deref(), expected);
        };
        let tick = |one, seconds| stats.liveness.tick(one, at(seconds));
        assert!(!stats.liveness.has_begun());
        tick(Loop::Poller, 0);
        tick(Loop::Dispatcher, 0);
        assert!(stats.liveness.has_begun());
        check(true, 120, None);
        check(true, 121, Some("the poller is stalled"));
        tick(Loop::Poller, 121);
        check(true, 121, Some("the dispatcher is stalled"));
        tick(Loop::Dispatcher, 121);
        check(false, 121, Some("the database is not writable"));
        stats.accounts.set(2);
        stats.accounts_unavailable.set(1);
        check(true, 121, None);
        stats.accounts_unavailable.set(2);
        check(true, 121, Some("all accounts are unavailable"));
    }
}
