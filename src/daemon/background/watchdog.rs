//! Watchdog: sends keep-alives to systemd while every part makes progress. A timer alone would
//! continue while the work hangs.

use std::sync::Arc;
use std::time::Duration;

use tracing::{error, info};

use crate::daemon::ports::Clock;
use crate::daemon::stats::DaemonStats;

/// Calls `alive` three times per `limit`, unless a part is stalled; at most once per `PAUSE_MIN`.
pub async fn watch<C: Clock>(stats: Arc<DaemonStats>, clock: C, limit: Duration, alive: impl Fn()) {
    let mut reported = None;
    loop {
        let now = clock.monotonic();
        let stall = stats.liveness.stalled(now);
        let part = stall.map(|stall| stall.part);
        match (stall, reported) {
            (Some(stall), _) if part != reported => {
                let seconds = now.since(stall.since).as_secs();
                error!(
                    seconds,
                    "{} has stalled for {seconds} s; systemd is about to kill the process",
                    stall.part
                );
            }
            (None, Some(part)) => info!("{part} recovered"),
            (Some(_) | None, _) => {}
        }
        reported = part;
        if stall.is_none() {
            alive();
        }
        clock.sleep_until(now.plus((limit / 3).max(PAUSE_MIN))).await;
    }
}

/// Minimum pause, for limits that are too short to keep.
const PAUSE_MIN: Duration = Duration::from_millis(10);
