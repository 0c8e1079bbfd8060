//! Connection limiter: who is answered at once, and which connection is closed to admit another.
//!
//! Invariants: fewer connections are answered, checked or streamed to at once than there may be, so
//! there is always an idle one to evict, and no newcomer, such as a health probe, is kept out. The
//! evicted one is the oldest of the peer that holds the most, so no peer uses up what others need.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::response::Response;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

/// All connections; clones share them.
#[derive(Clone, Debug)]
pub struct ConnectionLimiter(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    answers_max: usize,
    streams_max: usize,
    /// Of requests that are worked on.
    places: Semaphore,
    slots: Mutex<Slots>,
}

#[derive(Debug, Default)]
struct Slots {
    /// Counts every change of a phase; the lower, the older.
    turn: u64,
    held: BTreeMap<u64, Held>,
}

/// One connection.
#[derive(Debug)]
struct Held {
    peer: IpAddr,
    /// The places of all connections of the peer.
    share: Arc<Semaphore>,
    phase: Phase,
    /// The turn in which the phase began.
    since: u64,
    /// Dropped, it ends the connection.
    _open: oneshot::Sender<()>,
    /// Dropped, it ends the stream.
    stream: Option<oneshot::Sender<()>>,
}

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No request of it was authorized yet.
    Idle,
    /// The health is being looked up for it.
    Checking,
    /// An authorized request is being worked on: it waits for us.
    Working,
    /// Its answer is handed over: it waits for the peer, to read it or to ask again.
    Answered,
    /// It has an event stream.
    Streaming,
}

/// What the task of a connection keeps; dropped, the connection counts no more.
#[derive(Debug)]
pub struct SlotGuard {
    /// What its requests carry.
    pub slot: Slot,
    /// Ends when the connection is evicted.
    pub evicted: oneshot::Receiver<()>,
}

impl Drop for SlotGuard {
    fn drop(&mut self) {
        self.slot.limiter.slots().held.remove(&self.slot.id);
    }
}

/// A connection, as its requests know it.
#[derive(Clone, Debug)]
pub struct Slot {
    limiter: ConnectionLimiter,
    id: u64,
}

/// The right to stream; dropped, another one may.
#[derive(Debug)]
pub struct StreamSlot {
    slot: Slot,
    /// Ends when the stream has to end for another one.
    pub evicted: oneshot::Receiver<()>,
}

impl Drop for StreamSlot {
    fn drop(&mut self) {
        self.slot.limiter.slots().pass(self.slot.id, Phase::Streaming, Phase::Answered);
    }
}

impl ConnectionLimiter {
    /// A limiter of requests that are answered, and of streams; with [`CHECKS_MAX`] the sum has to
    /// be less than there are connections.
    pub fn new(answers_max: usize, streams_max: usize) -> Self {
        let (places, slots) = (Semaphore::new(answers_max), Mutex::default());
        Self(Arc::new(Inner { answers_max, streams_max, places, slots }))
    }

    /// Counts a connection in.
    pub fn open(&self, peer: IpAddr) -> SlotGuard {
        let (open, evicted) = oneshot::channel();
        let mut slots = self.slots();
        let id = slots.next();
        let (peer, phase) = (network(peer), Phase::Idle);
        let others = slots.held.values().find(|held| held.peer == peer);
        let answers_max = self.0.answers_max;
        let own = || Arc::new(Semaphore::new(answers_max - answers_max / 4));
        let share = others.map_or_else(own, |held| Arc::clone(&held.share));
        let held = Held { peer, share, phase, since: id, _open: open, stream: None };
        slots.held.insert(id, held);
        drop(slots);
        SlotGuard { slot: Slot { limiter: self.clone(), id }, evicted }
    }

    /// Closes an idle connection, if there is one.
    pub fn evict_idle(&self) {
        self.slots().evict(Phase::Idle);
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.0.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// Has an authorized request answered, in its turn: first come, first served. One peer has
    /// three quarters of the places at most. `None` when its turn does not come in time.
    pub async fn answer(&self, answer: impl Future<Output = Response>) -> Option<Response> {
        let share = self.share()?;
        let turn = async { (share.acquire_owned().await, self.limiter.0.places.acquire().await) };
        let _turn = timeout(TURN_MAX, turn).await.ok()?;
        self.begin();
        let answer = answer.await;
        self.limiter.slots().pass(self.id, Phase::Working, Phase::Answered);
        Some(answer)
    }

    /// Has a health check answered. So many at once are not evicted meanwhile.
    pub async fn check(&self, answer: impl Future<Output = Response>) -> Response {
        self.begin_check();
        let answer = answer.await;
        self.limiter.slots().pass(self.id, Phase::Checking, Phase::Idle);
        answer
    }

    /// Turns the request that is being answered into a stream. When there are too many, another
    /// one ends.
    pub fn stream(&self) -> StreamSlot {
        let (stream, evicted) = oneshot::channel();
        let mut slots = self.limiter.slots();
        if slots.count(|it| it.phase == Phase::Streaming) >= self.limiter.0.streams_max
            && let Some(oldest) = slots.oldest_of_largest(Phase::Streaming)
        {
            slots.pass(oldest, Phase::Streaming, Phase::Answered);
        }
        if slots.pass(self.id, Phase::Working, Phase::Streaming)
            && let Some(held) = slots.held.get_mut(&self.id)
        {
            held.stream = Some(stream);
        }
        drop(slots);
        StreamSlot { slot: self.clone(), evicted }
    }

    fn begin_check(&self) {
        let mut slots = self.limiter.slots();
        if slots.count(|it| it.phase == Phase::Checking) < CHECKS_MAX {
            slots.pass(self.id, Phase::Idle, Phase::Checking);
        }
    }

    /// The places of the connection's peer; `None` when it is evicted.
    fn share(&self) -> Option<Arc<Semaphore>> {
        self.limiter.slots().held.get(&self.id).map(|held| Arc::clone(&held.share))
    }

    /// Begins to work on the request. When all places are taken, a connection whose answer is
    /// handed over gives its own up.
    fn begin(&self) {
        let mut slots = self.limiter.slots();
        if !slots.pass(self.id, Phase::Idle, Phase::Working) {
            slots.pass(self.id, Phase::Answered, Phase::Working);
        }
        let is_answered = |it: &Held| matches!(it.phase, Phase::Working | Phase::Answered);
        while slots.count(is_answered) > self.limiter.0.answers_max && slots.evict(Phase::Answered)
        {
        }
    }
}

impl Slots {
    const fn next(&mut self) -> u64 {
        self.turn += 1;
        self.turn
    }

    fn count(&self, of: impl Fn(&Held) -> bool) -> usize {
        self.held.values().filter(|held| of(held)).count()
    }

    /// Brings a connection that is in the phase `from` to `to`; `false` when it is in another, or
    /// evicted. A stream ends with its phase.
    fn pass(&mut self, id: u64, from: Phase, to: Phase) -> bool {
        let since = self.next();
        let held = self.held.get_mut(&id).filter(|held| held.phase == from);
        held.is_some_and(|held| {
            (held.phase, held.since, held.stream) = (to, since, None);
            true
        })
    }

    /// Closes a connection in that phase; `false` when there is none.
    fn evict(&mut self, phase: Phase) -> bool {
        self.oldest_of_largest(phase).and_then(|id| self.held.remove(&id)).is_some()
    }

    /// The oldest in that phase of the peer that has the most in it.
    fn oldest_of_largest(&self, phase: Phase) -> Option<u64> {
        let within = || self.held.iter().filter(|(_, held)| held.phase == phase);
        let mut sizes = BTreeMap::<IpAddr, usize>::new();
        for (_, held) in within() {
            *sizes.entry(held.peer).or_default() += 1;
        }
        let oldest = within().max_by_key(|(_, held)| (sizes.get(&held.peer), Reverse(held.since)));
        oldest.map(|(id, _)| *id)
    }
}

/// The peer that an address belongs to: all of loopback is one peer, and so is a network of IPv6
/// (RFC 6177: a site has a /64 at least), since one machine can take any address of either.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        own if own.is_loopback() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (!0 << 64)).into(),
        IpAddr::V4(address) => address.into(),
    }
}

/// How long a request waits for its turn.
const TURN_MAX: Duration = Duration::from_secs(10);
/// Health checks that are kept at once.
pub const CHECKS_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Waker};

    use axum::body::Body;

    use super::*;

    /// A connection of that peer.
    fn open(limiter: &ConnectionLimiter, peer: u8) -> SlotGuard {
        limiter.open(IpAddr::from([192, 0, 2, peer]))
    }

    fn is_pending(future: Pin<&mut impl Future>) -> bool {
        future.poll(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    /// Whether an authorized request is answered at once.
    async fn answers(guard: &SlotGuard) -> bool {
        guard.slot.answer(async { Response::new(Body::empty()) }).await.is_some()
    }

    #[track_caller]
    fn check_evicted(guards: &mut [SlotGuard], expected: &[usize]) {
        let open = |guard: &mut SlotGuard| guard.evicted.try_recv() == Err(EMPTY);
        let evicted: Vec<_> = (0..guards.len()).filter(|&at| !open(&mut guards[at])).collect();
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(evicted, expected);
    }

    #[tokio::test]
    async fn the_oldest_of_the_peer_with_the_most_gives_way() {
        let order = [1, 0, 3, 2, 4, 5];
        let idle = ConnectionLimiter::new(6, 1);
        let mut guards = [1, 2, 3, 2, 2, 1].map(|peer| open(&idle, peer));
        for count in 1..=order.len() {
            idle.evict_idle();
            check_evicted(&mut guards, &order[..count]);
        }
        let answered = ConnectionLimiter::new(6, 1);
        let mut guards = [1, 2, 3, 2, 2, 1].map(|peer| open(&answered, peer));
        for guard in &guards {
            assert!(answers(guard).await);
        }
        answered.evict_idle();
        check_evicted(&mut guards, &[]);
        // Who was answered before is answered again, and evicts nobody.
        assert!(answers(&guards[0]).await);
        check_evicted(&mut guards, &[]);
        let newcomer = open(&answered, 4);
        assert!(answers(&newcomer).await);
        check_evicted(&mut guards, &[1]);
        assert!(!answers(&guards[1]).await, "it is evicted");
    }

    #[tokio::test]
    async fn one_peer_is_worked_for_in_three_quarters_of_the_places() {
        let limiter = ConnectionLimiter::new(4, 1);
        let guards = [1, 1, 1, 1, 2, 2].map(|peer| open(&limiter, peer));
        let inside = Mutex::new(Vec::new());
        let answer = |at: usize| {
            let inside = &inside;
            Box::pin(guards[at].slot.answer(async move {
                inside.lock().unwrap().push(at);
                std::future::pending().await
            }))
        };
        let mut answers: Vec<_> = (0..guards.len()).map(answer).collect();
        // The fourth place is for another peer than the first.
        for expected in [vec![0, 1, 2, 4], vec![0, 1, 2, 4, 5], vec![0, 1, 2, 4, 5, 3]] {
            for answer in &mut answers {
                assert!(is_pending(answer.as_mut()));
            }
            assert_eq!(*inside.lock().unwrap(), expected);
            drop(answers.remove(1));
        }
    }

    #[tokio::test]
    async fn a_check_is_not_evicted_before_it_is_answered() {
        let limiter = ConnectionLimiter::new(4, 1);
        let mut guards: Vec<_> = (0..=CHECKS_MAX).map(|_| open(&limiter, 1)).collect();
        let mut checks = Vec::new();
        for guard in &guards {
            let slot = guard.slot.clone();
            let mut check = Box::pin(async move { slot.check(std::future::pending()).await });
            assert!(is_pending(check.as_mut()));
            checks.push(check);
        }
        // Only what is one too many.
        limiter.evict_idle();
        limiter.evict_idle();
        check_evicted(&mut guards, &[CHECKS_MAX]);
        guards[0].slot.check(async { Response::new(Body::empty()) }).await;
        limiter.evict_idle();
        check_evicted(&mut guards, &[0, CHECKS_MAX]);
    }

    #[tokio::test]
    async fn a_newcomer_has_the_stream_of_the_peer_with_the_most() {
        let limiter = ConnectionLimiter::new(8, 3);
        let mut streams = Vec::new();
        let guards = [1, 2, 2, 3].map(|peer| open(&limiter, peer));
        for (guard, ended) in guards.iter().zip([None, None, None, Some(1)]) {
            let answer = guard.slot.answer(async {
                streams.push(guard.slot.stream());
                Response::new(Body::empty())
            });
            assert!(answer.await.is_some());
            let is_ended = |it: &mut StreamSlot| it.evicted.try_recv() != Err(EMPTY);
            assert_eq!(streams.iter_mut().position(is_ended), ended);
        }
        // One that ends by itself leaves a place.
        drop(streams.pop());
        let last = open(&limiter, 4);
        let answer = last.slot.answer(async {
            drop(last.slot.stream());
            Response::new(Body::empty())
        });
        assert!(answer.await.is_some());
        assert!(streams[0].evicted.try_recv() == Err(EMPTY));
        assert!(streams[2].evicted.try_recv() == Err(EMPTY));
    }

    #[test]
    fn addresses_that_one_machine_can_take_share() {
        let check = |one: &str, other: &str, expected: bool| {
            let [one, other] = [one, other].map(|it| network(it.parse().unwrap()));
            assert_eq!(one == other, expected, "{one} {other}");
        };
        check("127.0.0.1", "127.9.9.9", true);
        check("127.0.0.1", "::1", true);
        check("::ffff:127.0.0.1", "::1", true);
        check("::ffff:192.0.2.1", "192.0.2.1", true);
        check("192.0.2.1", "192.0.2.2", false);
        check("2001:db8::1", "2001:db8::ffff:0:0:1", true);
        check("2001:db8::1", "2001:db8:0:1::1", false);
    }

    const EMPTY: oneshot::error::TryRecvError = oneshot::error::TryRecvError::Empty;
}
