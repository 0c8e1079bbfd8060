//! Seats: one for each connection, and who gives one up to a newcomer when all are taken.
//!
//! What always holds: whoever was let in keeps the seat until the answer is sent; of all others
//! the one gives it up who has gone longest without being let in. So strangers who say nothing, or
//! little, or slowly, keep nobody out, however many they are.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::response::Response;
use hyper::body::{Frame, SizeHint};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};

/// All seats; clones are the same.
#[derive(Clone, Debug)]
pub struct Seats(Arc<House>);

#[derive(Debug)]
struct House {
    free: Arc<Semaphore>,
    idle: Mutex<Idle>,
    /// Rung when somebody becomes idle.
    bell: Notify,
}

/// Who has no answer under way, by their turn: the lowest has been idle longest.
#[derive(Debug, Default)]
struct Idle {
    turn: u64,
    seats: BTreeMap<u64, oneshot::Sender<()>>,
}

/// What a connection sits on.
#[derive(Debug)]
pub struct Taken {
    /// What its requests carry.
    pub seat: Seat,
    /// Ends when the seat is to be given up.
    pub dismissed: oneshot::Receiver<()>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.seat.leave_idle();
    }
}

/// A seat, as its requests know it.
#[derive(Clone, Debug)]
pub struct Seat {
    seats: Seats,
    turn: Arc<AtomicU64>,
}

/// Somebody who was let in, until the answer is sent.
struct Stay {
    seat: Seat,
    /// None when the seat was to be given up before.
    dismiss: Option<oneshot::Sender<()>>,
}

impl Seats {
    /// So many seats.
    pub fn new(count: usize) -> Self {
        let free = Arc::new(Semaphore::new(count));
        Self(Arc::new(House { free, idle: Mutex::default(), bell: Notify::new() }))
    }

    /// Takes a seat; when there is none, whoever is idle longest has to give up theirs, and when
    /// nobody is idle it waits.
    pub async fn take(&self) -> Option<Taken> {
        let mut freed = std::pin::pin!(Arc::clone(&self.0.free).acquire_owned());
        let mut asked = self.0.free.available_permits() > 0;
        let permit = loop {
            let idle = self.0.bell.notified();
            asked = asked || self.dismiss();
            tokio::select! {
                biased;
                permit = &mut freed => break permit.ok()?,
                () = idle, if !asked => {}
            }
        };
        let (dismiss, dismissed) = oneshot::channel();
        let seat = Seat { seats: self.clone(), turn: Arc::default() };
        seat.be_idle(dismiss);
        Some(Taken { seat, dismissed, _permit: permit })
    }

    /// Has the one who is idle longest give up the seat; `false` when nobody is idle.
    fn dismiss(&self) -> bool {
        let Some((_, dismiss)) = self.idle().seats.pop_first() else { return false };
        // Whoever is gone already is about to free the seat.
        let _ = dismiss.send(());
        true
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// Lets whoever sits here stay until `answer` is sent.
    pub async fn during(&self, answer: impl Future<Output = Response>) -> Response {
        let stay = Stay { seat: self.clone(), dismiss: self.leave_idle() };
        answer.await.map(|body| Body::new(Staying { body, _stay: stay }))
    }

    fn be_idle(&self, dismiss: oneshot::Sender<()>) {
        let mut idle = self.seats.idle();
        idle.turn += 1;
        self.turn.store(idle.turn, Ordering::Relaxed);
        let turn = idle.turn;
        idle.seats.insert(turn, dismiss);
        drop(idle);
        self.seats.0.bell.notify_one();
    }

    fn leave_idle(&self) -> Option<oneshot::Sender<()>> {
        self.seats.idle().seats.remove(&self.turn.load(Ordering::Relaxed))
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        // A connection that has ended is idle no more.
        if let Some(dismiss) = self.dismiss.take().filter(|it| !it.is_closed()) {
            self.seat.be_idle(dismiss);
        }
    }
}

/// A body that holds its seat until it is sent or given up.
struct Staying {
    body: Body,
    _stay: Stay,
}

impl HttpBody for Staying {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
