//! Connection limiter: who is answered at once, and which connection is closed to admit another.
//!
//! Invariants: fewer requests are answered or streamed at once than there are connections, so there
//! is always an idle one to evict, and no newcomer, such as a health probe, is kept out. Evicted is
//! the oldest of the peer that holds the most, so that no peer uses up what another needs.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::response::Response;
use tokio::sync::oneshot;

/// All connections; clones share them.
#[derive(Clone, Debug)]
pub struct ConnectionLimiter(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    answers_max: usize,
    streams_max: usize,
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
    /// A limiter of requests that are answered, and of streams; the sum has to be less than there
    /// are connections.
    pub fn new(answers_max: usize, streams_max: usize) -> Self {
        Self(Arc::new(Inner { answers_max, streams_max, slots: Mutex::default() }))
    }

    /// Counts a connection in.
    pub fn open(&self, peer: IpAddr) -> SlotGuard {
        let (open, evicted) = oneshot::channel();
        let mut slots = self.slots();
        let id = slots.next();
        let (peer, phase) = (share(peer), Phase::Idle);
        slots.held.insert(id, Held { peer, phase, since: id, _open: open, stream: None });
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
    /// Has an authorized request answered; `None` when too many are being worked on.
    pub async fn answer(&self, answer: impl Future<Output = Response>) -> Option<Response> {
        if !self.begin() {
            return None;
        }
        let answer = answer.await;
        self.limiter.slots().pass(self.id, Phase::Working, Phase::Answered);
        Some(answer)
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

    /// Whether the request may be worked on: one peer has half of the places at most, and when all
    /// are taken, a connection whose answer is handed over gives its own up.
    fn begin(&self) -> bool {
        let max = self.limiter.0.answers_max;
        let mut slots = self.limiter.slots();
        let Some((peer, phase)) = slots.held.get(&self.id).map(|it| (it.peer, it.phase)) else {
            return false;
        };
        let works = |it: &Held| it.phase == Phase::Working && it.peer == peer;
        if slots.count(works) >= max.div_ceil(2) {
            return false;
        }
        let is_answered = |it: &Held| matches!(it.phase, Phase::Working | Phase::Answered);
        while phase == Phase::Idle && slots.count(is_answered) >= max {
            if !slots.evict(Phase::Answered) {
                return false;
            }
        }
        slots.pass(self.id, phase, Phase::Working)
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

/// Whose share an address counts against: all of loopback is one peer, and so is a network of IPv6
/// (RFC 6177: a site has a /64 at least), since one machine can take any address of either.
fn share(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        own if own.is_loopback() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (!0 << 64)).into(),
        IpAddr::V4(address) => address.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use axum::body::Body;

    use super::*;

    /// A connection of that peer.
    fn open(limiter: &ConnectionLimiter, peer: u8) -> SlotGuard {
        limiter.open(IpAddr::from([192, 0, 2, peer]))
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
    async fn one_peer_is_worked_for_in_half_of_the_places() {
        let limiter = ConnectionLimiter::new(4, 1);
        let guards = [1, 1, 1, 2, 2, 2].map(|peer| open(&limiter, peer));
        let mut works = Vec::new();
        for (guard, expected) in guards.iter().zip([true, true, false, true, true, false]) {
            let never = std::future::pending();
            let slot = guard.slot.clone();
            let mut answer = Box::pin(async move { slot.answer(never).await });
            let now = answer.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert_eq!(now.is_pending(), expected, "it is refused at once, or worked on");
            works.push(answer);
        }
        let third = open(&limiter, 3);
        assert!(!answers(&third).await, "what is worked on is not evicted");
        drop(works);
        drop(guards);
        assert!(answers(&third).await);
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
            let [one, other] = [one, other].map(|it| share(it.parse().unwrap()));
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
