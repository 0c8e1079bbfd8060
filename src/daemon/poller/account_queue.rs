//! The poll queue of one account: which avatars are ready, in which order, and whether a request
//! may be sent now.
//!
//! Invariants: never more than `max_concurrency` requests in flight, none beyond the rate limit,
//! none while the circuit breaker blocks. The queue holds ids and times only; it does no I/O.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::num::NonZeroU32;
use std::time::Duration;

use crate::daemon::poller::list_state::ListState;
use crate::daemon::poller::rate_limiter::RateLimiter;
use crate::daemon::ports::Clock;
use crate::domain::avatar::AvatarId;
use crate::domain::avatar::status::Status;
use crate::domain::polling::circuit_breaker::CircuitBreaker;
use crate::domain::polling::connectivity::AccountConnectivity;
use crate::domain::polling::watch::Watch;
use crate::domain::time::monotonic::Monotonic;
use crate::domain::time::timestamp::Timestamp;

/// State of the queue.
#[derive(Debug)]
pub struct AccountQueue<C: Clock> {
    /// Blocks polling while the API refuses the key or limits the rate.
    pub breaker: CircuitBreaker,
    /// Whether polls of the account succeed.
    pub connectivity: AccountConnectivity,
    /// State of the account's list poll.
    pub list: ListState,
    /// Requests in flight.
    pub in_flight: usize,
    rate_limiter: RateLimiter<C>,
    max_per_second: NonZeroU32,
    deferred_tokens: u64,
    reconnects: u64,
    ready: Queue,
    hinted: Queue,
    served_hint: bool,
    for_list: HashSet<AvatarId>,
}

/// Priority of a poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// A recent training, or an avatar without an observation.
    High,
    /// Every other avatar.
    Normal,
}

/// The next step for the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NextAction {
    /// Poll this avatar.
    Poll(AvatarId),
    /// Poll the list.
    List,
    /// Wait until that time, or until a request in flight completes.
    Wait(Option<Monotonic>),
}

impl Priority {
    /// Priority of the next poll of that avatar.
    pub fn of(watch: &Watch, now: Timestamp) -> Self {
        match &watch.observed {
            None => Self::High,
            Some(observed)
                if observed.status == Status::Training
                    && now.since(observed.since) <= YOUNG_FOR =>
            {
                Self::High
            }
            Some(_) => Self::Normal,
        }
    }
}

impl<C: Clock> AccountQueue<C> {
    /// Creates an empty queue.
    pub fn new(
        max_per_second: NonZeroU32,
        connectivity: AccountConnectivity,
        list: ListState,
        clock: C,
    ) -> Self {
        Self {
            breaker: CircuitBreaker::default(),
            connectivity,
            list,
            in_flight: 0,
            rate_limiter: RateLimiter::new(max_per_second, clock),
            max_per_second,
            deferred_tokens: 0,
            reconnects: 0,
            ready: Queue::default(),
            hinted: Queue::default(),
            served_hint: false,
            for_list: HashSet::new(),
        }
    }

    /// Applies a new config. Resets the circuit breaker; the rate limiter keeps its state unless
    /// the limit changed.
    pub fn renew(&mut self, max_per_second: NonZeroU32, clock: C) {
        self.breaker = CircuitBreaker::default();
        if self.max_per_second != max_per_second {
            self.max_per_second = max_per_second;
            self.rate_limiter = RateLimiter::new(max_per_second, clock);
        }
    }

    /// Charges the rate limiter for repeated requests; `reconnects` is the client's total.
    pub fn charge_reconnects(&mut self, repeats: u64) {
        // A new client counts from zero.
        self.deferred_tokens += repeats.checked_sub(self.reconnects).unwrap_or(repeats);
        self.reconnects = repeats;
    }

    /// Enqueues an avatar for a poll of its own. High priority goes first, but does not starve the
    /// others: it overtakes only avatars that waited less than `PRIORITY_BONUS` longer.
    pub fn ready(&mut self, id: AvatarId, priority: Priority, now: Monotonic) {
        let rank = match priority {
            Priority::High => now,
            Priority::Normal => now.plus(PRIORITY_BONUS),
        };
        self.for_list.remove(&id);
        self.ready.add(id, rank);
    }

    /// Enqueues an avatar because of a hint, in addition to its scheduled polls. Hints alternate
    /// with scheduled polls, so a flood of hints delays no avatar for long.
    pub fn hint(&mut self, id: AvatarId, now: Monotonic) {
        self.hinted.add(id, now);
    }

    /// Enqueues an avatar for the next list poll.
    pub fn ready_for_list(&mut self, id: AvatarId) {
        if !self.ready.holds(&id) {
            self.for_list.insert(id);
        }
    }

    /// Removes an avatar from the queue.
    pub fn remove(&mut self, id: &AvatarId) {
        self.ready.remove(id);
        self.hinted.remove(id);
        self.for_list.remove(id);
    }

    /// Removes and returns all avatars that wait for a list poll.
    pub fn take_for_list(&mut self) -> HashSet<AvatarId> {
        std::mem::take(&mut self.for_list)
    }

    /// Removes and returns all avatars that are ready.
    pub fn take_all(&mut self) -> Vec<AvatarId> {
        self.hinted = Queue::default();
        let ready = std::mem::take(&mut self.ready);
        ready.ranks.into_keys().chain(self.for_list.drain()).collect()
    }

    /// Returns the next step at `now`. A returned poll counts as in flight from then on.
    pub fn next_action(&mut self, now: Monotonic, max_concurrency: usize) -> NextAction {
        let wants_list = self.list.wants(now, !self.for_list.is_empty());
        if !wants_list && self.ready.first().is_none() && self.hinted.first().is_none() {
            return NextAction::Wait(self.list.next_at());
        }
        if self.in_flight >= max_concurrency || (self.breaker.is_half_open() && self.in_flight > 0)
        {
            return NextAction::Wait(None);
        }
        if !self.breaker.allows(now) {
            return NextAction::Wait(self.breaker.retry_at());
        }
        while self.deferred_tokens > 0 {
            if let Err(wait) = self.rate_limiter.try_acquire() {
                return NextAction::Wait(Some(now.plus(wait)));
            }
            self.deferred_tokens -= 1;
        }
        if let Err(wait) = self.rate_limiter.try_acquire() {
            return NextAction::Wait(Some(now.plus(wait)));
        }
        self.in_flight += 1;
        if wants_list {
            self.list.begin();
            return NextAction::List;
        }
        match self.next() {
            Some(id) => {
                self.remove(&id);
                NextAction::Poll(id)
            }
            None => NextAction::Wait(None),
        }
    }

    /// The next avatar to poll: the first scheduled or the first hinted one, depending on which has
    /// waited longer, but never two hints in a row while a scheduled one waits.
    fn next(&mut self) -> Option<AvatarId> {
        let (due, hinted) = (self.ready.first(), self.hinted.first());
        let takes_hint = match (due, hinted) {
            (Some((due, _)), Some((hinted, _))) => !self.served_hint && hinted <= due,
            (None, Some(_)) => true,
            (Some(_) | None, None) => false,
        };
        self.served_hint = takes_hint;
        let chosen = if takes_hint { hinted } else { due };
        chosen.map(|(_, id)| id.clone())
    }
}

/// Avatars ordered by rank. Each occurs once, with its lowest rank.
#[derive(Debug, Default)]
struct Queue {
    order: BTreeSet<(Monotonic, AvatarId)>,
    ranks: HashMap<AvatarId, Monotonic>,
}

impl Queue {
    fn add(&mut self, id: AvatarId, rank: Monotonic) {
        let rank = self.ranks.get(&id).map_or(rank, |old| rank.min(*old));
        self.remove(&id);
        self.order.insert((rank, id.clone()));
        self.ranks.insert(id, rank);
    }

    fn remove(&mut self, id: &AvatarId) {
        if let Some(rank) = self.ranks.remove(id) {
            self.order.remove(&(rank, id.clone()));
        }
    }

    fn holds(&self, id: &AvatarId) -> bool {
        self.ranks.contains_key(id)
    }

    fn first(&self) -> Option<&(Monotonic, AvatarId)> {
        self.order.first()
    }
}

/// Duration for which a training has high priority.
const YOUNG_FOR: Duration = Duration::from_secs(10 * 60);
/// Head start of a high-priority poll over a normal one.
const PRIORITY_BONUS: Duration = Duration::from_secs(60);
