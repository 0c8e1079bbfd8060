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
    avatars: HashMap<AvatarId, KnownPolls>,
    accounts: HashMap<AccountName, (Timestamp, Monotonic)>,
}

/// The last successful poll of an avatar, and the next one.
#[derive(Debug, Default)]
struct KnownPolls {
    seen_at: Option<Timestamp>,
    next_at: Option<Timestamp>,
    /// URL of its picture as the API returned it: untrusted.
    thumbnail: Option<Box<str>>,
}

impl LastSeen {
    /// Records a successful poll of an avatar, with the URL of its picture: untrusted.
    pub fn record(&self, id: &AvatarId, seen_at: Timestamp, thumbnail: Option<&str>) {
        self.change(id, |polls| {
            polls.seen_at = Some(seen_at);
            if polls.thumbnail.as_deref() != thumbnail {
                polls.thumbnail = thumbnail.map(Box::from);
            }
        });
    }

    /// Records a successful request with an account.
    pub fn record_success(&self, account: &AccountName, now: Timestamp, monotonic: Monotonic) {
        self.known().accounts.insert(account.clone(), (now, monotonic));
    }

    /// When an avatar was last polled successfully.
    pub fn seen_at(&self, id: &AvatarId) -> Option<Timestamp> {
        self.known().avatars.get(id)?.seen_at
    }

    /// The URL of the picture of an avatar at its last successful poll: untrusted.
    pub fn thumbnail(&self, id: &AvatarId) -> Option<String> {
        self.known().avatars.get(id)?.thumbnail.as_deref().map(str::to_owned)
    }

    /// Records when an avatar is polled next; `None` for never or unknown.
    pub fn set_next_poll(&self, id: &AvatarId, at: Option<Timestamp>) {
        self.change(id, |polls| polls.next_at = at);
    }

    /// When an avatar is polled next.
    pub fn next_poll_at(&self, id: &AvatarId) -> Option<Timestamp> {
        self.known().avatars.get(id)?.next_at
    }

    /// When a request with an account last succeeded.
    pub fn last_success_at(&self, account: &AccountName) -> Option<(Timestamp, Monotonic)> {
        self.known().accounts.get(account).copied()
    }

    fn change(&self, id: &AvatarId, change: impl FnOnce(&mut KnownPolls)) {
        let mut known = self.known();
        match known.avatars.get_mut(id) {
            Some(polls) => change(polls),
            None => change(known.avatars.entry(id.clone()).or_default()),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
