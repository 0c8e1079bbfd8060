//! The check of a large database after an unclean end, beside the loops: a start must not wait for
//! minutes until all of it is read.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::spawn_blocking;
use tracing::{info, warn};

use crate::daemon::supervision::shutdown::Shutdown;
use crate::store::error::StoreError;
use crate::store::sqlite::remaining_check::RemainingCheck;

/// Checks the database unless `is_checked`, and sets that; then waits until a stop is requested. A
/// stop during the check leaves it to the next start.
///
/// # Errors
/// [`StoreError::Damaged`], which ends the daemon.
pub(crate) async fn run(
    database: PathBuf,
    is_checked: Arc<AtomicBool>,
    stop: Shutdown,
) -> Result<(), StoreError> {
    if !is_checked.load(Ordering::Relaxed) {
        match check(database, &stop).await {
            Ok(()) => {
                is_checked.store(true, Ordering::Relaxed);
                info!("the check of the database is complete; it is intact");
            }
            Err(failure @ StoreError::Damaged(..)) => return Err(failure),
            Err(StoreError::Interrupted(_)) => {}
            Err(failure) => {
                warn!("the check of the database failed: {failure}; run `avatar-watch db verify`");
            }
        }
    }
    stop.graceful.cancelled().await;
    Ok(())
}

async fn check(database: PathBuf, stop: &Shutdown) -> Result<(), StoreError> {
    let check = RemainingCheck::open(&database)?;
    let interrupt = check.stop();
    let mut checking = spawn_blocking(move || check.run());
    let checked = tokio::select! {
        checked = &mut checking => checked,
        () = stop.graceful.cancelled() => {
            interrupt();
            checking.await
        }
    };
    // A panic was reported by the hook.
    checked.unwrap_or(Err(StoreError::Stopped))
}
