//! The queues before standard output and standard error. A writer never blocks: a full pipe, a
//! stopped terminal or a journal that hangs blocks one thread, which does nothing but write there.
//!
//! Invariants: the order stays; a text that finds no room is dropped and counted, and a notice in
//! its position says how many were.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

/// The queue before one stream; clones are the same.
#[derive(Clone, Debug, Default)]
pub struct OutputQueue(Arc<QueueShared>);

#[derive(Debug, Default)]
struct QueueShared {
    // A std mutex: it is held for a few instructions, and never while something is written.
    state: Mutex<QueueState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct QueueState {
    /// The texts, each with the number that were dropped right before it.
    waiting: VecDeque<(u64, String)>,
    /// The size of the texts.
    bytes: usize,
    /// How many were dropped after the last text.
    skipped: u64,
    /// Whether a text is being written.
    writing: bool,
    /// How many were dropped so far.
    dropped: u64,
}

impl OutputQueue {
    /// Starts the thread behind a new queue, which passes every text to `write`. `notice` makes
    /// the text that says how many were dropped.
    ///
    /// # Errors
    /// If the system cannot start a thread.
    pub(super) fn start(
        mut write: impl FnMut(&str) -> io::Result<()> + Send + 'static,
        notice: impl Fn(u64) -> String + Send + 'static,
    ) -> io::Result<Self> {
        let queue = Self::default();
        let ours = queue.clone();
        let serve = move || {
            let mut unreported = 0;
            loop {
                let (skipped, text) = ours.next();
                unreported += skipped;
                if unreported > 0 && write(&notice(unreported)).is_ok() {
                    unreported = 0;
                }
                let lost = u64::from(text.is_some_and(|text| write(&text).is_err()));
                unreported += lost;
                let mut state = ours.state();
                state.writing = false;
                state.dropped += lost;
                drop(state);
                ours.0.changed.notify_all();
            }
        };
        // It is never joined: a write may never return.
        thread::Builder::new().name("output".to_owned()).spawn(serve)?;
        Ok(queue)
    }

    /// Appends a text, or drops it if too much waits. Never blocks. A text is written whole or not
    /// at all.
    pub fn push(&self, text: String) {
        let mut state = self.state();
        if state.bytes + text.len() > WAITING_BYTES_MAX {
            state.dropped += 1;
            state.skipped += 1;
        } else {
            state.bytes += text.len();
            let skipped = std::mem::take(&mut state.skipped);
            state.waiting.push_back((skipped, text));
        }
        drop(state);
        self.0.changed.notify_all();
    }

    /// Whether all that was pushed is written or dropped.
    pub fn is_idle(&self) -> bool {
        self.state().is_idle()
    }

    /// Waits until the queue is idle, at most for `limit`; returns whether it is.
    pub fn flush(&self, limit: Duration) -> bool {
        let state = self.state();
        let waited = self.0.changed.wait_timeout_while(state, limit, |state| !state.is_idle());
        waited.unwrap_or_else(PoisonError::into_inner).0.is_idle()
    }

    /// How many texts were dropped so far.
    pub fn dropped(&self) -> u64 {
        self.state().dropped
    }

    /// Waits for the next text, and for the number that were dropped right before it.
    fn next(&self) -> (u64, Option<String>) {
        let waited = self.0.changed.wait_while(self.state(), |state| state.is_empty());
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        state.writing = true;
        match state.waiting.pop_front() {
            Some((skipped, text)) => {
                state.bytes -= text.len();
                (skipped, Some(text))
            }
            None => (std::mem::take(&mut state.skipped), None),
        }
    }

    fn state(&self) -> MutexGuard<'_, QueueState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl QueueState {
    fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.skipped == 0
    }

    fn is_idle(&self) -> bool {
        self.is_empty() && !self.writing
    }
}

/// A queue in its place; one that was started before stays.
///
/// # Errors
/// When it cannot be started.
pub(super) fn install(
    cell: &'static OnceLock<OutputQueue>,
    start: impl FnOnce() -> io::Result<OutputQueue>,
) -> io::Result<&'static OutputQueue> {
    match cell.get() {
        Some(queue) => Ok(queue),
        None => start().map(|queue| cell.get_or_init(|| queue)),
    }
}

/// The queue before standard output; `None` where a command writes for itself.
pub fn of_output() -> Option<&'static OutputQueue> {
    OUTPUT.get()
}

/// The queue before standard error; `None` where a command writes for itself.
pub fn of_error() -> Option<&'static OutputQueue> {
    ERROR.get()
}

/// Gives what is still to be written a short while before the process ends.
pub fn finish() {
    for queue in [of_output(), of_error()].into_iter().flatten() {
        queue.flush(LAST_WORDS);
    }
}

/// One process has one standard output and one standard error, and any of its threads may write
/// there.
pub(super) static OUTPUT: OnceLock<OutputQueue> = OnceLock::new();
pub(super) static ERROR: OnceLock<OutputQueue> = OnceLock::new();

/// The size of what waits at most: some thousand lines of the log.
const WAITING_BYTES_MAX: usize = 1024 * 1024;
/// How long the end of the process waits for a reader.
const LAST_WORDS: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn notice(count: u64) -> String {
        format!("{count} lost")
    }

    /// A queue with a reader that reads one text per request, and the texts that it read.
    fn held() -> (OutputQueue, mpsc::Sender<()>, mpsc::Receiver<String>) {
        let (order, orders) = mpsc::channel();
        let (sender, written) = mpsc::channel();
        let write = move |text: &str| {
            orders.recv().map_err(io::Error::other)?;
            sender.send(text.to_owned()).map_err(io::Error::other)
        };
        (OutputQueue::start(write, notice).unwrap(), order, written)
    }

    #[test]
    fn writers_never_wait_and_a_notice_stands_where_texts_were_dropped() {
        let (queue, order, written) = held();
        let large = "x".repeat(WAITING_BYTES_MAX / 4);
        queue.push("first".to_owned());
        for _ in 0..9 {
            queue.push(large.clone());
        }
        let lost = queue.dropped();
        assert!((5..=6).contains(&lost), "{lost}");
        assert!(!queue.flush(Duration::ZERO) && !queue.is_idle());
        order.send(()).unwrap();
        assert_eq!(written.recv().unwrap(), "first");
        order.send(()).unwrap();
        assert_eq!(written.recv().unwrap(), large);
        queue.push("last".to_owned());
        (0..9 - lost + 1).for_each(|_| order.send(()).unwrap());
        let rest: Vec<String> = (0..9 - lost + 1).map(|_| written.recv().unwrap()).collect();
        assert!(rest[..rest.len() - 2].iter().all(|it| *it == large), "in order");
        assert_eq!(rest[rest.len() - 2..], [format!("{lost} lost"), "last".to_owned()]);
        assert!(queue.flush(LONG));
        assert_eq!(queue.dropped(), lost);
    }

    #[test]
    fn a_notice_is_written_as_soon_as_something_can_be() {
        let (sender, written) = mpsc::channel();
        let mut full = true;
        let write = move |text: &str| {
            full &= text != "room";
            sender.send(text.to_owned()).unwrap();
            if full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
        };
        let queue = OutputQueue::start(write, notice).unwrap();
        for text in ["one", "two", "room", "four"] {
            queue.push(text.to_owned());
        }
        assert!(queue.flush(LONG));
        // The notice is tried before each line; the third finds no space for it, but for the line.
        let texts: Vec<String> = written.try_iter().collect();
        assert_eq!(texts, ["one", "1 lost", "two", "2 lost", "room", "2 lost", "four"]);
        assert_eq!(queue.dropped(), 2);
    }
}
