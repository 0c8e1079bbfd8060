//! The watched avatars: those of the config and those that lists showed, with lookup by id in any
//! case.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::daemon::config::runtime_config::WatchedAvatar;
use crate::domain::account::AccountName;
use crate::domain::avatar::AvatarId;
use crate::domain::avatar::status::Status;
use crate::domain::polling::watch::Watch;
use crate::domain::time::timestamp::Timestamp;

/// The watched avatars.
#[derive(Debug, Default)]
pub(in crate::daemon) struct WatchList {
    avatars: HashMap<AvatarId, Arc<WatchedAvatar>>,
    /// Those with an id that is not in lower case.
    by_normalized_id: HashMap<String, AvatarId>,
    /// Avatars discovered since the start; they may not be stored yet.
    discovered: HashMap<AvatarId, AccountName>,
}

impl WatchList {
    /// Replaces the watched avatars and returns the previous ones. Keeps which were discovered.
    pub(in crate::daemon) fn replace(
        &mut self,
        avatars: HashMap<AvatarId, Arc<WatchedAvatar>>,
    ) -> HashMap<AvatarId, Arc<WatchedAvatar>> {
        let before = std::mem::replace(&mut self.avatars, avatars);
        self.by_normalized_id = self.avatars.keys().filter_map(Self::if_mixed_case).collect();
        before
    }

    /// Adds a discovered avatar.
    pub(in crate::daemon) fn discover(&mut self, id: &AvatarId, avatar: &Arc<WatchedAvatar>) {
        self.avatars.insert(id.clone(), Arc::clone(avatar));
        self.by_normalized_id.extend(Self::if_mixed_case(id));
        self.discovered.insert(id.clone(), avatar.account.clone());
    }

    pub(in crate::daemon) fn get(&self, id: &AvatarId) -> Option<&Arc<WatchedAvatar>> {
        self.avatars.get(id)
    }

    pub(in crate::daemon) fn contains(&self, id: &AvatarId) -> bool {
        self.avatars.contains_key(id)
    }

    pub(in crate::daemon) fn len(&self) -> usize {
        self.avatars.len()
    }

    pub(in crate::daemon) fn ids(&self) -> impl Iterator<Item = &AvatarId> {
        self.avatars.keys()
    }

    /// The ids of an account's avatars.
    pub(in crate::daemon) fn ids_of(
        &self,
        account: &AccountName,
    ) -> impl Iterator<Item = &AvatarId> {
        self.avatars.iter().filter(move |(_, it)| it.account == *account).map(|(id, _)| id)
    }

    /// The last status of an avatar and its age; `None` before the first observation.
    pub(in crate::daemon) fn status_and_age<'a>(
        &self,
        watch: &'a Watch,
        now: Timestamp,
    ) -> Option<(&'a Status, Duration)> {
        let is_named = self.get(&watch.id).is_some_and(|it| it.location.is_some());
        Some((&watch.observed.as_ref()?.status, watch.age(is_named, now)?))
    }

    /// The watched id that equals `id` except for case.
    pub(in crate::daemon) fn resolve(&self, id: &AvatarId) -> Option<&AvatarId> {
        let normalized = normalized_id(id);
        let found = self.avatars.get_key_value(normalized.as_str()).map(|(id, _)| id);
        found.or_else(|| self.by_normalized_id.get(&normalized))
    }

    fn if_mixed_case(id: &AvatarId) -> Option<(String, AvatarId)> {
        let normalized = normalized_id(id);
        (normalized != id.as_str()).then(|| (normalized, id.clone()))
    }

    /// Avatars of an account that were discovered since the start.
    pub(in crate::daemon) fn discovered_in(
        &self,
        account: &AccountName,
    ) -> impl Iterator<Item = &AvatarId> {
        self.discovered.iter().filter(move |(_, it)| *it == account).map(|(id, _)| id)
    }

    /// Number of watched avatars that the config does not name.
    pub(in crate::daemon) fn discovered_count(&self) -> usize {
        self.avatars.values().filter(|it| it.location.is_none()).count()
    }
}

/// Normalized id for comparison with external input, which may differ in case.
pub(in crate::daemon) fn normalized_id(id: &AvatarId) -> String {
    id.as_str().to_ascii_lowercase()
}
