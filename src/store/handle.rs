//! The store as the loops hold it: every write goes to one thread, which puts all that waits
//! into one commit.
//!
//! What always holds: an answer comes only after the commit is on disk; a write that fails
//! takes none of its neighbours with it, unless SQLite rolled all of them back, and then all
//! are told. The handle may be cloned; when the last one is dropped the thread ends.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::domain::account::AccountName;
use crate::domain::avatar::AvatarId;
use crate::domain::avatar::training::Training;
use crate::domain::avatar::transition::Transition;
use crate::domain::event::Event;
use crate::domain::polling::watch::Watch;
use crate::domain::retention::Cutoffs;
use crate::domain::time::timestamp::Timestamp;
use crate::store::error::StoreError;
use crate::store::files::location;
use crate::store::files::obstacle::{self, OpenFor, SQLITE_ENDS};
use crate::store::files::ownership::FsUserGuard;
use crate::store::files::permissions;
use crate::store::pending_alerts;
use crate::store::pending_alerts::PendingAlerts;
use crate::store::recovery::{self, CrashRecovery};
use crate::store::retention::{self, PruneCursor, Pruned};
use crate::store::sqlite::application_id;
use crate::store::sqlite::database::{self, FileIdentity};
use crate::store::sqlite::lock::DatabaseLock;
use crate::store::sqlite::time_limit::TimeLimit;
use crate::store::tables::accounts;
use crate::store::tables::accounts::AccountState;
use crate::store::tables::channels;
use crate::store::tables::channels::{ChannelChanges, ChannelTarget};
use crate::store::tables::conditions;
use crate::store::tables::events;
use crate::store::tables::outbox::{
    self, AttemptResult, Claim, Claims, NewDelivery, RecordedResult,
};
use crate::store::tables::trainings;
use crate::store::tables::transitions;
use crate::store::tables::watches;
use crate::store::tables::watches::Checkpoint;
use crate::store::writer::{Job, Kind, Task, Writer};

/// What one observation changed: written together or not at all.
#[derive(Clone, Debug)]
pub struct ObservationCommit {
    /// The watch as it is now.
    pub watch: Watch,
    /// The change of status, if there was one.
    pub transition: Option<Transition>,
    /// The training that ended with it, if one did.
    pub training: Option<Training>,
    /// What is told, in this order.
    pub events: Vec<NewEvent>,
    /// The account whose list showed the avatar first, if it was found so.
    pub discovered: Option<AccountName>,
    /// When.
    pub now: Timestamp,
}

/// One event with its frozen body, and to whom it goes.
#[derive(Clone, Debug)]
pub struct NewEvent {
    /// What is told.
    pub event: Event,
    /// The body, as it is kept with the event.
    pub body: Vec<u8>,
    /// To whom; may be nobody.
    pub deliveries: Vec<NewDelivery>,
}

/// A handle on the writer's thread.
#[derive(Clone, Debug)]
pub struct Store {
    jobs: mpsc::Sender<Box<dyn Job>>,
    writes: Arc<AtomicBool>,
    limit: TimeLimit,
}

impl Store {
    /// Takes the lock, opens the database and starts its writer. `boot_id` marks this process's
    /// claims.
    ///
    /// # Errors
    /// When another daemon holds the database, or it cannot be opened, is damaged or newer.
    pub fn open(path: &Path, boot_id: String) -> Result<(Self, Writer), StoreError> {
        permissions::check(path, OpenFor::Write)?;
        location::create_folder(path)?;
        let fs_user = FsUserGuard::for_database(path)?;
        application_id::check_application_id(path)?;
        obstacle::refuse_irregular(path, &SQLITE_ENDS)?;
        if fs::metadata(path).map_or(true, |found| found.len() == 0) {
            location::check_location(path)?;
        }
        let explained = |failure| location::explain(path, failure);
        let mut lock = DatabaseLock::acquire(path).map_err(explained)?;
        let (database, check) = database::open_for_writing(path).map_err(explained)?;
        let file = FileIdentity::open_now(path)?;
        lock.record_file(&file).map_err(|source| StoreError::Disk {
            doing: "writing the lock file of",
            path: path.to_owned(),
            source,
        })?;
        drop(fs_user);
        let failed = |source| StoreError::Disk {
            doing: "starting the writer of",
            path: path.to_owned(),
            source,
        };
        let writes = Arc::new(AtomicBool::new(true));
        let limit = database.time_limit().clone();
        let (jobs, writer) =
            Writer::start(database, file, lock, boot_id, check, &writes).map_err(failed)?;
        Ok((Self { jobs, writes, limit }, writer))
    }

    /// The watches of these avatars, as they were last written; new ones for those that never
    /// were. Writes nothing.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn watches(&self, ids: Vec<AvatarId>) -> Result<Vec<Watch>, StoreError> {
        self.read("reading the watches", move |connection, _| {
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
    pub async fn commit(&self, change: ObservationCommit) -> Result<(), StoreError> {
        self.run("recording a change", move |connection, _| record(connection, &change)).await
    }

    /// Writes what the first whole list of an account shows, and that it was seen.
    ///
    /// # Errors
    /// When it could not be written; then nothing of it was.
    pub async fn commit_first_list(
        &self,
        changes: Vec<ObservationCommit>,
        account: AccountName,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.run("recording the first list", move |connection, _| {
            changes.iter().try_for_each(|change| record(connection, change))?;
            accounts::listed(connection, &account, now)
        })
        .await
    }

    /// Writes what is told about ourselves.
    ///
    /// # Errors
    /// When it could not be written; then nothing of it was.
    pub async fn publish(
        &self,
        announcements: Vec<NewEvent>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.run("recording an announcement", move |connection, _| {
            insert_event(connection, &announcements, now)
        })
        .await
    }

    /// Since when the config has been told to be rejected, if it is.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn config_rejected(&self) -> Result<Option<Timestamp>, StoreError> {
        self.read("reading what was told of the config", |connection, _| {
            conditions::config_rejected(connection)
        })
        .await
    }

    /// Notes why the config is rejected now, if it is told to be.
    ///
    /// # Errors
    /// When it could not be written.
    pub async fn set_rejected_reason(&self, reason: String) -> Result<(), StoreError> {
        self.run("noting why the config is rejected", move |connection, _| {
            conditions::set_rejected_reason(connection, &reason)
        })
        .await
    }

    /// What lists of an account's avatars have shown.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn account(&self, account: AccountName) -> Result<AccountState, StoreError> {
        self.read("reading an account", move |connection, _| accounts::find(connection, &account))
            .await
    }

    /// How long past trainings lasted, by model, oldest first; at most `most` of each.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn training_samples(
        &self,
        most: usize,
    ) -> Result<HashMap<Option<String>, Vec<Duration>>, StoreError> {
        self.read("reading past trainings", move |connection, _| {
            trainings::samples(connection, most)
        })
        .await
    }

    /// Notes the config in force, for whoever asks what a reload would change.
    ///
    /// # Errors
    /// When it could not be written.
    pub async fn save_active_config(&self, text: String) -> Result<(), StoreError> {
        self.run("noting the config in force", move |connection, _| {
            let sql = "INSERT INTO config(id, active) VALUES(1, ?1)
                       ON CONFLICT(id) DO UPDATE SET active = excluded.active
                       WHERE active <> excluded.active";
            connection.prepare_cached(sql)?.execute([text]).map(drop)
        })
        .await
    }

    /// Notes when avatars were last seen as their rows say, and when they are due.
    ///
    /// # Errors
    /// When it could not be written.
    pub async fn checkpoint(&self, checkpoints: Vec<Checkpoint>) -> Result<(), StoreError> {
        self.run("noting what was last seen", move |connection, _| {
            checkpoints.iter().try_for_each(|checkpoint| watches::note(connection, checkpoint))
        })
        .await
    }

    /// When the next looks at these avatars were to be, by the last checkpoint.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn next_polls(
        &self,
        ids: Vec<AvatarId>,
    ) -> Result<HashMap<AvatarId, Timestamp>, StoreError> {
        self.read("reading when looks are due", move |connection, _| {
            let mut looks = HashMap::new();
            for id in ids {
                if let Some(at) = watches::next_poll_at(connection, &id)? {
                    looks.insert(id, at);
                }
            }
            Ok(looks)
        })
        .await
    }

    /// Registers the channels of the config. Channels that are not among them keep their rows
    /// and their deliveries.
    ///
    /// # Errors
    /// When it could not be written.
    pub async fn register_channels(
        &self,
        channels: Vec<ChannelTarget>,
        now: Timestamp,
    ) -> Result<ChannelChanges, StoreError> {
        self.run("registering the channels", move |connection, boot_id| {
            channels::register(connection, &channels, now, boot_id)
        })
        .await
    }

    /// What operators have to be told of channels and dead letters, and have not been.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn pending_alerts(&self) -> Result<PendingAlerts, StoreError> {
        self.read("reading what is to be told", |connection, _| pending_alerts::find(connection))
            .await
    }

    /// Takes back the tries that a process before this one left open, of channels whose terms are
    /// known; their number. Register the channels first: that makes up for the time in which one
    /// was not in the config.
    ///
    /// # Errors
    /// When it could not be written.
    pub async fn recover(&self, recovery: CrashRecovery) -> Result<usize, StoreError> {
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
    pub async fn reschedule_after_clock_step(&self, now: Timestamp) -> Result<usize, StoreError> {
        self.run("making up for a clock set back", move |connection, _| {
            recovery::reschedule_after_clock_step(connection, now)
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

    /// How many deliveries wait.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn pending_counts(&self) -> Result<usize, StoreError> {
        self.read("counting what waits", |connection, _| outbox::pending_counts(connection)).await
    }

    /// Records the end of a try.
    ///
    /// # Errors
    /// When it could not be written; then it may be tried again.
    pub async fn record_result(
        &self,
        settlement: AttemptResult,
    ) -> Result<RecordedResult, StoreError> {
        self.run("recording the end of a try", move |connection, boot_id| {
            outbox::record_result(connection, &settlement, boot_id)
        })
        .await
    }

    /// Removes some of what is so old that it may go; the pass goes on with what it returns.
    ///
    /// # Errors
    /// When it could not be written; then nothing was removed.
    pub async fn prune(&self, cutoffs: Cutoffs, place: PruneCursor) -> Result<Pruned, StoreError> {
        self.ask("removing what is old", Kind::Prune, move |connection, _| {
            retention::step(connection, cutoffs, place, retention::ROWS_MAX)
        })
        .await
    }

    /// Whether it can write, as far as the last writes tell.
    pub fn can_write(&self) -> bool {
        self.writes.load(Ordering::Relaxed)
    }

    /// Leaves a few seconds to each transaction, since the daemon stops: what takes longer is
    /// interrupted and rolled back, and nothing more is begun.
    pub fn stop(&self) {
        self.limit.stop();
    }

    async fn run<T, F>(&self, doing: &'static str, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection, &str) -> rusqlite::Result<T> + Send + 'static,
    {
        self.ask(doing, Kind::Write, work).await
    }

    /// As [`Self::run`], for work that writes nothing: no write that fails beside it takes it
    /// along.
    async fn read<T, F>(&self, doing: &'static str, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection, &str) -> rusqlite::Result<T> + Send + 'static,
    {
        self.ask(doing, Kind::Read, work).await
    }

    async fn ask<T, F>(&self, doing: &'static str, kind: Kind, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection, &str) -> rusqlite::Result<T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job = Task::new(doing, kind, work, answer);
        self.jobs.send(Box::new(job)).await.map_err(|_| StoreError::Stopped)?;
        answered.await.map_err(|_| StoreError::Stopped)?
    }
}

fn record(connection: &Connection, change: &ObservationCommit) -> rusqlite::Result<()> {
    watches::save(connection, &change.watch)?;
    if let Some(transition) = &change.transition {
        transitions::append(connection, transition)?;
    }
    if let Some(training) = &change.training {
        trainings::append(connection, &change.watch.id, training)?;
    }
    if let Some(account) = &change.discovered {
        accounts::discovered(connection, account, &change.watch.id, change.now)?;
    }
    insert_event(connection, &change.events, change.now)
}

fn insert_event(
    connection: &Connection,
    announcements: &[NewEvent],
    now: Timestamp,
) -> rusqlite::Result<()> {
    for NewEvent { event, body, deliveries } in announcements {
        events::insert(connection, event, body)?;
        let line = event.line();
        for delivery in deliveries {
            outbox::insert(connection, &event.id, &line, delivery, now)?;
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "handle_tests.rs"]
mod tests;
