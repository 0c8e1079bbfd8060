//! The runtime of every command.

use std::io;
use std::thread;

use tokio::runtime::Builder;

/// Runs a future to its end on a runtime of one thread, because waking others up costs more than
/// the work. What is still under way in the background then, a look-up that hangs, say, keeps the
/// process from nothing.
///
/// # Errors
/// When the system refuses what it takes.
pub fn block_on<T>(future: impl Future<Output = T>) -> io::Result<T> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .build()?;
    // The pool for what blocks panics when it cannot start its first thread, and waits when it
    // cannot start another one. So there is always one, which does nothing; and what the system
    // refuses, it refuses here.
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

/// The unit allows 64 tasks in all (`TasksMax=`), and look-ups have threads of their own.
const BLOCKING_THREADS_MAX: usize = 24;
