//! Long computations of the daemon, such as reading a config with many avatars. They run on a
//! thread of their own, so that polls and deliveries go on.

use std::panic::resume_unwind;

/// Runs `work` on a blocking thread. A panic in it continues here.
pub(in crate::daemon) async fn on_blocking_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        // It is never cancelled: only a panic is an error.
        Err(failure) => resume_unwind(failure.into_panic()),
    }
}
