//! Opens the store. A check or a migration of a large file takes long, so the start timeout of
//! systemd is extended meanwhile, up to a limit.

use std::panic::resume_unwind;
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use tracing::info;

use crate::daemon::background::systemd;
use crate::domain::random::RandomBits;
use crate::store::error::StoreError;
use crate::store::handle::Store;
use crate::store::sqlite::clean_shutdown::StartCheck;
use crate::store::writer::Writer;

/// Opens the store at `path` on a thread of its own, and logs whether it was created or checked;
/// `boot` marks the claims of this process.
pub(crate) async fn open(path: &Path, boot: RandomBits) -> Result<(Store, Writer), StoreError> {
    let is_new = std::fs::metadata(path).map_or(0, |file| file.len()) == 0;
    let (own_path, boot_id) = (path.to_owned(), format!("{:032x}", boot.bits()));
    let opened = tokio::task::spawn_blocking(move || open_and_report(&own_path, boot_id)).await;
    let (store, writer) = opened.unwrap_or_else(|failure| match failure.try_into_panic() {
        Ok(panic) => resume_unwind(panic),
        Err(_) => Err(StoreError::Stopped),
    })?;
    log_check(writer.check);
    if is_new {
        info!("created database `{}`", path.display());
    }
    Ok((store, writer))
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

/// Logs the result of the database check after an unclean shutdown.
fn log_check(check: StartCheck) {
    match check {
        StartCheck::Skipped => {}
        StartCheck::Passed => {
            info!("the last run did not stop cleanly; the database was checked and is intact");
        }
        StartCheck::TimedOut => {
            info!("the last run did not stop cleanly; the database is checked beside the daemon");
        }
    }
}

/// Interval between two reports; a tenth of the extension that each requests.
const REPORT_EVERY: Duration = Duration::from_secs(1);
/// Maximum number of reports: one hour, enough for several hundred gigabytes.
const REPORT_MAX: u32 = 3600;
