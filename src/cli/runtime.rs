//! The tokio runtime of every command.

use std::io;
use std::thread;

use tokio::runtime::Builder;

/// Runs a future on a runtime of one thread; waking other threads would cost more than the work.
/// Background work that is still running at the end, such as a hanging DNS query, does not delay
/// the exit.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> io::Result<T> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .build()?;
    // The blocking pool panics when it cannot start its first thread, and only waits when it
    // cannot start further ones. So start one idle thread here, where an error can be returned.
    thread::Builder::new().spawn(|| {})?.join().unwrap_or_default();
    runtime.spawn_blocking(|| {
        loop {
            thread::park();
        }
    });
    let result = runtime.block_on(future);
    runtime.shutdown_background();
    Ok(result)
}

/// The systemd unit allows 64 tasks in total (`TasksMax=`), and DNS queries use further threads.
const BLOCKING_THREADS_MAX: usize = 24;
