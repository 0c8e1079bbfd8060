//! The last successful poll of each avatar and account since the start, and the next one of each
//! avatar; not stored in the database.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::account::AccountName;
use crate::domain::avatar::AvatarId;
use crate::domain::time::monotonic::Monotonic;
use crate::domain::time::timestamp::Timestamp;

/// The last successful polls; clones share them.
#[derive(Clone, Debug, Default)]
pub struct LastSeen(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    avatars: HashMap<AvatarId, LastPoll>,
    next_polls: HashMap<AvatarId, Timestamp>,
    accounts: HashMap<AccountName, (Timestamp, Monotonic)>,
}

/// The last successful poll of an avatar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastPoll {
    /// When it was polled.
    pub seen_at: Timestamp,
    /// URL of its picture as the API returned it: untrusted.
    pub thumbnail: Option<String>,
}

impl LastSeen {
    /// Records a successful poll of an avatar.
    pub fn record(&self, id: &AvatarId, poll: LastPoll) {
        self.known().avatars.insert(id.clone(), poll);
    }

    /// Records a successful request with an account.
    pub fn record_success(&self, account: &AccountName, now: Timestamp, monotonic: Monotonic) {
        self.known().accounts.insert(account.clone(), (now, monotonic));
    }

    /// The last successful poll of an avatar.
    pub fn of(&self, id: &AvatarId) -> Option<LastPoll> {
        self.known().avatars.get(id).cloned()
    }

    /// Records when an avatar is polled next; `None` for never or unknown.
    pub fn set_next_poll(&self, id: &AvatarId, at: Option<Timestamp>) {
        let mut known = self.known();
        match at {
            Some(at) => drop(known.next_polls.insert(id.clone(), at)),
            None => drop(known.next_polls.remove(id)),
        }
    }

    /// When an avatar is polled next.
    pub fn next_poll_at(&self, id: &AvatarId) -> Option<Timestamp> {
        self.known().next_polls.get(id).copied()
    }

    /// When a request with an account last succeeded.
    pub fn last_success_at(&self, account: &AccountName) -> Option<(Timestamp, Monotonic)> {
        self.known().accounts.get(account).copied()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
