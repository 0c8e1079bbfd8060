//! What the last look at each avatar showed and the tables do not keep: when it was, and where
//! its picture is. And when each key last showed anything.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::account::AccountName;
use crate::domain::avatar::AvatarId;
use crate::domain::time::monotonic::Monotonic;
use crate::domain::time::timestamp::Timestamp;

/// The last looks; clones are the same.
#[derive(Clone, Debug, Default)]
pub struct LastSeen(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    avatars: HashMap<AvatarId, LastPoll>,
    accounts: HashMap<AccountName, (Timestamp, Monotonic)>,
}

/// What the last look at an avatar showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastPoll {
    /// When it was last seen.
    pub seen_at: Timestamp,
    /// The address of its picture, as the API gave it: foreign text.
    pub thumbnail: Option<String>,
}

impl LastSeen {
    /// Notes that an avatar was seen.
    pub fn record(&self, id: &AvatarId, sighting: LastPoll) {
        self.known().avatars.insert(id.clone(), sighting);
    }

    /// Notes that a key showed something.
    pub fn record_success(&self, account: &AccountName, now: Timestamp, moment: Monotonic) {
        self.known().accounts.insert(account.clone(), (now, moment));
    }

    /// The last sight of an avatar since the start.
    pub fn of(&self, id: &AvatarId) -> Option<LastPoll> {
        self.known().avatars.get(id).cloned()
    }

    /// When a key last showed anything since the start.
    pub fn last_success_at(&self, account: &AccountName) -> Option<(Timestamp, Monotonic)> {
        self.known().accounts.get(account).copied()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
