//! Reader cache: keeps the database connection open between responses, with the rows read last.
//!
//! Invariant: cached rows are used only while the file and the config are the same and unchanged
//! (`PRAGMA data_version`), so many clients cause one read of the tables per change. Rows of single
//! avatars are not cached: there may be many.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::domain::account::AccountName;
use crate::domain::avatar::AvatarId;
use crate::store::error::StoreError;
use crate::store::reader::{ChannelRow, ConditionRow, Reader};
use crate::web::avatar_summary::AvatarSummary;
use crate::web::config_view::ConfigView;
use crate::web::view_rows::ViewRows;

/// The cache; clones share it.
#[derive(Clone, Debug, Default)]
pub struct ReaderCache(Arc<Mutex<Option<CachedReader>>>);

/// A reader and what it read last.
#[derive(Debug)]
pub(crate) struct CachedReader {
    /// For rows that are not cached.
    pub(crate) uncached: Reader,
    version: i64,
    config: Weak<ConfigView>,
    rows: CachedRows,
}

/// What was read, each when it was first needed.
#[derive(Debug, Default)]
struct CachedRows {
    discovered: OnceCell<BTreeMap<AvatarId, AccountName>>,
    summary: OnceCell<AvatarSummary>,
    view_rows: OnceCell<ViewRows>,
    channels: OnceCell<Vec<ChannelRow>>,
    conditions: OnceCell<Vec<ConditionRow>>,
}

impl ReaderCache {
    /// Passes the reader to `work`; opens one if there is none or the file was replaced.
    pub(crate) fn read<T>(
        &self,
        database: &Path,
        config: &Arc<ConfigView>,
        work: impl FnOnce(&CachedReader) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let cached = cache.take().filter(|cached| cached.uncached.is_current());
        let config = Arc::downgrade(config);
        let mut cached = match cached {
            Some(cached) => cached,
            None => CachedReader {
                uncached: Reader::open(database)?,
                version: 0,
                config: Weak::new(),
                rows: CachedRows::default(),
            },
        };
        // The version is read before the rows, so that rows written in between are read next time.
        let version = cached.uncached.data_version()?;
        if version != cached.version || !Weak::ptr_eq(&config, &cached.config) {
            cached = CachedReader { version, config, rows: CachedRows::default(), ..cached };
        }
        let result = work(&cached)?;
        *cache = Some(cached);
        Ok(result)
    }
}

impl CachedReader {
    /// The discovered avatars with their accounts.
    pub(crate) fn discovered(&self) -> Result<&BTreeMap<AvatarId, AccountName>, StoreError> {
        kept(&self.rows.discovered, || self.uncached.discovered())
    }

    /// The summary of the avatars that are watched with the config that this was called with.
    pub(super) fn summary(&self, config: &ConfigView) -> Result<&AvatarSummary, StoreError> {
        let read = || AvatarSummary::read(&self.uncached, config, self.discovered()?);
        kept(&self.rows.summary, read)
    }

    pub(crate) fn view_rows(&self) -> Result<&ViewRows, StoreError> {
        kept(&self.rows.view_rows, || ViewRows::read(&self.uncached))
    }

    /// All channels that were ever registered.
    pub(crate) fn channels(&self) -> Result<&[ChannelRow], StoreError> {
        kept(&self.rows.channels, || self.uncached.channels()).map(Vec::as_slice)
    }

    pub(crate) fn conditions(&self) -> Result<&[ConditionRow], StoreError> {
        kept(&self.rows.conditions, || self.uncached.conditions()).map(Vec::as_slice)
    }
}

/// The kept value, read if there is none yet.
fn kept<T>(
    cell: &OnceCell<T>,
    read: impl FnOnce() -> Result<T, StoreError>,
) -> Result<&T, StoreError> {
    if let Some(kept) = cell.get() {
        return Ok(kept);
    }
    let value = read()?;
    Ok(cell.get_or_init(|| value))
}

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
    fn check(
        (cache, config): (&ReaderCache, &Arc<ConfigView>),
        database: &Path,
        expected: (bool, &[&str]),
    ) {
        let (was_read, channels) = cache
            .read(database, config, |cached| {
                let was_read = cached.rows.channels.get().is_some();
                let names = cached.channels()?.iter().map(|it| it.name.to_string());
                Ok((was_read, names.collect::<Vec<_>>()))
            })
            .unwrap();
        let channels: Vec<_> = channels.iter().map(String::as_str).collect();
        assert_eq!((was_read, channels.as_slice()), expected);
    }

    #[tokio::test]
    async fn rows_are_cached_until_the_database_or_the_config_changes_or_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let [one, two] = ["one.db", "two.db"].map(|name| folder.path().join(name));
        let (first, _writer) = Store::open(&one, "test".to_owned()).unwrap();
        let (second, other_writer) = Store::open(&two, "test".to_owned()).unwrap();
        let cache = ReaderCache::default();
        let configs = [Arc::default(), Arc::default()];
        let [with_config, with_other] = configs.each_ref().map(|config| (&cache, config));
        check(with_config, &one, (false, &[]));
        check(with_config, &one, (true, &[]));
        register(&first, "a").await;
        check(with_config, &one, (false, &["a"]));
        check(with_config, &one, (true, &["a"]));
        check(with_other, &one, (false, &["a"]));
        register(&second, "b").await;
        drop(second);
        tokio::task::spawn_blocking(move || other_writer.join()).await.unwrap();
        std::fs::rename(&two, &one).unwrap();
        for suffix in ["-wal", "-shm"] {
            let mut path = one.clone().into_os_string();
            path.push(suffix);
            drop(std::fs::remove_file(path));
        }
        check(with_config, &one, (false, &["b"]));
        std::fs::remove_file(&one).unwrap();
        assert!(matches!(
            cache.read(&one, &configs[0], |_| Ok(())),
            Err(StoreError::NotFound { .. })
        ));
    }
}
