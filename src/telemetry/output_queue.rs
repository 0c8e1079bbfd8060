//! The queues before standard output and standard error. Whoever writes never waits: a pipe that
//! nobody reads, a stopped terminal or a journal that hangs stops one thread, which does nothing
//! but write there, and nobody else.
//!
//! What always holds: nothing changes its order; what finds no room is dropped and counted, and a
//! line in its place says how much that was.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

/// A piece of output: it is written whole, or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// What is written.
    pub text: String,
    /// The same as an entry for the journal, where it goes there first.
    pub entry: Option<String>,
}

/// Says how many pieces were dropped.
type Gap = Box<dyn Fn(u64) -> Piece + Send>;

/// The queue before one stream; clones are the same.
#[derive(Clone, Debug, Default)]
pub struct OutputQueue(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    // A std mutex: it is held for a few instructions, and never while something is written.
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Waiting>,
    /// The size of what waits.
    bytes: usize,
    /// Whether a piece is being written.
    writing: bool,
    /// How many pieces were dropped so far.
    dropped: u64,
}

#[derive(Debug)]
enum Waiting {
    Piece(Piece),
    /// So many pieces were dropped here.
    Gap(u64),
}

impl Piece {
    /// Text alone.
    pub const fn new(text: String) -> Self {
        Self { text, entry: None }
    }

    fn size(&self) -> usize {
        self.text.len() + self.entry.as_ref().map_or(0, String::len)
    }
}

impl OutputQueue {
    /// Starts the thread behind a new queue, which hands every piece to `write`. `gap` makes the
    /// piece that says how many were dropped.
    ///
    /// # Errors
    /// When the system cannot start a thread.
    pub(super) fn start(
        write: impl FnMut(&Piece) -> io::Result<()> + Send + 'static,
        gap: impl Fn(u64) -> Piece + Send + 'static,
    ) -> io::Result<Self> {
        let queue = Self::default();
        let ours = queue.clone();
        let writer = Writer { write, gap: Box::new(gap), unsaid: 0 };
        // It is never joined: it may never come back from a write.
        thread::Builder::new().name("output".to_owned()).spawn(move || ours.serve(writer))?;
        Ok(queue)
    }

    /// Puts a piece behind those that wait, or drops it where they are too many. Never waits.
    pub fn push(&self, piece: Piece) {
        let mut state = self.state();
        if state.bytes + piece.size() > WAITING_BYTES_MAX {
            state.dropped += 1;
            match state.waiting.back_mut() {
                Some(Waiting::Gap(count)) => *count += 1,
                Some(Waiting::Piece(_)) | None => state.waiting.push_back(Waiting::Gap(1)),
            }
        } else {
            state.bytes += piece.size();
            state.waiting.push_back(Waiting::Piece(piece));
        }
        drop(state);
        self.0.changed.notify_all();
    }

    /// Whether all that was pushed is written or dropped.
    pub fn is_idle(&self) -> bool {
        self.state().is_idle()
    }

    /// Waits until the queue is idle, but not longer than that; whether it is.
    pub fn flush(&self, limit: Duration) -> bool {
        let state = self.state();
        let waited = self.0.changed.wait_timeout_while(state, limit, |state| !state.is_idle());
        waited.unwrap_or_else(PoisonError::into_inner).0.is_idle()
    }

    /// How many pieces were dropped so far.
    pub fn dropped(&self) -> u64 {
        self.state().dropped
    }

    fn serve<W: FnMut(&Piece) -> io::Result<()>>(&self, mut writer: Writer<W>) {
        loop {
            let next = {
                let state = self.state();
                let state = self.0.changed.wait_while(state, |state| state.waiting.is_empty());
                let mut state = state.unwrap_or_else(PoisonError::into_inner);
                let next = state.waiting.pop_front();
                if let Some(Waiting::Piece(piece)) = &next {
                    state.bytes -= piece.size();
                }
                state.writing = true;
                next
            };
            let lost = match next {
                Some(Waiting::Piece(piece)) => writer.piece(&piece).is_err(),
                Some(Waiting::Gap(count)) => {
                    writer.unsaid += count;
                    writer.say_gap();
                    false
                }
                None => false,
            };
            let mut state = self.state();
            state.writing = false;
            state.dropped += u64::from(lost);
            drop(state);
            self.0.changed.notify_all();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && !self.writing
    }
}

struct Writer<W> {
    write: W,
    gap: Gap,
    /// How many dropped pieces nobody was told of yet.
    unsaid: u64,
}

impl<W: FnMut(&Piece) -> io::Result<()>> Writer<W> {
    fn piece(&mut self, piece: &Piece) -> io::Result<()> {
        if self.unsaid > 0 {
            self.say_gap();
        }
        let written = (self.write)(piece);
        self.unsaid += u64::from(written.is_err());
        written
    }

    fn say_gap(&mut self) {
        if (self.write)(&(self.gap)(self.unsaid)).is_ok() {
            self.unsaid = 0;
        }
    }
}

/// A queue in its place; one that was started before stays.
///
/// # Errors
/// When it cannot be started.
pub(super) fn install(
    place: &'static OnceLock<OutputQueue>,
    start: impl FnOnce() -> io::Result<OutputQueue>,
) -> io::Result<&'static OutputQueue> {
    match place.get() {
        Some(queue) => Ok(queue),
        None => start().map(|queue| place.get_or_init(|| queue)),
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

    fn piece(text: &str) -> Piece {
        Piece::new(text.to_owned())
    }

    fn gap(count: u64) -> Piece {
        piece(&format!("{count} lost"))
    }

    /// A queue whose reader takes one piece for each order, and what it took.
    fn held() -> (OutputQueue, mpsc::Sender<()>, mpsc::Receiver<String>) {
        let (order, orders) = mpsc::channel();
        let (took, taken) = mpsc::channel();
        let write = move |piece: &Piece| {
            orders.recv().map_err(io::Error::other)?;
            took.send(piece.text.clone()).map_err(io::Error::other)
        };
        (OutputQueue::start(write, gap).unwrap(), order, taken)
    }

    #[test]
    fn nobody_waits_for_a_reader_and_what_it_lacks_is_said_where_it_is_missing() {
        let (queue, order, taken) = held();
        let large = "x".repeat(WAITING_BYTES_MAX / 4);
        queue.push(piece("first"));
        for _ in 0..9 {
            queue.push(piece(&large));
        }
        let lost = queue.dropped();
        assert!((5..=6).contains(&lost), "{lost}");
        assert!(!queue.flush(Duration::ZERO) && !queue.is_idle());
        order.send(()).unwrap();
        assert_eq!(taken.recv().unwrap(), "first");
        order.send(()).unwrap();
        assert_eq!(taken.recv().unwrap(), large);
        queue.push(piece("last"));
        (0..9 - lost + 1).for_each(|_| order.send(()).unwrap());
        let rest: Vec<String> = (0..9 - lost + 1).map(|_| taken.recv().unwrap()).collect();
        assert!(rest[..rest.len() - 2].iter().all(|it| *it == large), "in order");
        assert_eq!(rest[rest.len() - 2..], [format!("{lost} lost"), "last".to_owned()]);
        assert!(queue.flush(LONG));
        assert_eq!(queue.dropped(), lost);
    }

    #[test]
    fn what_could_not_be_written_is_said_as_soon_as_something_can() {
        let (took, taken) = mpsc::channel();
        let mut full = true;
        let write = move |piece: &Piece| {
            full &= piece.text != "room";
            took.send(piece.text.clone()).unwrap();
            if full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
        };
        let queue = OutputQueue::start(write, gap).unwrap();
        for text in ["one", "two", "room", "four"] {
            queue.push(piece(text));
        }
        assert!(queue.flush(LONG));
        // The gap is tried before each line; the third finds no room for it, but for the line.
        let said: Vec<String> = taken.try_iter().collect();
        assert_eq!(said, ["one", "1 lost", "two", "2 lost", "room", "2 lost", "four"]);
        assert_eq!(queue.dropped(), 2);
    }
}
