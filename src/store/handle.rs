//! The handle of the store: every write goes to the writer's thread, which ends when the last
//! clone of the handle is dropped.
//!
//! Invariants: a call returns only after the commit is on disk; a write that fails changes no row.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use rusqlite::Connection;
use tokio::sync::mpsc;

use crate::domain::account::AccountName;
use crate::domain::alerts::AlertTiming;
use crate::domain::avatar::AvatarId;
use crate::domain::avatar::training::TrainingSample;
use crate::domain::avatar::transition::Transition;
use crate::domain::delivery::DeliveryId;
use crate::domain::delivery::attempt_slots::AttemptSlots;
use crate::domain::event::Event;
use crate::domain::polling::watch::Watch;
use crate::domain::random::RandomBits;
use crate::domain::retention::{Cutoffs, StepSize};
use crate::domain::time::timestamp::Timestamp;
use crate::store::admin::deliveries::{self, AdminResult, RetryAs};
use crate::store::error::{StoreError, disk};
use crate::store::files::location;
use crate::store::files::obstacle::{self, OpenFor, SQLITE_ENDS};
use crate::store::files::ownership::FsUserGuard;
use crate::store::files::permissions;
use crate::store::pending_alerts::{self, Covers, PendingAlerts};
use crate::store::recovery::{self, CrashRecovery};
use crate::store::retention::{self, PruneCursor, Pruned};
use crate::store::sqlite::application_id;
use crate::store::sqlite::checkpointer::Checkpointer;
use crate::store::sqlite::lock::DatabaseLock;
use crate::store::sqlite::open::{self, FileIdentity};
use crate::store::sqlite::time_limit::TimeLimit;
use crate::store::tables::accounts::{self, AccountState};
use crate::store::tables::channels::{self, ChannelChanges, ChannelTarget};
use crate::store::tables::condition_changes;
use crate::store::tables::conditions;
use crate::store::tables::events;
use crate::store::tables::outbox::{self, AttemptResult, ClaimResult, NewDelivery, RecordedResult};
use crate::store::tables::transitions;
use crate::store::tables::watches::{self, Checkpoint};
use crate::store::write_health::WriteHealth;
use crate::store::writer::{Job, Kind, OpenFiles, Writer, job_with_reply};

/// The changes of one observation, written in one transaction.
#[derive(Clone, Debug)]
pub struct ObservationCommit {
    /// The new state of the watch.
    pub watch: Watch,
    /// The transition, if the status changed.
    pub transition: Option<Transition>,
    /// The events to publish, in this order.
    pub events: Vec<NewEvent>,
    /// The changes of its conditions, which are published with their groups.
    pub conditions: Vec<Event>,
    /// The account of the list that first showed the avatar, if it was discovered.
    pub discovered: Option<AccountName>,
    /// The current time.
    pub now: Timestamp,
}

/// An event with its rendered body and its deliveries.
#[derive(Clone, Debug)]
pub struct NewEvent {
    /// The event.
    pub event: Event,
    /// What it says, in one line for people, such as `Jane is ready`.
    pub title: String,
    /// The body that is stored with the event.
    pub body: Vec<u8>,
    /// Its deliveries; may be empty.
    pub deliveries: Vec<NewDelivery>,
}

impl NewEvent {
    /// Whether a channel receives it.
    pub(crate) const fn has_deliveries(&self) -> bool {
        !self.deliveries.is_empty()
    }
}

/// A handle of the writer's thread.
#[derive(Clone, Debug)]
pub struct Store {
    jobs: mpsc::Sender<Box<dyn Job>>,
    write_health: WriteHealth,
    limit: TimeLimit,
}

impl Store {
    /// Takes the lock, opens the database and starts its writer. `boot_id` identifies the claims of
    /// this process.
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
        let (database, check) = open::open_for_writing(path).map_err(explained)?;
        let file = FileIdentity::at(path)?;
        lock.record_file(&file).map_err(disk("writing the lock file of", path))?;
        drop(fs_user);
        let write_health = WriteHealth::default();
        let limit = database.limit.clone();
        let checkpointer = Some(Checkpointer::start(path)?);
        let files = OpenFiles { checkpointer, database, file, lock };
        let (jobs, writer) = Writer::start(files, boot_id, check, &write_health)
            .map_err(disk("starting the writer of", path))?;
        Ok((Self { jobs, write_health, limit }, writer))
    }

    /// The watches of these avatars; new ones for avatars without a row. Writes nothing.
    pub async fn watches(&self, ids: Vec<AvatarId>) -> Result<Vec<Watch>, StoreError> {
        self.read("reading the watches", move |connection| watches::find_all(connection, ids)).await
    }

    /// The avatars that were forgotten.
    pub async fn forgotten_avatars(&self) -> Result<Vec<AvatarId>, StoreError> {
        self.read("reading the forgotten avatars", watches::forgotten).await
    }

    /// Shows avatars again that were forgotten, since they are watched again.
    pub async fn show_again(&self, ids: Vec<AvatarId>) -> Result<(), StoreError> {
        self.write("showing avatars again", move |connection, _| {
            watches::show_again(connection, &ids)
        })
        .await
    }

    /// Writes the changes of one observation.
    pub async fn commit(&self, change: ObservationCommit) -> Result<(), StoreError> {
        self.write("recording a change", move |connection, _| {
            record_observation(connection, &change)
        })
        .await
    }

    /// Writes the avatars of the first complete list of an account, and that it was seen.
    pub async fn commit_first_list(
        &self,
        changes: Vec<ObservationCommit>,
        account: AccountName,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.write("recording the first list", move |connection, _| {
            changes.iter().try_for_each(|change| record_observation(connection, change))?;
            accounts::listed(connection, &account, now)
        })
        .await
    }

    /// Writes events that belong to no observation.
    pub async fn publish(&self, events: Vec<NewEvent>, now: Timestamp) -> Result<(), StoreError> {
        self.write("recording an event", move |connection, _| {
            insert_events(connection, &events, now)
        })
        .await
    }

    /// Since when `config.rejected` has been firing, if it is.
    pub async fn config_rejected_since(&self) -> Result<Option<Timestamp>, StoreError> {
        self.read("reading the condition of the config", conditions::config_rejected_since).await
    }

    /// Updates the reason of `config.rejected`, if it is firing.
    pub async fn set_rejected_reason(&self, reason: String) -> Result<(), StoreError> {
        self.write("recording why the config is rejected", move |connection, _| {
            conditions::set_rejected_reason(connection, &reason)
        })
        .await
    }

    /// The state of an account.
    pub async fn account(&self, account: AccountName) -> Result<AccountState, StoreError> {
        self.read("reading an account", move |connection| accounts::find(connection, &account))
            .await
    }

    /// The durations of past trainings by model, oldest first; at most `most` of each.
    pub async fn training_samples(
        &self,
        most: usize,
    ) -> Result<HashMap<Option<String>, Vec<TrainingSample>>, StoreError> {
        self.read("reading past trainings", move |connection| {
            transitions::training_samples(connection, most)
        })
        .await
    }

    /// Saves the active config, with which `check` compares another one.
    pub async fn save_active_config(&self, text: String) -> Result<(), StoreError> {
        self.write("recording the active config", move |connection, _| {
            let sql = "INSERT INTO config(id, active) VALUES(1, ?1)
                       ON CONFLICT(id) DO UPDATE SET active = excluded.active
                       WHERE active <> excluded.active";
            connection.prepare_cached(sql)?.execute([text]).map(drop)
        })
        .await
    }

    /// Saves when avatars were last seen with an unchanged status, and when they are due. Not all
    /// in one write, for which the changes of other avatars would wait.
    pub async fn save_poll_times(
        &self,
        mut checkpoints: Vec<Checkpoint>,
    ) -> Result<(), StoreError> {
        while !checkpoints.is_empty() {
            let some = checkpoints.split_off(checkpoints.len().saturating_sub(CHECKPOINTS_MAX));
            self.write("recording when avatars were polled", move |connection, _| {
                some.iter().try_for_each(|checkpoint| watches::note(connection, checkpoint))
            })
            .await?;
        }
        Ok(())
    }

    /// When the next polls of these avatars were due at the last checkpoint.
    pub async fn next_polls(
        &self,
        ids: Vec<AvatarId>,
    ) -> Result<HashMap<AvatarId, Timestamp>, StoreError> {
        self.read("reading when polls are due", move |connection| {
            let mut polls = HashMap::new();
            for id in ids {
                if let Some(at) = watches::next_poll_at(connection, &id)? {
                    polls.insert(id, at);
                }
            }
            Ok(polls)
        })
        .await
    }

    /// Registers the channels of the config. Other channels keep their rows and deliveries.
    pub async fn register_channels(
        &self,
        channels: Vec<ChannelTarget>,
        now: Timestamp,
    ) -> Result<ChannelChanges, StoreError> {
        self.write("registering the channels", move |connection, boot_id| {
            channels::register(connection, &channels, now, boot_id)
        })
        .await
    }

    /// The alerts about channels and dead letters that were not reported yet.
    pub async fn pending_alerts(
        &self,
        timing: AlertTiming,
        now: Timestamp,
    ) -> Result<PendingAlerts, StoreError> {
        self.read("reading pending alerts", move |connection| {
            pending_alerts::find(connection, timing, now)
        })
        .await
    }

    /// Writes the events of alerts, and marks what they cover as reported. Without an event, that
    /// is only marked.
    pub async fn publish_alerts(
        &self,
        alerts: Vec<(Option<NewEvent>, Covers)>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.write("recording operator events", move |connection, _| {
            for (new_event, covers) in &alerts {
                if let Some(new_event) = new_event
                    && pending_alerts::is_current(connection, covers)?
                {
                    insert_events(connection, std::slice::from_ref(new_event), now)?;
                }
                let event = new_event.as_ref().map(|it| &it.event);
                pending_alerts::mark_reported(connection, event, covers, now)?;
            }
            Ok(())
        })
        .await
    }

    /// Ends the attempts that an earlier process left open, for channels with a known policy, and
    /// returns their number. Register the channels first, which extends the expiry of deliveries to
    /// channels that were not in the config.
    pub async fn recover(&self, recovery: CrashRecovery) -> Result<usize, StoreError> {
        self.write("recovering open attempts", move |connection, boot_id| {
            recovery::recover(connection, &recovery, boot_id)
        })
        .await
    }

    /// Makes deliveries due that were delayed before the wall clock was set back.
    pub async fn reschedule_after_clock_step(&self, now: Timestamp) -> Result<(), StoreError> {
        self.write("rescheduling after a clock step", move |connection, _| {
            recovery::reschedule_after_clock_step(connection, now)
        })
        .await
    }

    /// Claims due deliveries for the channels that have capacity.
    pub async fn claim(
        &self,
        slots: AttemptSlots,
        timing: AlertTiming,
        now: Timestamp,
    ) -> Result<ClaimResult, StoreError> {
        self.write("claiming deliveries", move |connection, boot_id| {
            outbox::claim(connection, &slots, timing, now, boot_id)
        })
        .await
    }

    /// The number of pending deliveries.
    pub async fn pending_count(&self) -> Result<usize, StoreError> {
        self.read("counting pending deliveries", outbox::pending_count).await
    }

    /// Records the result of an attempt.
    pub async fn record_result(&self, result: AttemptResult) -> Result<RecordedResult, StoreError> {
        self.write("recording the result of an attempt", move |connection, boot_id| {
            outbox::record_result(connection, &result, boot_id)
        })
        .await
    }

    /// Removes some old rows; the next step starts at the returned position.
    pub async fn prune(
        &self,
        cutoffs: Cutoffs,
        cursor: PruneCursor,
        size: StepSize,
    ) -> Result<Pruned, StoreError> {
        self.send("removing old rows", Kind::Prune, move |connection, _| {
            retention::step(connection, cutoffs, cursor, size.rows())
        })
        .await
    }

    /// Whether the last write succeeded.
    pub fn can_write(&self) -> bool {
        self.write_failure().is_none()
    }

    /// Why the last write failed, if it did.
    pub fn write_failure(&self) -> Option<String> {
        self.write_health.failure()
    }

    /// Sends a delivery again, as `DeliveryAdmin::retry` does in other processes.
    pub async fn retry_delivery(
        &self,
        id: DeliveryId,
        retry_as: RetryAs,
        now: Timestamp,
        random: RandomBits,
    ) -> Result<AdminResult, StoreError> {
        self.write(deliveries::RETRYING, move |connection, _| {
            deliveries::retry(connection, &id, retry_as, now, random)
        })
        .await
    }

    /// Limits each transaction to a few seconds during a shutdown: a longer one is interrupted and
    /// rolled back, and no other one starts.
    pub fn stop(&self) {
        self.limit.stop();
    }

    async fn write<T: Send + 'static>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Connection, &str) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.send(doing, Kind::Write, work).await
    }

    /// As [`Self::write`], for work that writes nothing and does not fail with the writes of its
    /// group.
    async fn read<T: Send + 'static>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.send(doing, Kind::Read, move |connection, _| work(connection)).await
    }

    async fn send<T: Send + 'static>(
        &self,
        doing: &'static str,
        kind: Kind,
        work: impl FnOnce(&Connection, &str) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (job, reply) = job_with_reply(doing, kind, work);
        self.jobs.send(job).await.map_err(|_| StoreError::Stopped)?;
        reply.await.map_err(|_| StoreError::Stopped)?
    }
}

fn record_observation(connection: &Connection, change: &ObservationCommit) -> rusqlite::Result<()> {
    watches::save(connection, &change.watch)?;
    if let Some(transition) = &change.transition {
        transitions::append(connection, transition)?;
    }
    if let Some(account) = &change.discovered {
        accounts::discovered(connection, account, &change.watch.id, change.now)?;
    }
    insert_events(connection, &change.events, change.now)?;
    change.conditions.iter().try_for_each(|event| condition_changes::append(connection, event))
}

fn insert_events(
    connection: &Connection,
    events: &[NewEvent],
    now: Timestamp,
) -> rusqlite::Result<()> {
    for NewEvent { event, title, body, deliveries } in events {
        events::insert(connection, event, title, body)?;
        let key = event.ordering_key();
        for delivery in deliveries {
            outbox::insert(connection, &event.id, &key, body, delivery, now)?;
        }
    }
    Ok(())
}

/// The most rows that are updated at once, which takes the writer a few milliseconds.
const CHECKPOINTS_MAX: usize = 500;

#[cfg(test)]
#[path = "handle_tests.rs"]
mod tests;
