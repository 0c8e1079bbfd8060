//! One account's lane: what is ready to be looked at with its key, in which order, and whether
//! the key may be used just now.
//!
//! What always holds: no more requests under way than allowed, none beyond the budget, none
//! through a closed gate. It knows ids and moments only, no watches, and asks nobody anything.

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

/// The lane's state.
#[derive(Debug)]
pub struct AccountQueue<C: Clock> {
    /// Whether the key may be used.
    pub breaker: CircuitBreaker,
    /// Whether anything can be seen with it.
    pub connectivity: AccountConnectivity,
    /// What lists of the account have shown.
    pub list: ListState,
    /// The requests under way.
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

/// How urgent a look is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// News may be waiting: a young training, a hint, an avatar that was never seen.
    High,
    /// Everything else.
    Normal,
}

/// What can be done in a lane now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NextAction {
    /// Look at this avatar.
    Poll(AvatarId),
    /// Ask for the list.
    List,
    /// Nothing, until then, or until a request that is under way ends.
    Wait(Option<Monotonic>),
}

impl Priority {
    /// How urgent the next look at that avatar is.
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
    /// An empty lane.
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

    /// Follows a new plan: the key gets another chance. What was spent of the budget stays
    /// spent, unless the budget itself is another one.
    pub fn renew(&mut self, max_per_second: NonZeroU32, clock: C) {
        self.breaker = CircuitBreaker::default();
        if self.max_per_second != max_per_second {
            self.max_per_second = max_per_second;
            self.rate_limiter = RateLimiter::new(max_per_second, clock);
        }
    }

    /// Charges what was sent beyond what was given out: so many second requests there have been in
    /// all.
    pub fn charge_reconnects(&mut self, repeats: u64) {
        // Another client counts from zero.
        self.deferred_tokens += repeats.checked_sub(self.reconnects).unwrap_or(repeats);
        self.reconnects = repeats;
    }

    /// Puts an avatar among those that are ready for a look of their own. Urgent ones go first,
    /// but nobody waits behind them for ever: an urgent one passes those that have waited for
    /// less than a minute more.
    pub fn ready(&mut self, id: AvatarId, priority: Priority, now: Monotonic) {
        let rank = match priority {
            Priority::High => now,
            Priority::Normal => now.plus(PRIORITY_BONUS),
        };
        self.for_list.remove(&id);
        self.ready.add(id, rank);
    }

    /// Puts an avatar among those that hints ask for, beside what it is due for anyway. They take
    /// turns with the others, so that no flood of hints keeps anyone waiting for long.
    pub fn hint(&mut self, id: AvatarId, now: Monotonic) {
        self.hinted.add(id, now);
    }

    /// Puts an avatar among those that the next list is to show.
    pub fn ready_for_list(&mut self, id: AvatarId) {
        if !self.ready.holds(&id) {
            self.for_list.insert(id);
        }
    }

    /// Takes an avatar out.
    pub fn remove(&mut self, id: &AvatarId) {
        self.ready.remove(id);
        self.hinted.remove(id);
        self.for_list.remove(id);
    }

    /// Takes out all avatars that wait for a list.
    pub fn take_for_list(&mut self) -> HashSet<AvatarId> {
        std::mem::take(&mut self.for_list)
    }

    /// Takes out everything that is ready.
    pub fn take_all(&mut self) -> Vec<AvatarId> {
        self.hinted = Queue::default();
        let ready = std::mem::take(&mut self.ready);
        ready.ranks.into_keys().chain(self.for_list.drain()).collect()
    }

    /// What can be done at `now`; what it gives out is under way from then on.
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

    /// Who is looked at next: the first of those that are due or the first of those that are
    /// hinted at, whichever has waited for longer, but never two hints in a row while anyone else
    /// waits.
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

/// Avatars in the order of their ranks; each is in it once, with the lowest rank it was given.
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

/// For how long a training is young.
const YOUNG_FOR: Duration = Duration::from_secs(10 * 60);
/// By how much an urgent look goes before a usual one.
const PRIORITY_BONUS: Duration = Duration::from_secs(60);
