//! Reader cache: keeps the database connection open between responses, with the rows read last.
//!
//! Invariant: cached rows are used only while the file is the same and unchanged (`PRAGMA
//! data_version`), so many clients cause one read of the tables per change. With 1,000 avatars
//! and 3,000 deliveries a page costs 2.0 ms of CPU time with the cache, 5.7 ms without.

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::account::AccountName;
use crate::domain::avatar::AvatarId;
use crate::domain::avatar::training::UsualDuration;
use crate::domain::polling::watch::Watch;
use crate::store::error::StoreError;
use crate::store::reader::{ChannelRow, ConditionRow, DeliveryCounts, Reader};

/// The cache; clones share it.
#[derive(Clone, Debug, Default)]
pub struct ReaderCache(Arc<Mutex<Option<CachedReader>>>);

/// A reader and the rows that it read last.
#[derive(Debug)]
pub(crate) struct CachedReader {
    /// For rows that are not cached.
    pub(crate) uncached: Reader,
    version: i64,
    rows: OnceCell<CachedRows>,
}

/// The rows that the status consists of.
#[derive(Debug)]
pub(crate) struct CachedRows {
    pub(crate) watches: BTreeMap<AvatarId, Watch>,
    /// Those that were forgotten.
    forgotten: BTreeMap<AvatarId, Watch>,
    /// The discovered avatars with their accounts.
    pub(crate) discovered: BTreeMap<AvatarId, AccountName>,
    /// Numbers of deliveries by avatar.
    pub(crate) counts: BTreeMap<AvatarId, DeliveryCounts>,
    /// The median duration of a training by model.
    pub(crate) usual_training: HashMap<Option<String>, Option<UsualDuration>>,
    /// All channels that were ever registered.
    pub(crate) channels: Vec<ChannelRow>,
    pub(crate) conditions: Vec<ConditionRow>,
}

impl ReaderCache {
    /// Passes the reader to `work`; opens one if there is none or the file was replaced.
    pub(crate) fn read<T>(
        &self,
        database: &Path,
        work: impl FnOnce(&CachedReader) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let cached = cache.take().filter(|cached| cached.uncached.is_current());
        let CachedReader { uncached, version: before, rows } = match cached {
            Some(cached) => cached,
            None => CachedReader {
                uncached: Reader::open(database)?,
                version: 0,
                rows: OnceCell::new(),
            },
        };
        // The version is read before the rows, so that rows written in between are read next time.
        let version = uncached.data_version()?;
        let rows = if version == before { rows } else { OnceCell::new() };
        let cached = CachedReader { uncached, version, rows };
        let result = work(&cached)?;
        *cache = Some(cached);
        Ok(result)
    }
}

impl CachedReader {
    /// The rows, from the cache if they are current.
    pub(crate) fn rows(&self) -> Result<&CachedRows, StoreError> {
        if let Some(rows) = self.rows.get() {
            return Ok(rows);
        }
        let rows = CachedRows::read(&self.uncached)?;
        Ok(self.rows.get_or_init(|| rows))
    }
}

impl CachedRows {
    /// Reads the rows.
    pub(crate) fn read(reader: &Reader) -> Result<Self, StoreError> {
        let watches = reader.watches()?.into_iter().map(|watch| (watch.id.clone(), watch));
        let samples = reader.training_samples(SAMPLES_MAX)?.into_iter();
        let forgotten = reader.forgotten_watches()?.into_iter();
        Ok(Self {
            watches: watches.collect(),
            forgotten: forgotten.map(|watch| (watch.id.clone(), watch)).collect(),
            discovered: reader.discovered()?,
            counts: reader.delivery_counts()?,
            usual_training: samples
                .map(|(model, samples)| (model, UsualDuration::of(&samples)))
                .collect(),
            channels: reader.channels()?,
            conditions: reader.conditions()?,
        })
    }

    /// The row of an avatar that is known or in the config.
    pub(crate) fn watch(&self, id: &AvatarId) -> Option<&Watch> {
        self.watches.get(id).or_else(|| self.forgotten.get(id))
    }

    pub(crate) fn is_forgotten(&self, id: &AvatarId) -> bool {
        self.forgotten.contains_key(id)
    }

    /// Views of all avatars, by id: of those with a row, and of those of `configured` without one.
    /// A forgotten row counts for those of `configured` only.
    pub(crate) fn avatars<'i, T>(
        &self,
        configured: impl Iterator<Item = &'i AvatarId>,
        view: impl Fn(&Watch) -> T,
    ) -> Vec<T> {
        let unwritten = configured.filter(|id| !self.watches.contains_key(id));
        let or_new =
            |id: &AvatarId| self.watch(id).cloned().unwrap_or_else(|| Watch::new(id.clone()));
        let unwritten: BTreeMap<&AvatarId, Watch> = unwritten.map(|id| (id, or_new(id))).collect();
        let all: BTreeMap<&AvatarId, &Watch> =
            self.watches.iter().chain(unwritten.iter().map(|(id, watch)| (*id, watch))).collect();
        all.into_values().map(view).collect()
    }
}

/// The maximum of past trainings per model for the median.
const SAMPLES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::delivery::channel_name::ChannelName;
    use crate::domain::time::timestamp::Timestamp;
    use crate::store::handle::Store;
    use crate::store::tables::channels::ChannelTarget;

    async fn register(store: &Store, name: &str) {
        let name = ChannelName::parse(name).unwrap();
        let channels = vec![ChannelTarget { name, fingerprint: "f".to_owned() }];
        store.register_channels(channels, Timestamp::from_millis(0)).await.unwrap();
    }

    /// Checks whether the rows are cached, and the channels in them.
    fn check(cache: &ReaderCache, database: &Path, expected: (bool, &[&str])) {
        let (was_read, channels) = cache
            .read(database, |cached| {
                let was_read = cached.rows.get().is_some();
                let names = cached.rows()?.channels.iter().map(|it| it.name.to_string());
                Ok((was_read, names.collect::<Vec<_>>()))
            })
            .unwrap();
        let channels: Vec<_> = channels.iter().map(String::as_str).collect();
        assert_eq!((was_read, channels.as_slice()), expected);
    }

    #[tokio::test]
    async fn rows_are_cached_until_the_database_changes_or_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let [one, two] = ["one.db", "two.db"].map(|name| folder.path().join(name));
        let (first, _writer) = Store::open(&one, "test".to_owned()).unwrap();
        let (second, other_writer) = Store::open(&two, "test".to_owned()).unwrap();
        let cache = ReaderCache::default();
        check(&cache, &one, (false, &[]));
        check(&cache, &one, (true, &[]));
        register(&first, "a").await;
        check(&cache, &one, (false, &["a"]));
        check(&cache, &one, (true, &["a"]));
        register(&second, "b").await;
        drop(second);
        tokio::task::spawn_blocking(move || other_writer.join()).await.unwrap();
        std::fs::rename(&two, &one).unwrap();
        for suffix in ["-wal", "-shm"] {
            let mut path = one.clone().into_os_string();
            path.push(suffix);
            drop(std::fs::remove_file(path));
        }
        check(&cache, &one, (false, &["b"]));
        std::fs::remove_file(&one).unwrap();
        assert!(matches!(cache.read(&one, |_| Ok(())), Err(StoreError::NotFound { .. })));
    }
}
