//! Retention: removes old rows in small steps between the writer's other work.
//!
//! An interrupted pass loses nothing; the next one starts over. The store decides which rows may be
//! removed.

use std::sync::Arc;
use std::time::Duration;

use tokio::select;
use tokio::sync::watch;
use tracing::{info, warn};

use crate::daemon::background::config::BackgroundConfig;
use crate::daemon::context::DaemonContext;
use crate::daemon::ports::Clock;
use crate::daemon::supervision::shutdown::Shutdown;
use crate::domain::retention::StepSize;
use crate::domain::time::monotonic::Monotonic;
use crate::store::error::{Recovery, StoreError};
use crate::store::retention::{PruneCursor, Pruned};

/// Runs retention passes until a stop is requested. A reload that changes `keep_…` starts one.
pub(crate) async fn run<C: Clock>(
    DaemonContext { store, clock, .. }: DaemonContext<C>,
    mut configs: watch::Receiver<Arc<BackgroundConfig>>,
    stop: Shutdown,
) -> Result<(), StoreError> {
    let mut retention = configs.borrow_and_update().retention;
    let mut next_at = clock.monotonic().plus(FIRST_AFTER);
    let mut size = StepSize::default();
    loop {
        select! {
            biased;
            () = stop.graceful.cancelled() => return Ok(()),
            Ok(()) = configs.changed() => {
                let now = configs.borrow_and_update().retention;
                if now != retention {
                    (retention, next_at) = (now, clock.monotonic());
                }
                continue;
            }
            () = clock.sleep_until(next_at) => {}
        }
        let cutoffs = retention.cutoffs(clock.now());
        next_at = clock.monotonic().plus(PASS_EVERY);
        if cutoffs.is_none() {
            continue;
        }
        let mut removed = Pruned { next: Some(PruneCursor::default()), ..Pruned::default() };
        while let Some(cursor) = removed.next {
            let begun = clock.monotonic();
            let step = store.prune(cutoffs, cursor, size).await;
            size = size.after(clock.monotonic().since(begun));
            match step {
                Ok(pruned) => removed = removed.and(pruned),
                Err(failure) if failure.next_step() == Recovery::Retry => {
                    warn!("retention pass stopped: {failure}");
                    break;
                }
                Err(failure) => return Err(failure),
            }
            select! {
                biased;
                () = stop.graceful.cancelled() => return Ok(()),
                () = pause(&clock) => {}
            }
        }
        log_pruned(removed);
    }
}

async fn pause<C: Clock>(clock: &C) {
    let until: Monotonic = clock.monotonic().plus(PAUSE);
    clock.sleep_until(until).await;
}

fn log_pruned(removed: Pruned) {
    let Pruned { events, deliveries, transitions, .. } = removed;
    if removed.rows() > 0 {
        info!(
            events,
            deliveries,
            transitions,
            "removed expired rows: {events} events, {deliveries} deliveries, {transitions} \
             transitions"
        );
    }
}

/// Delay of the first pass: by then the start is over, and a clock that was wrong at boot has most
/// likely been set.
const FIRST_AFTER: Duration = Duration::from_mins(5);
const PASS_EVERY: Duration = Duration::from_hours(1);
/// Pause between two steps, for other users of the writer.
const PAUSE: Duration = Duration::from_millis(40);
