//! Summary of the watched avatars, in one pass over the config and the database, both in the order
//! of their ids. It has numbers, and the ids of those that a page or the status names: the views of
//! these few are made for each response.

use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::ops::ControlFlow;

use crate::domain::account::AccountName;
use crate::domain::avatar::AvatarId;
use crate::domain::avatar::status::Status;
use crate::domain::routing::facts::AvatarRouting;
use crate::domain::time::timestamp::Timestamp;
use crate::domain::unreached_avatars::UnreachedAvatars;
use crate::store::avatar_rows::AvatarRow;
use crate::store::error::StoreError;
use crate::store::reader::Reader;
use crate::text::sanitize::is_blank;
use crate::web::config_view::{AvatarConfig, ConfigView};
use crate::web::routes::UnreachedSearch;

/// The watched avatars.
#[derive(Debug, Default)]
pub(super) struct AvatarSummary {
    /// Their numbers by the last observed status; `None` before the first successful poll.
    pub(super) statuses: BTreeMap<Option<String>, u64>,
    /// Those with a failed last poll.
    pub(super) failing: Vec<AvatarId>,
    /// Those with a status that this version does not know.
    pub(super) unrecognized: Vec<AvatarId>,
    /// Those in training, the longest first; at most [`LISTED_MAX`].
    pub(super) training: Vec<AvatarId>,
    /// The others by id; at most [`LISTED_MAX`].
    pub(super) others: Vec<AvatarId>,
    /// The accounts that they are polled with.
    pub(super) accounts: BTreeSet<AccountName>,
    pub(super) unreached: UnreachedAvatars,
}

/// An avatar of the config or of the database.
pub(super) struct AvatarEntry<'a> {
    pub(super) id: &'a str,
    pub(super) row: Option<AvatarRow<'a>>,
    pub(super) configured: Option<&'a AvatarConfig>,
}

impl AvatarSummary {
    pub(super) fn read(
        reader: &Reader,
        config: &ConfigView,
        discovered: &BTreeMap<AvatarId, AccountName>,
    ) -> Result<Self, StoreError> {
        let mut summary = Self::default();
        let mut longest = BinaryHeap::new();
        let mut unreached = UnreachedSearch::new(&config.routing);
        each_avatar(reader, config, "", |avatar| {
            let account = match avatar.configured {
                Some(configured) => Some(&configured.routing.account),
                None => discovered.get(avatar.id),
            };
            // Neither configured nor discovered: it is not watched any more.
            if let Some(account) = account {
                let routing = avatar.configured.map(|it| &*it.routing);
                let routing = routing.or_else(|| config.routing.discovered.get(account));
                summary.add(&avatar, account, &mut longest);
                unreached.add(&avatar, routing);
            }
            ControlFlow::Continue(())
        })?;
        summary.training = longest.into_sorted_vec().into_iter().map(|(_, id)| id).collect();
        summary.unreached = unreached.found;
        Ok(summary)
    }

    /// The number of watched avatars.
    pub(super) fn watched(&self) -> u64 {
        self.statuses.values().sum()
    }

    /// The number of watched avatars with one of these statuses.
    pub(super) fn with_status(&self, wanted: &[Status]) -> u64 {
        let is_wanted = |status: &Option<String>| {
            status.as_deref().is_some_and(|name| wanted.iter().any(|it| it.name() == name))
        };
        self.statuses.iter().filter(|(status, _)| is_wanted(status)).map(|(_, count)| count).sum()
    }

    fn add(
        &mut self,
        avatar: &AvatarEntry<'_>,
        account: &AccountName,
        longest: &mut BinaryHeap<(Timestamp, AvatarId)>,
    ) {
        let status = avatar.row.and_then(|row| row.status);
        match self.statuses.iter_mut().find(|(known, _)| known.as_deref() == status) {
            Some((_, count)) => *count += 1,
            None => drop(self.statuses.insert(status.map(str::to_owned), 1)),
        }
        if !self.accounts.contains(account) {
            self.accounts.insert(account.clone());
        }
        // An id of the config or of the database parses.
        let id = || AvatarId::parse(avatar.id).ok();
        if avatar.row.is_some_and(|row| row.is_failing) {
            self.failing.extend(id());
        }
        if status.is_some_and(|status| !Status::from_name(status).is_recognized()) {
            self.unrecognized.extend(id());
        }
        match avatar.row.and_then(|row| row.training_since) {
            None if self.others.len() < LISTED_MAX => self.others.extend(id()),
            None => {}
            Some(since) => {
                let is_longer = longest.peek().is_none_or(|(shortest, _)| since < *shortest);
                if longest.len() < LISTED_MAX || is_longer {
                    longest.extend(id().map(|id| (since, id)));
                }
                if longest.len() > LISTED_MAX {
                    longest.pop();
                }
            }
        }
    }
}

impl UnreachedSearch<'_> {
    fn add(&mut self, avatar: &AvatarEntry<'_>, routing: Option<&AvatarRouting>) {
        let (Some(row), Some(routing)) = (avatar.row, routing) else { return };
        let label = avatar.configured.and_then(|it| it.label.as_deref());
        let name = [label, row.name].into_iter().flatten().find(|name| !is_blank(name));
        if row.status.is_some() {
            self.check(avatar.id, name, row.model, routing);
        }
    }
}

/// Visits the avatars of the config and of the database with an id after `after`, by id. A
/// forgotten one counts only if it is in the config.
pub(super) fn each_avatar(
    reader: &Reader,
    config: &ConfigView,
    after: &str,
    mut visit: impl FnMut(AvatarEntry<'_>) -> ControlFlow<()>,
) -> Result<(), StoreError> {
    let begin = (std::ops::Bound::Excluded(after), std::ops::Bound::Unbounded);
    let mut configured = config.avatars.range::<str, _>(begin).peekable();
    let mut is_ended = false;
    reader.each_avatar(after, |row| {
        let unwritten = std::iter::from_fn(|| configured.next_if(|(id, _)| id.as_str() < row.id));
        let mut all = unwritten.map(AvatarEntry::unwritten);
        if all.any(|avatar| visit(avatar).is_break()) {
            is_ended = true;
            return ControlFlow::Break(());
        }
        let (id, row) = (row.id, Some(row));
        let configured = configured.next_if(|(it, _)| it.as_str() == id).map(|(_, it)| it);
        if row.is_some_and(|row| row.is_forgotten) && configured.is_none() {
            return ControlFlow::Continue(());
        }
        let visited = visit(AvatarEntry { id, row, configured });
        is_ended = visited.is_break();
        visited
    })?;
    if !is_ended {
        let _ = configured.map(AvatarEntry::unwritten).try_for_each(visit);
    }
    Ok(())
}

impl<'a> AvatarEntry<'a> {
    fn unwritten((id, configured): (&'a AvatarId, &'a AvatarConfig)) -> Self {
        Self { id: id.as_str(), row: None, configured: Some(configured) }
    }
}

/// The maximum number of avatars in a list of the page.
const LISTED_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::polling::watch::{LastObserved, Watch};
    use crate::store::handle::{ObservationCommit, Store};

    fn id(text: &str) -> AvatarId {
        AvatarId::parse(text).unwrap()
    }

    async fn record(store: &Store, avatar: &str, status: Option<&str>, since_s: i64) {
        let since = Timestamp::from_millis(since_s * 1_000);
        let observed = status.map(|status| LastObserved {
            status: Status::from_name(status),
            since,
            changed_after: None,
            last_seen_at: since,
        });
        let discovered = avatar.starts_with("found").then(AccountName::default);
        let change = ObservationCommit {
            watch: Watch { observed, ..Watch::new(id(avatar)) },
            transition: None,
            events: Vec::new(),
            conditions: Vec::new(),
            discovered,
            now: since,
        };
        store.commit(change).await.unwrap();
    }

    fn config(avatars: &[&str]) -> ConfigView {
        let avatar = AvatarConfig { label: None, routing: Arc::default() };
        let avatars = avatars.iter().map(|text| (id(text), avatar.clone()));
        ConfigView { avatars: avatars.collect(), ..ConfigView::default() }
    }

    fn texts(ids: &[AvatarId]) -> Vec<&str> {
        ids.iter().map(AvatarId::as_str).collect()
    }

    #[tokio::test]
    async fn each_watched_avatar_counts_once_and_no_other_does() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let (store, _writer) = Store::open(&path, "test".to_owned()).unwrap();
        for (avatar, status, since_s) in [
            ("b", Some("IDLE"), 1),
            ("d", Some("TRAINING"), 9),
            ("found", Some("TRAINING"), 5),
            ("odd", Some("BAKING"), 5),
            ("removed", Some("IDLE"), 5),
            ("unpolled", None, 5),
        ] {
            record(&store, avatar, status, since_s).await;
        }
        let reader = Reader::open(&path).unwrap();
        let config = config(&["a", "b", "d", "odd", "unpolled", "z"]);
        let summary = AvatarSummary::read(&reader, &config, &reader.discovered().unwrap()).unwrap();
        assert_eq!(summary.watched(), 7);
        assert_eq!(summary.statuses.get(&None), Some(&3));
        assert_eq!(summary.with_status(&[Status::Training]), 2);
        assert_eq!(texts(&summary.training), ["found", "d"], "the longest first");
        assert_eq!(texts(&summary.others), ["a", "b", "odd", "unpolled", "z"]);
        assert_eq!(texts(&summary.unrecognized), ["odd"]);
        let listed = |after: &str| {
            let mut ids = Vec::new();
            let visit = |avatar: AvatarEntry<'_>| {
                ids.push(avatar.id.to_owned());
                if ids.len() == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            each_avatar(&reader, &config, after, visit).unwrap();
            ids.join(" ")
        };
        assert_eq!(listed(""), "a b d");
        assert_eq!(listed("d"), "found odd removed");
        assert_eq!(listed("removed"), "unpolled z");
    }

    #[tokio::test]
    async fn a_list_has_a_bounded_number_of_avatars() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let (store, _writer) = Store::open(&path, "test".to_owned()).unwrap();
        let ids: Vec<String> = (0..2 * LISTED_MAX).map(|number| format!("a{number:04}")).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let (idle, training) = ids.split_at(LISTED_MAX - 1);
        for (since_s, avatar) in (0..).zip(training) {
            record(&store, avatar, Some("TRAINING"), since_s).await;
        }
        let reader = Reader::open(&path).unwrap();
        let summary = AvatarSummary::read(&reader, &config(&ids), &BTreeMap::new()).unwrap();
        assert_eq!(texts(&summary.training), training[..LISTED_MAX]);
        assert_eq!(texts(&summary.others), *idle);
        assert_eq!(summary.with_status(&[Status::Training]), training.len() as u64);
    }
}
