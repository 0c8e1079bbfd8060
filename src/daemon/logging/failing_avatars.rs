//! The avatars of each account that fail now, except missing ones: several at once are one failure
//! of the account in the log.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::account::AccountName;
use crate::domain::avatar::AvatarId;

/// The failing avatars; clones share them.
#[derive(Clone, Debug, Default)]
pub struct FailingAvatars(Arc<Mutex<HashMap<AccountName, HashSet<AvatarId>>>>);

/// The account of an avatar that fails no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NoLongerFailing {
    pub(crate) account: AccountName,
    /// Whether no other avatar of the account fails.
    pub(crate) is_last: bool,
}

impl FailingAvatars {
    /// Adds an avatar; returns how many of its account fail.
    pub(crate) fn add(&self, account: &AccountName, id: &AvatarId) -> usize {
        let mut accounts = self.accounts();
        let avatars = accounts.entry(account.clone()).or_default();
        avatars.insert(id.clone());
        avatars.len()
    }

    /// Removes an avatar; `None` if it was not failing in this process.
    pub(crate) fn remove(&self, id: &AvatarId) -> Option<NoLongerFailing> {
        let mut accounts = self.accounts();
        let (account, avatars) = accounts.iter_mut().find(|(_, avatars)| avatars.contains(id))?;
        avatars.remove(id);
        let (account, is_last) = (account.clone(), avatars.is_empty());
        if is_last {
            accounts.remove(&account);
        }
        Some(NoLongerFailing { account, is_last })
    }

    fn accounts(&self) -> MutexGuard<'_, HashMap<AccountName, HashSet<AvatarId>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
