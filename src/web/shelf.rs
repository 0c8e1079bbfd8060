//! The shelf: the reader of the tables, kept open between two answers, with what it read last.
//!
//! What always holds: what was kept is used only while nobody has written to the database since
//! and it is still the file that it was. SQLite tells that for next to nothing, so a crowd at the
//! page costs the tables one reading for each change. Whoever has taken the reader has it alone.

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::domain::account::AccountName;
use crate::domain::avatar::AvatarId;
use crate::domain::forecast::usual;
use crate::domain::watch::Watch;
use crate::store::error::StoreError;
use crate::store::reader::{ChannelRow, ConditionRow, DeliveryCounts, Reader};

/// Where the reader stands while nobody reads; clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Shelf(Arc<Mutex<Option<Kept>>>);

/// A reader, and what it read last.
#[derive(Debug)]
pub struct Kept {
    /// The reader.
    pub reader: Reader,
    version: i64,
    rows: OnceCell<Rows>,
}

/// What every overview is made of.
#[derive(Debug)]
pub struct Rows {
    /// Every watch that was ever written.
    pub watches: BTreeMap<AvatarId, Watch>,
    /// The avatars that lists showed, each with its account.
    pub discovered: BTreeMap<AvatarId, AccountName>,
    /// How the deliveries stand, by avatar.
    pub counts: BTreeMap<AvatarId, DeliveryCounts>,
    /// How long a training usually lasts, by model.
    pub usual: HashMap<Option<String>, Option<Duration>>,
    /// Every channel that was ever registered.
    pub channels: Vec<ChannelRow>,
    /// The conditions that were told and hold.
    pub conditions: Vec<ConditionRow>,
}

impl Shelf {
    /// Takes the reader, or opens one where there is none or the database is another.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn take(&self, database: &Path) -> Result<Kept, StoreError> {
        let kept = self.kept().take();
        match kept.and_then(Kept::if_current) {
            Some(kept) => Ok(kept),
            None => Kept::open(database),
        }
    }

    /// Puts the reader back.
    pub fn put(&self, kept: Kept) {
        *self.kept() = Some(kept);
    }

    fn kept(&self) -> MutexGuard<'_, Option<Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn open(database: &Path) -> Result<Self, StoreError> {
        let reader = Reader::open(database)?;
        Ok(Self { version: reader.version()?, reader, rows: OnceCell::new() })
    }

    /// The same, without what is no longer true; nothing when the database has gone from its place.
    fn if_current(self) -> Option<Self> {
        if !self.reader.is_current() {
            return None;
        }
        // The version is asked for first: what is written meanwhile is read again next time.
        let version = self.reader.version().ok()?;
        let rows = if version == self.version { self.rows } else { OnceCell::new() };
        Some(Self { reader: self.reader, version, rows })
    }

    /// What every overview is made of.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn rows(&self) -> Result<&Rows, StoreError> {
        if let Some(rows) = self.rows.get() {
            return Ok(rows);
        }
        let rows = Rows::read(&self.reader)?;
        Ok(self.rows.get_or_init(|| rows))
    }
}

impl Rows {
    fn read(reader: &Reader) -> Result<Self, StoreError> {
        let watches = reader.watches()?.into_iter().map(|watch| (watch.id.clone(), watch));
        let lessons = reader.lessons(LESSONS_MAX)?.into_iter();
        Ok(Self {
            watches: watches.collect(),
            discovered: reader.discovered()?,
            counts: reader.delivery_counts()?,
            usual: lessons.map(|(model, lessons)| (model, usual(&lessons))).collect(),
            channels: reader.channels()?,
            conditions: reader.conditions()?,
        })
    }
}

/// Past trainings of one model that tell how long one usually lasts.
const LESSONS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::channel::ChannelName;
    use crate::domain::timestamp::Timestamp;
    use crate::store::channels::Registered;
    use crate::store::handle::Store;

    async fn register(store: &Store, name: &str) {
        let name = ChannelName::parse(name).unwrap();
        let channels = vec![Registered { name, fingerprint: "f".to_owned() }];
        store.register_channels(channels, Timestamp::from_millis(0)).await.unwrap();
    }

    /// Whether the rows are still there, and the channels that they have now.
    fn check(shelf: &Shelf, database: &Path, expected: (bool, &[&str])) {
        let kept = shelf.take(database).unwrap();
        let was_read = kept.rows.get().is_some();
        let channels: Vec<_> =
            kept.rows().unwrap().channels.iter().map(|it| it.name.to_string()).collect();
        let channels: Vec<_> = channels.iter().map(String::as_str).collect();
        assert_eq!((was_read, channels.as_slice()), expected);
        shelf.put(kept);
    }

    #[tokio::test]
    async fn what_was_read_is_kept_until_somebody_writes_or_the_file_is_another() {
        let folder = tempfile::tempdir().unwrap();
        let [one, two] = ["one.db", "two.db"].map(|name| folder.path().join(name));
        let (first, _writer) = Store::open(&one, "test".to_owned()).unwrap();
        let (second, other_writer) = Store::open(&two, "test".to_owned()).unwrap();
        let shelf = Shelf::default();
        check(&shelf, &one, (false, &[]));
        check(&shelf, &one, (true, &[]));
        register(&first, "a").await;
        check(&shelf, &one, (false, &["a"]));
        check(&shelf, &one, (true, &["a"]));
        register(&second, "b").await;
        drop(second);
        tokio::task::spawn_blocking(move || other_writer.join()).await.unwrap();
        std::fs::rename(&two, &one).unwrap();
        for rest in ["-wal", "-shm"] {
            let mut path = one.clone().into_os_string();
            path.push(rest);
            drop(std::fs::remove_file(path));
        }
        check(&shelf, &one, (false, &["b"]));
        std::fs::remove_file(&one).unwrap();
        assert!(matches!(shelf.take(&one), Err(StoreError::Absent { .. })));
    }
}
