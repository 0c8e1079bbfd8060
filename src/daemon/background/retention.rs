//! The janitor: removes what is old, in small steps between the writer's other work.
//!
//! What always holds: it never waits in anybody's way; a pass that is cut off loses nothing, and
//! the next begins anew. What may go is decided in the store, row by row.

use std::sync::Arc;
use std::time::Duration;

use tokio::select;
use tokio::sync::watch;
use tracing::{info, warn};

use crate::daemon::background::config::BackgroundConfig;
use crate::daemon::ports::Clock;
use crate::daemon::shutdown::Shutdown;
use crate::domain::time::monotonic::Monotonic;
use crate::store::error::{Recovery, StoreError};
use crate::store::handle::Store;
use crate::store::retention::{PruneCursor, Pruned};

/// Makes passes until told to stop. A reload that changes how long the past is kept begins one.
///
/// # Errors
/// When the store fails for good.
pub async fn run<C: Clock>(
    store: Store,
    clock: C,
    mut chores: watch::Receiver<Arc<BackgroundConfig>>,
    stop: Shutdown,
) -> Result<(), StoreError> {
    let mut retention = chores.borrow_and_update().retention;
    let mut next_at = clock.monotonic().plus(FIRST_AFTER);
    loop {
        select! {
            biased;
            () = stop.graceful.cancelled() => return Ok(()),
            Ok(()) = chores.changed() => {
                let now = chores.borrow_and_update().retention;
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
        while let Some(place) = removed.next {
            match store.prune(cutoffs, place).await {
                Ok(pruned) => removed = removed.and(pruned),
                Err(failure) if failure.next_step() == Recovery::Retry => {
                    warn!("what is old stays for now: {failure}");
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
            "removed what is older than the config keeps: {events} events, {deliveries} \
             deliveries, {transitions} changes"
        );
    }
}

/// The first pass waits until the start is over, and until a clock that was wrong at the boot has
/// most likely been set: what it takes for old must be so.
const FIRST_AFTER: Duration = Duration::from_mins(5);
const PASS_EVERY: Duration = Duration::from_hours(1);
/// Between two steps, for whoever else waits for the writer.
const PAUSE: Duration = Duration::from_millis(100);
