//! Opens the store. A check or a migration of a large file takes long, so the start timeout of
//! systemd is extended meanwhile, up to a limit.

use std::panic::resume_unwind;
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use crate::daemon::background::systemd;
use crate::store::error::StoreError;
use crate::store::handle::Store;
use crate::store::writer::Writer;

/// Opens the store at `path` on a thread of its own; `boot_id` marks the claims of this process.
pub(crate) async fn open(path: &Path, boot_id: String) -> Result<(Store, Writer), StoreError> {
    let path = path.to_owned();
    let opened = tokio::task::spawn_blocking(move || open_and_report(&path, boot_id)).await;
    opened.unwrap_or_else(|failure| match failure.try_into_panic() {
        Ok(panic) => resume_unwind(panic),
        Err(_) => Err(StoreError::Stopped),
    })
}

fn open_and_report(path: &Path, boot_id: String) -> Result<(Store, Writer), StoreError> {
    let (opening, done) = mpsc::channel::<()>();
    thread::scope(|scope| {
        let report = move || {
            for _ in 0..REPORT_MAX {
                if done.recv_timeout(REPORT_EVERY) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
                systemd::extend_timeout("opening the database", REPORT_EVERY * 10);
            }
        };
        // If the thread cannot be spawned, the store is opened without reports.
        drop(thread::Builder::new().name("opening".to_owned()).spawn_scoped(scope, report));
        let opened = Store::open(path, boot_id);
        drop(opening);
        opened
    })
}

/// Interval between two reports; a tenth of the extension that each requests.
const REPORT_EVERY: Duration = Duration::from_secs(1);
/// Maximum number of reports: one hour, enough for several hundred gigabytes.
const REPORT_MAX: u32 = 3600;
