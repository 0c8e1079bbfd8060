//! The store as the loops hold it: every write goes to one thread, which puts all that waits
//! into one commit.
//!
//! What always holds: an answer comes only after the commit is on disk; a write that fails
//! takes none of its neighbours with it, unless SQLite rolled all of them back, and then all
//! are told. The handle may be cloned; when the last one is dropped the thread ends.

use std::path::Path;
use std::thread::JoinHandle;

use rusqlite::{Connection, Transaction};
use tokio::sync::{mpsc, oneshot};

use crate::domain::avatar::AvatarId;
use crate::domain::channel::ChannelName;
use crate::domain::event::Event;
use crate::domain::timestamp::Timestamp;
use crate::domain::transition::Transition;
use crate::domain::watch::Watch;
use crate::store::database::{self, DatabaseFile};
use crate::store::error::{Doing as _, StoreError};
use crate::store::lock::DatabaseLock;
use crate::store::outbox::{self, Claim, Claims, NewDelivery, Settlement};
use crate::store::recovery::{self, Recovery};
use crate::store::{events, transitions, watches};

/// What one observation changed: written together or not at all.
#[derive(Clone, Debug)]
pub struct Change {
    /// The watch as it is now.
    pub watch: Watch,
    /// The change of status, if there was one.
    pub transition: Option<Transition>,
    /// What is told about it, with its frozen body.
    pub event: Option<(Event, Vec<u8>)>,
    /// To whom.
    pub deliveries: Vec<NewDelivery>,
    /// When.
    pub now: Timestamp,
}

/// A handle on the writer's thread.
#[derive(Clone, Debug)]
pub struct Store {
    jobs: mpsc::Sender<Box<dyn Job>>,
}

/// The writer's thread, to be waited for at the end.
#[derive(Debug)]
pub struct Writer {
    thread: JoinHandle<()>,
}

impl Store {
    /// Takes the lock, opens the database and starts its writer. `boot_id` marks this process's
    /// claims.
    ///
    /// # Errors
    /// When another daemon holds the database, or it cannot be opened, is damaged or newer.
    pub fn open(path: &Path, boot_id: String) -> Result<(Self, Writer), StoreError> {
        let lock = DatabaseLock::acquire(path)?;
        let connection = database::open_for_writing(path)?;
        let (jobs, waiting) = mpsc::channel(JOBS_WAITING_MAX);
        let file = DatabaseFile::open_now(path)?;
        let thread = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || {
                write_all(connection, &file, waiting, &boot_id);
                drop(lock);
            })
            .map_err(|source| StoreError::Disk {
                doing: "starting the writer of",
                path: path.to_owned(),
                source,
            })?;
        Ok((Self { jobs }, Writer { thread }))
    }

    /// The watches of these avatars, as they were last written; new ones for those that never
    /// were. Writes nothing.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn watches(&self, ids: Vec<AvatarId>) -> Result<Vec<Watch>, StoreError> {
        self.run("reading the watches", move |connection, _| {
            ids.into_iter()
                .map(|id| Ok(watches::find(connection, &id)?.unwrap_or_else(|| Watch::new(id))))
                .collect()
        })
        .await
    }

    /// Writes what one observation changed.
    ///
    /// # Errors
    /// When it could not be written; then nothing of it was.
    pub async fn commit(&self, change: Change) -> Result<(), StoreError> {
        self.run("recording a change", move |connection, _| {
            watches::save(connection, &change.watch)?;
            if let Some(transition) = &change.transition {
                transitions::append(connection, transition)?;
            }
            if let Some((event, body)) = &change.event {
                events::insert(connection, event, body)?;
                for delivery in &change.deliveries {
                    let avatar = change.watch.id.as_str();
                    outbox::insert(connection, &event.id, avatar, delivery, change.now)?;
                }
            }
            Ok(())
        })
        .await
    }

    /// Notes when avatars were last seen as their rows say.
    ///
    /// # Errors
    /// When it could not be written.
    pub async fn touch(&self, seen: Vec<(AvatarId, Timestamp)>) -> Result<(), StoreError> {
        self.run("noting what was last seen", move |connection, _| {
            seen.iter().try_for_each(|(id, at)| watches::touch(connection, id, *at))
        })
        .await
    }

    /// Registers the channels of the config with the fingerprints of their targets. Channels
    /// that are not among them keep their rows and their deliveries.
    ///
    /// # Errors
    /// When it could not be written.
    pub async fn register_channels(
        &self,
        channels: Vec<(ChannelName, String)>,
    ) -> Result<(), StoreError> {
        self.run("registering the channels", move |connection, _| {
            let mut statement = connection.prepare_cached(
                "INSERT INTO channels(id, target_fp) VALUES(?1, ?2)
                 ON CONFLICT(id) DO UPDATE SET target_fp = excluded.target_fp
                 WHERE target_fp <> excluded.target_fp",
            )?;
            channels
                .iter()
                .try_for_each(|(name, target)| statement.execute((name, target)).map(drop))
        })
        .await
    }

    /// Takes back every try that a process before this one left open; their number.
    ///
    /// # Errors
    /// When it could not be written.
    pub async fn recover(&self, recovery: Recovery) -> Result<usize, StoreError> {
        self.run("taking back open tries", move |connection, boot_id| {
            recovery::recover(connection, &recovery, boot_id)
        })
        .await
    }

    /// Makes due what waits for a moment that it was given before the wall clock was set back;
    /// its number.
    ///
    /// # Errors
    /// When it could not be written.
    pub async fn hasten_after_set_back(&self, now: Timestamp) -> Result<usize, StoreError> {
        self.run("making up for a clock set back", move |connection, _| {
            recovery::hasten_after_set_back(connection, now)
        })
        .await
    }

    /// Takes due deliveries for the channels that have room.
    ///
    /// # Errors
    /// When it could not be written; then nothing was taken.
    pub async fn claim(&self, claim: Claim) -> Result<Claims, StoreError> {
        self.run("claiming deliveries", move |connection, boot_id| {
            outbox::claim(connection, &claim, boot_id)
        })
        .await
    }

    /// Records the end of a try; `false` when the delivery is no longer in that try, and then
    /// nothing was recorded.
    ///
    /// # Errors
    /// When it could not be written; then it may be tried again.
    pub async fn settle(&self, settlement: Settlement) -> Result<bool, StoreError> {
        self.run("recording the end of a try", move |connection, boot_id| {
            outbox::settle(connection, &settlement, boot_id)
        })
        .await
    }

    /// Pending deliveries by channel that is not among `configured`: parked, never dropped.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn parked(
        &self,
        configured: Vec<ChannelName>,
    ) -> Result<Vec<(ChannelName, u64)>, StoreError> {
        self.run("counting parked deliveries", move |connection, _| {
            let mut statement = connection.prepare_cached(
                "SELECT channel_id, count(*) FROM deliveries
                 WHERE state = 'pending' GROUP BY channel_id ORDER BY channel_id",
            )?;
            let rows = statement
                .query_map([], |row| Ok((row.get::<_, ChannelName>(0)?, row.get::<_, i64>(1)?)))?;
            rows.filter_map(|row| match row {
                Ok((name, _)) if configured.contains(&name) => None,
                Ok((name, count)) => Some(Ok((name, u64::try_from(count).unwrap_or(0)))),
                Err(error) => Some(Err(error)),
            })
            .collect()
        })
        .await
    }

    async fn run<T, F>(&self, doing: &'static str, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection, &str) -> rusqlite::Result<T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job = Task { doing, work: Some(work), done: None, answer: Some(answer) };
        self.jobs.send(Box::new(job)).await.map_err(|_| StoreError::Stopped)?;
        answered.await.map_err(|_| StoreError::Stopped)?
    }
}

impl Writer {
    /// Waits until the last handle is gone, the last write is on disk and the database is
    /// closed. Blocks.
    pub fn join(self) {
        // A panic of the writer has reached its callers as `Stopped`.
        drop(self.thread.join());
    }
}

/// Work for the writer, of whatever type.
trait Job: Send {
    /// Does the work within the group's transaction; `false` when it failed and must be undone.
    fn work(&mut self, connection: &Connection, boot_id: &str) -> bool;
    /// Answers after the commit.
    fn committed(&mut self);
    /// Answers that nothing of the group was written.
    fn undone(&mut self, error: &StoreError);
}

struct Task<T, F> {
    doing: &'static str,
    work: Option<F>,
    done: Option<Result<T, StoreError>>,
    answer: Option<oneshot::Sender<Result<T, StoreError>>>,
}

impl<T, F> Job for Task<T, F>
where
    T: Send,
    F: FnOnce(&Connection, &str) -> rusqlite::Result<T> + Send,
{
    fn work(&mut self, connection: &Connection, boot_id: &str) -> bool {
        let Some(work) = self.work.take() else { return true };
        let done = work(connection, boot_id).doing(self.doing);
        let good = done.is_ok();
        self.done = Some(done);
        good
    }

    fn committed(&mut self) {
        if let (Some(answer), Some(done)) = (self.answer.take(), self.done.take()) {
            // Whoever asked may have gone.
            drop(answer.send(done));
        }
    }

    fn undone(&mut self, error: &StoreError) {
        if let Some(answer) = self.answer.take() {
            let own = self.done.take().and_then(Result::err);
            drop(answer.send(Err(own.unwrap_or_else(|| error.shared(self.doing)))));
        }
    }
}

/// The writer's life: takes what waits, writes it as one group, answers, and again.
fn write_all(
    mut connection: Connection,
    file: &DatabaseFile,
    mut waiting: mpsc::Receiver<Box<dyn Job>>,
    boot_id: &str,
) {
    let mut group = Vec::with_capacity(GROUP_MAX);
    while waiting.blocking_recv_many(&mut group, GROUP_MAX) > 0 {
        let written = file.check().and_then(|()| write_group(&mut connection, &mut group, boot_id));
        match written {
            Ok(()) => group.iter_mut().for_each(|job| job.committed()),
            Err(error) => group.iter_mut().for_each(|job| job.undone(&error)),
        }
        group.clear();
    }
    // The log goes into the file, so that a copy of the file alone is whole. When that fails,
    // the next start does it.
    drop(connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)"));
}

fn write_group(
    connection: &mut Connection,
    group: &mut [Box<dyn Job>],
    boot_id: &str,
) -> Result<(), StoreError> {
    const DOING: &str = "writing a group";
    let transaction = database::begin(connection).doing(DOING)?;
    if let [only] = group {
        if only.work(&transaction, boot_id) {
            return transaction.commit().doing(DOING);
        }
        return Err(StoreError::RolledBack { doing: DOING });
    }
    for job in group.iter_mut() {
        run_in_savepoint(&transaction, job.as_mut(), boot_id)?;
    }
    transaction.commit().doing(DOING)
}

fn run_in_savepoint(
    transaction: &Transaction<'_>,
    job: &mut dyn Job,
    boot_id: &str,
) -> Result<(), StoreError> {
    const DOING: &str = "writing a group";
    transaction.execute_batch("SAVEPOINT job").doing(DOING)?;
    let good = job.work(transaction, boot_id);
    if transaction.is_autocommit() {
        // SQLite gave up the whole transaction, as it does when the disk is full.
        return Err(StoreError::RolledBack { doing: DOING });
    }
    if !good {
        transaction.execute_batch("ROLLBACK TO job").doing(DOING)?;
    }
    transaction.execute_batch("RELEASE job").doing(DOING)
}

/// Writes that wait for the writer at most; more wait at their callers.
const JOBS_WAITING_MAX: usize = 1024;
/// Writes in one commit at most.
const GROUP_MAX: usize = 256;

#[cfg(test)]
#[path = "handle_tests.rs"]
mod tests;
