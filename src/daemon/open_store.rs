//! Opening the store, which takes long where a big file has to be checked or brought forward:
//! systemd hears that it goes on.
//!
//! What always holds: whoever opens for ever is not waited for for ever.

use std::panic::resume_unwind;
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use crate::daemon::background::systemd;
use crate::store::error::StoreError;
use crate::store::handle::Store;
use crate::store::writer::Writer;

/// Opens the store at `path`, on a thread of its own; `boot_id` marks this process's claims.
///
/// # Errors
/// As [`Store::open`].
pub async fn open(path: &Path, boot_id: String) -> Result<(Store, Writer), StoreError> {
    let path = path.to_owned();
    let opened = tokio::task::spawn_blocking(move || open_and_report(&path, boot_id)).await;
    opened.unwrap_or_else(|failure| match failure.try_into_panic() {
        Ok(panic) => resume_unwind(panic),
        Err(_) => Err(StoreError::Stopped),
    })
}

fn open_and_report(path: &Path, boot_id: String) -> Result<(Store, Writer), StoreError> {
    let (opening, waits) = mpsc::channel::<()>();
    thread::scope(|scope| {
        let tell = move || {
            for _ in 0..REPORT_MAX {
                if waits.recv_timeout(REPORT_EVERY) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
                systemd::still_starting("opening the database", REPORT_EVERY * 10);
            }
        };
        // Where there is no thread for it, the database is opened all the same.
        drop(thread::Builder::new().name("opening".to_owned()).spawn_scoped(scope, tell));
        let opened = Store::open(path, boot_id);
        drop(opening);
        opened
    })
}

/// How often it is told: so often that a slow machine does not miss it.
const REPORT_EVERY: Duration = Duration::from_secs(1);
/// How often it is told at most, an hour in all: enough for some hundred gigabytes.
const REPORT_MAX: u32 = 3600;
