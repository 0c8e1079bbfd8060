//! The poll queue of one account: which avatars are ready, in which order, and whether a request
//! may be sent now.
//!
//! Invariants: never more than `max_concurrency` requests in flight, none beyond the rate limit,
//! none while the circuit breaker blocks. The queue holds ids and times only; it does no I/O.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::num::NonZeroU32;
use std::time::Duration;

use crate::daemon::poller::account::list_state::ListState;
use crate::daemon::poller::account::rate_limiter::RateLimiter;
use crate::daemon::ports::Clock;
use crate::domain::avatar::AvatarId;
use crate::domain::avatar::status::Status;
use crate::domain::polling::account_availability::AccountConnectivity;
use crate::domain::polling::circuit_breaker::CircuitBreaker;
use crate::domain::time::monotonic::Monotonic;

/// The poll queue of one account.
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
    /// Limits the polls of settled avatars to a part of the rate.
    settled_limiter: RateLimiter<C>,
    settled_permit: bool,
    max_per_second: NonZeroU32,
    /// Requests that were sent without a permit, and are still to be charged.
    owed_tokens: u64,
    reconnects: u64,
    ready: Queue,
    settled: Queue,
    hinted: Queue,
    last_was_hint: bool,
    for_list: HashSet<AvatarId>,
}

/// Priority of a poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// A recent training, or an avatar without an observation.
    High,
    /// Every other avatar.
    Normal,
    /// An avatar with an outcome of that age.
    Settled(Duration),
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
    /// Priority of the next poll of an avatar with that status of that age; `None` before its first
    /// observation.
    pub fn of(observed: Option<(&Status, Duration)>) -> Self {
        match observed {
            None => Self::High,
            Some((Status::Training, age)) if age <= YOUNG_FOR => Self::High,
            Some((status, age)) if status.is_settled() => Self::Settled(age),
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
            rate_limiter: RateLimiter::new(max_per_second, clock.clone()),
            settled_limiter: RateLimiter::new(settled_share(max_per_second), clock),
            settled_permit: false,
            max_per_second,
            owed_tokens: 0,
            reconnects: 0,
            ready: Queue::default(),
            settled: Queue::default(),
            hinted: Queue::default(),
            last_was_hint: false,
            for_list: HashSet::new(),
        }
    }

    /// Applies a new config. Resets the circuit breaker; the rate limiter keeps its state unless
    /// the limit changed.
    pub fn renew(&mut self, max_per_second: NonZeroU32, clock: C) {
        self.breaker = CircuitBreaker::default();
        if self.max_per_second != max_per_second {
            self.max_per_second = max_per_second;
            self.rate_limiter = RateLimiter::new(max_per_second, clock.clone());
            self.settled_limiter = RateLimiter::new(settled_share(max_per_second), clock);
        }
    }

    /// Charges the rate limiter for repeated requests; `reconnects` is the total of the client.
    pub fn charge_reconnects(&mut self, reconnects: u64) {
        // A new client counts from zero.
        self.owed_tokens += reconnects.checked_sub(self.reconnects).unwrap_or(reconnects);
        self.reconnects = reconnects;
    }

    /// Enqueues an avatar for a poll of its own. A higher priority goes first, but does not starve
    /// the others: each priority has a handicap, which is added to the time that it is due. Among
    /// settled avatars, the younger outcome has the smaller handicap.
    pub fn enqueue(&mut self, id: AvatarId, priority: Priority, now: Monotonic) {
        self.for_list.remove(&id);
        match priority {
            Priority::High => self.ready.add(id, now),
            Priority::Normal => self.ready.add(id, now.plus(HANDICAP_MIN)),
            Priority::Settled(_) if self.ready.holds(&id) => {}
            Priority::Settled(age) => {
                self.settled.add(id, now.plus(age.clamp(HANDICAP_SETTLED, HANDICAP_MAX)));
            }
        }
    }

    /// Enqueues an avatar because of a hint, in addition to its scheduled polls. Hints alternate
    /// with scheduled polls, so a flood of hints delays no avatar for long.
    pub fn enqueue_hinted(&mut self, id: AvatarId, now: Monotonic) {
        self.hinted.add(id, now);
    }

    /// Enqueues an avatar for the next list poll.
    pub fn enqueue_for_list(&mut self, id: AvatarId) {
        if !self.ready.holds(&id) && !self.settled.holds(&id) {
            self.for_list.insert(id);
        }
    }

    /// Removes an avatar from the queue.
    pub fn remove(&mut self, id: &AvatarId) {
        self.ready.remove(id);
        self.settled.remove(id);
        self.hinted.remove(id);
        self.for_list.remove(id);
    }

    /// Removes and returns all avatars that wait for a list poll.
    pub fn take_for_list(&mut self) -> HashSet<AvatarId> {
        std::mem::take(&mut self.for_list)
    }

    /// Empties the queue. Returns the avatars that were due; hints are dropped.
    pub fn take_all(&mut self) -> Vec<AvatarId> {
        self.hinted = Queue::default();
        let [ready, settled] = [&mut self.ready, &mut self.settled].map(std::mem::take);
        ready
            .ranks
            .into_keys()
            .chain(settled.ranks.into_keys())
            .chain(self.for_list.drain())
            .collect()
    }

    /// Returns the next step at `now`. A returned request counts as in flight from then on.
    pub fn next_action(&mut self, now: Monotonic, max_concurrency: usize) -> NextAction {
        let wants_list = self.list.wants(now, !self.for_list.is_empty());
        let settled_at = self.acquire_for_settled(now);
        if !wants_list && self.first_due().is_none() && self.hinted.first().is_none() {
            return NextAction::Wait(self.list.next_at().into_iter().chain(settled_at).min());
        }
        if self.in_flight >= max_concurrency || (self.breaker.is_tripped() && self.in_flight > 0) {
            return NextAction::Wait(None);
        }
        if !self.breaker.allows(now) {
            return NextAction::Wait(self.breaker.retry_at());
        }
        while self.owed_tokens > 0 {
            if let Err(wait) = self.rate_limiter.try_acquire() {
                return NextAction::Wait(Some(now.plus(wait)));
            }
            self.owed_tokens -= 1;
        }
        if let Err(wait) = self.rate_limiter.try_acquire() {
            return NextAction::Wait(Some(now.plus(wait)));
        }
        self.in_flight += 1;
        if wants_list {
            self.list.begin();
            return NextAction::List;
        }
        match self.choose() {
            Some(id) => {
                if self.settled.holds(&id) {
                    self.settled_permit = false;
                }
                self.remove(&id);
                NextAction::Poll(id)
            }
            None => NextAction::Wait(None),
        }
    }

    /// The next avatar to poll: the first scheduled or the first hinted one, depending on which has
    /// waited longer, but never two hints in a row while a scheduled one waits.
    fn choose(&mut self) -> Option<AvatarId> {
        let (due, hinted) = (self.first_due(), self.hinted.first());
        let takes_hint = match (due, hinted) {
            (Some((due, _)), Some((hinted, _))) => !self.last_was_hint && hinted <= due,
            (None, Some(_)) => true,
            (Some(_) | None, None) => false,
        };
        let chosen = if takes_hint { hinted } else { due };
        let chosen = chosen.map(|(_, id)| id.clone());
        self.last_was_hint = takes_hint;
        chosen
    }

    /// The first scheduled avatar that may be polled.
    fn first_due(&self) -> Option<&(Monotonic, AvatarId)> {
        let settled = self.settled.first().filter(|_| self.settled_permit);
        self.ready.first().into_iter().chain(settled).min()
    }

    /// Acquires a permit for the next poll of a settled avatar, and keeps it until that is sent.
    /// Returns when to try again, if one waits in vain.
    fn acquire_for_settled(&mut self, now: Monotonic) -> Option<Monotonic> {
        self.settled.first()?;
        if self.settled_permit {
            return None;
        }
        let acquired = self.settled_limiter.try_acquire();
        self.settled_permit = acquired.is_ok();
        acquired.err().map(|wait| now.plus(wait))
    }
}

/// Requests per second for settled avatars: half of the account's, but at least one, so that a
/// large account does not exhaust its rate limit when nothing is in training.
fn settled_share(max_per_second: NonZeroU32) -> NonZeroU32 {
    NonZeroU32::new(max_per_second.get() / 2).unwrap_or(NonZeroU32::MIN)
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
/// Handicap of a recent outcome: first polls and trainings go before it.
const HANDICAP_SETTLED: Duration = Duration::from_secs(5 * 60);
/// Handicap of a normal poll against one of high priority.
const HANDICAP_MIN: Duration = Duration::from_secs(60);
/// Handicap of an old outcome.
const HANDICAP_MAX: Duration = Duration::from_secs(60 * 60);
