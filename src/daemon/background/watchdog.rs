//! The watchdog: tells whoever watches the service that it lives, for as long as everything in it
//! moves. A timer alone proves nothing: it goes on when the work hangs.

use std::sync::Arc;
use std::time::Duration;

use tracing::{error, info};

use crate::daemon::background::stats::DaemonStats;
use crate::daemon::ports::Clock;

/// Calls `alive` three times in each `limit`, but not while a part is stuck, and not so often that
/// there is time for nothing else.
pub async fn watch<C: Clock>(stats: Arc<DaemonStats>, clock: C, limit: Duration, alive: impl Fn()) {
    let mut told = None;
    loop {
        let now = clock.monotonic();
        let stuck = stats.liveness.stalled(now);
        let part = stuck.map(|stuck| stuck.part);
        match (stuck, told) {
            (Some(stuck), _) if part != told => {
                let seconds = now.since(stuck.since).as_secs();
                error!(
                    seconds,
                    "{} has not moved for {seconds} s: we are about to be killed", stuck.part
                );
            }
            (None, Some(part)) => info!("{part} moves again"),
            (Some(_) | None, _) => {}
        }
        told = part;
        if stuck.is_none() {
            alive();
        }
        clock.sleep_until(now.plus((limit / 3).max(PAUSE_MIN))).await;
    }
}

/// A limit that is shorter than it takes to get here cannot be kept.
const PAUSE_MIN: Duration = Duration::from_millis(10);
