//! Connection limiter. At the limit of connections, an idle one is evicted to admit a new one.
//!
//! Invariants: the sum of the request limits is less than the limit of connections, so that one
//! connection is always idle and a new one, such as a health check, is always admitted. The
//! evicted connection is the oldest of the peer with the most, so that no peer uses up the limit.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use axum::response::Response;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::AbortHandle;
use tokio::time::timeout;

/// The connections of a listener with their tasks, the oldest first.
#[derive(Debug)]
pub struct ConnectionLimiter {
    limits: Arc<ConnectionLimits>,
    answers_max: usize,
    open: Vec<(Slot, AbortHandle)>,
}

#[derive(Debug)]
struct ConnectionLimits {
    /// Authorized requests in progress.
    answers: Semaphore,
    /// Health checks in progress that are not evicted.
    checks: Semaphore,
    streams_max: usize,
    /// The streams with their peers, the oldest first. A dropped sender ends its stream.
    streams: Mutex<Vec<(IpAddr, Arc<oneshot::Sender<()>>)>>,
}

/// A handle of one connection; clones refer to the same connection.
#[derive(Clone, Debug)]
pub struct Slot(Arc<Connection>);

#[derive(Debug)]
struct Connection {
    peer: IpAddr,
    limits: Arc<ConnectionLimits>,
    /// Authorized requests of the peer in progress.
    share: Arc<Semaphore>,
    state: Mutex<ConnectionState>,
}

#[derive(Debug, Default)]
struct ConnectionState {
    /// Whether a request was authorized.
    authorized: bool,
    /// Whether the peer waits for a response.
    working: bool,
    /// The stream of the connection, while it lasts.
    stream: Weak<oneshot::Sender<()>>,
}

impl ConnectionLimiter {
    /// The maximum of authorized requests and of streams. Their sum plus [`CHECKS_MAX`] must be
    /// less than the limit of connections.
    pub fn new(answers_max: usize, streams_max: usize) -> Self {
        let (answers, checks) = (Semaphore::new(answers_max), Semaphore::new(CHECKS_MAX));
        let limits =
            Arc::new(ConnectionLimits { answers, checks, streams_max, streams: Mutex::default() });
        Self { limits, answers_max, open: Vec::new() }
    }

    /// Adds a connection, for which `spawn` starts the task. One peer gets at most three quarters
    /// of the requests in progress.
    pub fn open(&mut self, peer: IpAddr, spawn: impl FnOnce(Slot) -> AbortHandle) {
        self.open.retain(|(_, task)| !task.is_finished());
        let (peer, limits) = (network(peer), Arc::clone(&self.limits));
        let other = self.open.iter().find(|(slot, _)| slot.0.peer == peer);
        let own = || Arc::new(Semaphore::new(self.answers_max - self.answers_max / 4));
        let share = other.map_or_else(own, |(slot, _)| Arc::clone(&slot.0.share));
        let slot = Slot(Arc::new(Connection { peer, limits, share, state: Mutex::default() }));
        let task = spawn(slot.clone());
        self.open.push((slot, task));
    }

    /// Closes an idle connection, if there is one; first one without an authorized request.
    pub fn evict_idle(&mut self) {
        self.open.retain(|(_, task)| !task.is_finished());
        let oldest = |matches: fn(&ConnectionState) -> bool| {
            let all = self.open.iter().enumerate();
            let found = all.filter(|(_, (slot, _))| matches(&slot.state()));
            oldest_of_largest(found.map(|(at, (slot, _))| (at, slot.0.peer)).collect())
        };
        let unauthorized = oldest(|it| it.is_idle() && !it.authorized);
        if let Some(at) = unauthorized.or_else(|| oldest(ConnectionState::is_idle)) {
            self.open.remove(at).1.abort();
        }
    }
}

impl Slot {
    /// Runs an authorized request, first come, first served. `None` when no permit is available in
    /// time.
    pub async fn answer(&self, answer: impl Future<Output = Response>) -> Option<Response> {
        let permits =
            async { (self.0.share.acquire().await, self.0.limits.answers.acquire().await) };
        let _permits = timeout(PERMIT_TIMEOUT, permits).await.ok()?;
        self.state().authorized = true;
        Some(self.work(true, answer).await)
    }

    /// Runs a health check. Its connection is not evicted, unless there are too many checks.
    pub async fn check(&self, answer: impl Future<Output = Response>) -> Response {
        let permit = self.0.limits.checks.try_acquire();
        self.work(permit.is_ok(), answer).await
    }

    /// Registers the current request as a stream; the returned receiver resolves when the stream
    /// must end. At the limit, another stream ends.
    pub fn stream(&self) -> oneshot::Receiver<()> {
        let (end, evicted) = oneshot::channel();
        let end = Arc::new(end);
        self.state().stream = Arc::downgrade(&end);
        let limits = &self.0.limits;
        let mut streams = limits.streams.lock().unwrap_or_else(PoisonError::into_inner);
        streams.retain(|(_, end)| !end.is_closed());
        if streams.len() >= limits.streams_max {
            let peers = streams.iter().map(|(peer, _)| *peer);
            oldest_of_largest(peers.enumerate().collect()).map(|at| streams.remove(at));
        }
        streams.push((self.0.peer, end));
        evicted
    }

    async fn work(&self, working: bool, answer: impl Future<Output = Response>) -> Response {
        self.state().working = working;
        let answer = answer.await;
        self.state().working = false;
        answer
    }

    fn state(&self) -> MutexGuard<'_, ConnectionState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ConnectionState {
    fn is_streaming(&self) -> bool {
        self.stream.upgrade().is_some_and(|end| !end.is_closed())
    }

    /// Whether we wait for the peer: to send a request, or to read the response.
    fn is_idle(&self) -> bool {
        !self.working && !self.is_streaming()
    }
}

/// The first index of the peer with the most entries.
fn oldest_of_largest(found: Vec<(usize, IpAddr)>) -> Option<usize> {
    let mut sizes = BTreeMap::<IpAddr, usize>::new();
    for (_, peer) in &found {
        *sizes.entry(*peer).or_default() += 1;
    }
    // `max_by_key` returns the last of equal ones.
    let oldest = found.into_iter().rev().max_by_key(|(_, peer)| sizes.get(peer).copied());
    oldest.map(|(at, _)| at)
}

/// The peer of an address. Loopback is one peer, and so is each IPv6 /64 (RFC 6177: the minimum of
/// a site), because one machine can use all addresses of it.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        own if own.is_loopback() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (!0 << 64)).into(),
        IpAddr::V4(address) => address.into(),
    }
}

/// How long a request waits for a permit.
const PERMIT_TIMEOUT: Duration = Duration::from_secs(10);
/// Concurrent health checks that are not evicted.
pub const CHECKS_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Waker};

    use axum::body::Body;

    use super::*;

    /// Opens a connection of each peer.
    fn open<const N: usize>(limiter: &mut ConnectionLimiter, peers: [u8; N]) -> [Slot; N] {
        let mut open = |peer| {
            let spawn = |_| tokio::spawn(std::future::pending::<()>()).abort_handle();
            limiter.open(IpAddr::from([192, 0, 2, peer]), spawn);
            limiter.open.last().unwrap().0.clone()
        };
        peers.map(&mut open)
    }

    fn is_pending(future: Pin<&mut impl Future>) -> bool {
        future.poll(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    async fn answer(slot: &Slot) {
        assert!(slot.answer(async { Response::new(Body::empty()) }).await.is_some());
    }

    /// Evicts connections and checks which.
    #[track_caller]
    fn check_evicted(limiter: &mut ConnectionLimiter, slots: &[Slot], expected: &[usize]) {
        let is = |slot: &Slot, other: &Slot| Arc::ptr_eq(&slot.0, &other.0);
        for (number, &at) in expected.iter().enumerate() {
            let is_open = |slot: &Slot| limiter.open.iter().any(|(open, _)| is(open, slot));
            let mut left: Vec<bool> = slots.iter().map(is_open).collect();
            limiter.evict_idle();
            left[at] = false;
            let is_open = |slot: &Slot| limiter.open.iter().any(|(open, _)| is(open, slot));
            assert_eq!(slots.iter().map(is_open).collect::<Vec<_>>(), left, "number {number}");
        }
    }

    #[tokio::test]
    async fn the_oldest_of_the_peer_with_the_most_is_evicted() {
        let mut limiter = ConnectionLimiter::new(6, 1);
        let slots = open(&mut limiter, [1, 2, 3, 2, 2, 1]);
        check_evicted(&mut limiter, &slots, &[1, 0, 3, 2, 4, 5]);
        // First those without an authorized request.
        let slots = open(&mut limiter, [1, 1, 1, 2]);
        for at in [0, 2, 1] {
            answer(&slots[at]).await;
        }
        check_evicted(&mut limiter, &slots, &[3, 0, 1, 2]);
    }

    #[tokio::test]
    async fn one_peer_gets_at_most_three_quarters_of_the_permits() {
        let mut limiter = ConnectionLimiter::new(4, 1);
        let slots = open(&mut limiter, [1, 1, 1, 1, 2, 2]);
        let inside = Mutex::new(Vec::new());
        let answer = |at: usize| {
            let inside = &inside;
            Box::pin(slots[at].answer(async move {
                inside.lock().unwrap().push(at);
                std::future::pending().await
            }))
        };
        let mut answers: Vec<_> = (0..slots.len()).map(answer).collect();
        // The fourth permit is for another peer.
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
        let mut limiter = ConnectionLimiter::new(4, 1);
        let slots = open(&mut limiter, [1; CHECKS_MAX + 1]);
        let mut checks = Vec::new();
        for slot in &slots {
            let mut check = Box::pin(slot.check(std::future::pending()));
            assert!(is_pending(check.as_mut()));
            checks.push(check);
        }
        // Only the one above the limit.
        check_evicted(&mut limiter, &slots, &[CHECKS_MAX]);
        limiter.evict_idle();
        assert_eq!(limiter.open.len(), CHECKS_MAX);
        drop(checks);
        slots[1].check(async { Response::new(Body::empty()) }).await;
        check_evicted(&mut limiter, &slots, &[1]);
    }

    #[tokio::test]
    async fn a_new_stream_replaces_one_of_the_peer_with_the_most() {
        let mut limiter = ConnectionLimiter::new(8, 3);
        let slots = open(&mut limiter, [1, 2, 2, 3, 4]);
        let is_ended = |it: &mut oneshot::Receiver<()>| it.try_recv() != Err(EMPTY);
        let mut streams = Vec::new();
        for (slot, ended) in slots.iter().zip([None, None, None, Some(1)]) {
            streams.push(slot.stream());
            assert_eq!(streams.iter_mut().position(is_ended), ended);
        }
        // A finished stream leaves room for another.
        drop(streams.pop());
        let _last = slots[4].stream();
        assert_eq!(streams.iter_mut().map(is_ended).collect::<Vec<_>>(), [false, true, false]);
        // A connection with a stream is not idle; after the stream it is.
        check_evicted(&mut limiter, &slots, &[1, 3]);
        limiter.evict_idle();
        assert_eq!(limiter.open.len(), 3);
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
