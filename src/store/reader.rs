//! Read access for the CLI and the status page: watches, transitions, deliveries and channels, with
//! or without a running daemon. Never writes.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use rusqlite::{Connection, Row};

use crate::domain::account::AccountName;
use crate::domain::avatar::AvatarId;
use crate::domain::avatar::training::TrainingSample;
use crate::domain::avatar::transition::Transition;
use crate::domain::delivery::DeliveryId;
use crate::domain::delivery::channel_health::{ChannelHealth, ChannelState};
use crate::domain::delivery::channel_name::ChannelName;
use crate::domain::delivery::recipient_health::masked;
use crate::domain::id::EventId;
use crate::domain::ordering_key::OrderingKey;
use crate::domain::time::timestamp::Timestamp;
use crate::store::error::{ErrorContext as _, StoreError};
use crate::store::sqlite::copy::snapshot;
use crate::store::sqlite::database::Database;
use crate::store::sqlite::open::{self, FileIdentity};
use crate::store::sqlite::statement::rows;
use crate::store::sqlite::time_limit::TimeClass;
use crate::store::tables::channels;
use crate::store::tables::outbox::BODY;
use crate::store::tables::recipients::{self, FailingRecipient};
use crate::store::tables::transitions;

/// A read-only connection.
#[derive(Debug)]
pub struct Reader {
    pub(super) database: Database,
    file: FileIdentity,
}

/// A delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryRow {
    /// Its id.
    pub id: DeliveryId,
    /// Its event.
    pub event_id: EventId,
    /// The type of the event.
    pub event_type: String,
    /// The title of the event.
    pub title: String,
    /// The ordering key of the event.
    pub ordering_key: OrderingKey,
    /// Its channel.
    pub channel: ChannelName,
    /// The recipient; empty for a channel with a single receiver.
    pub recipient: String,
    /// The number of earlier manual retries.
    pub replay: u32,
    /// The name of its state.
    pub state: String,
    /// The number of attempts.
    pub attempts: u32,
    /// When the next attempt is due.
    pub next_attempt_at: Option<Timestamp>,
    /// Why it is dead or was cancelled.
    pub final_reason: Option<String>,
    /// The delivery that sends it again, and the state of that one.
    pub resent_as: Option<(DeliveryId, String)>,
    /// The error of its last attempt.
    pub last_error: Option<String>,
    /// Why the body is the standard one instead of the channel's template.
    pub fallback: Option<String>,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

/// One attempt of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptRow {
    /// Its number, from one.
    pub number: u32,
    /// Its trigger, `scheduled` or `manual`.
    pub trigger: String,
    pub(crate) started_at: Timestamp,
    /// When it ended; `None` while it is in flight.
    pub finished_at: Option<Timestamp>,
    /// The class of its outcome.
    pub outcome: Option<String>,
    pub(crate) phase: Option<String>,
    pub(crate) code: Option<u16>,
    pub(crate) latency_ms: Option<i64>,
    /// The error.
    pub error: Option<String>,
    /// The start of the response.
    pub snippet: Option<String>,
}

/// A channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelRow {
    /// Its name.
    pub name: ChannelName,
    pub(crate) configured: bool,
    /// Its health.
    pub health: ChannelHealth,
    /// Since when it is suspended: paused, disabled or not in the config.
    pub suspended_since: Option<Timestamp>,
    /// The number of deliveries that are pending or being sent.
    pub undelivered: u64,
    /// When the oldest of them was created.
    pub oldest_at: Option<Timestamp>,
    /// The number of dead letters.
    pub dead_letters: u64,
    /// When it last accepted a message.
    pub delivered_at: Option<Timestamp>,
    /// Its failing recipients.
    pub recipients: Vec<FailingRecipient>,
}

impl ChannelRow {
    /// Since when it, or one of its recipients, has been failing.
    pub fn failing_since(&self) -> Option<Timestamp> {
        let recipients = self.recipients.iter().map(|recipient| recipient.since);
        recipients.chain(self.health.failing_since).min()
    }

    /// The reason of the failure; that of a recipient if the channel itself is healthy.
    pub fn reason(&self) -> Option<String> {
        let is_well =
            self.health.failing_since.is_none() && self.health.state == ChannelState::Active;
        let Some(first) = self.recipients.first().filter(|_| is_well) else {
            return self.health.reason.clone();
        };
        let reason = first.reason.as_deref().unwrap_or("no message was accepted");
        let others = match self.recipients.len() {
            1 => String::new(),
            number => format!(" and {} more", number - 1),
        };
        Some(format!("to {}{others}: {reason}", masked(&first.address)))
    }
}

/// A condition that is firing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConditionRow {
    /// Its kind, such as `account.unavailable`.
    pub kind: String,
    /// Its subject: the id of an avatar, or a text such as `account argil`.
    pub subject: String,
    pub(crate) since: Timestamp,
    /// The cause of the outage of an account.
    pub cause: Option<String>,
    pub(crate) reason: Option<String>,
}

/// Selects deliveries, by default all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliveryFilter {
    /// Only those in this state.
    pub state: Option<String>,
    /// Only those to this channel.
    pub channel: Option<String>,
    /// Only those about this avatar.
    pub avatar: Option<String>,
    /// Only those of events of this type.
    pub event_type: Option<String>,
    /// At most this number, the newest.
    pub limit: Option<u32>,
}

/// Selects transitions, by default all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransitionFilter {
    /// Only those of these avatars.
    pub avatars: Option<Vec<AvatarId>>,
    /// Only those to this status.
    pub status: Option<String>,
    /// Only those detected at this time or later.
    pub since: Option<Timestamp>,
}

/// The deliveries of an avatar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeliveryCounts {
    pub(crate) undelivered: u64,
    /// The number of dead letters.
    pub(crate) dead_letters: u64,
}

impl Reader {
    /// Reads one state of the database at `path`, from a process without another connection to it,
    /// and again from the start if the files change meanwhile. Creates no file.
    ///
    /// # Errors
    /// When there is none, it is damaged, newer, of another program or not readable by this user;
    /// the error of `read`.
    pub fn snapshot<T>(
        path: &Path,
        mut read: impl FnMut(&Self) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        snapshot::read(path, |database| {
            database.refuse_older()?;
            read(&Self { database, file: FileIdentity::at(path)? })
        })
    }

    /// Opens the database at `path` in the process that writes it.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let database = open::open_for_reading(path)?;
        Ok(Self { database, file: FileIdentity::at(path)? })
    }

    /// Whether the path still names the file that it reads.
    pub fn is_current(&self) -> bool {
        self.file.check().is_ok()
    }

    /// A number that changes when another connection has written to the database
    /// (<https://www.sqlite.org/pragma.html#pragma_data_version>).
    pub fn data_version(&self) -> Result<i64, StoreError> {
        self.database.data_version().doing("reading the data version")
    }

    /// The transitions of one avatar, or of all, oldest first; at most `limit`, the newest.
    pub fn transitions(
        &self,
        avatar: Option<&AvatarId>,
        limit: u32,
    ) -> Result<Vec<Transition>, StoreError> {
        let newest = self.transitions_before(avatar, None, limit)?;
        Ok(newest.into_iter().rev().map(|(_, transition)| transition).collect())
    }

    /// Deliveries, oldest first.
    pub fn deliveries(&self, filter: &DeliveryFilter) -> Result<Vec<DeliveryRow>, StoreError> {
        let mut rows = self.deliveries_before(filter, None)?;
        rows.reverse();
        Ok(rows)
    }

    /// One delivery, by its own id or that of its event; the newest when there are several.
    pub fn delivery(&self, id: &str) -> Result<Option<DeliveryRow>, StoreError> {
        let sql = format!(
            "SELECT {DELIVERY_COLUMNS} FROM deliveries d JOIN events e ON e.id = d.event_id
             WHERE d.id = ?1 OR d.event_id = ?1 ORDER BY d.seq DESC LIMIT 1"
        );
        Ok(self.rows("reading a delivery", &sql, [id], read_delivery)?.pop())
    }

    /// The delivery with that id, or all deliveries of the event with that id, oldest first.
    pub fn deliveries_of(&self, id: &str) -> Result<Vec<DeliveryRow>, StoreError> {
        let sql = format!(
            "SELECT {DELIVERY_COLUMNS} FROM deliveries d JOIN events e ON e.id = d.event_id
             WHERE d.id = ?1 OR d.event_id = ?1 ORDER BY d.seq"
        );
        self.rows("reading the deliveries of an event", &sql, [id], read_delivery)
    }

    /// The attempts of a delivery, in order.
    pub fn attempts(&self, id: &DeliveryId) -> Result<Vec<AttemptRow>, StoreError> {
        let sql = "SELECT no, trigger, started_at, finished_at, outcome, phase, code, latency_ms,
                          error, response_snippet
                   FROM attempts WHERE delivery_id = ?1 ORDER BY no";
        self.rows("reading the attempts", sql, [id], |row| {
            Ok(AttemptRow {
                number: row.get(0)?,
                trigger: row.get(1)?,
                started_at: row.get(2)?,
                finished_at: row.get(3)?,
                outcome: row.get(4)?,
                phase: row.get(5)?,
                code: row.get(6)?,
                latency_ms: row.get(7)?,
                error: row.get(8)?,
                snippet: row.get(9)?,
            })
        })
    }

    /// The message of a delivery: its media type and its body.
    pub fn message(&self, id: &DeliveryId) -> Result<Option<(String, Vec<u8>)>, StoreError> {
        let sql = &format!("SELECT content_type, {BODY} FROM deliveries WHERE id = ?1");
        Ok(self.rows("reading a message", sql, [id], |row| row.try_into())?.pop())
    }

    /// The numbers of deliveries by avatar, for avatars with deliveries.
    pub fn delivery_counts(&self) -> Result<BTreeMap<AvatarId, DeliveryCounts>, StoreError> {
        // Each part reads one partial index, so that the cost depends on what is open only.
        let sql = "SELECT ordering_key, sum(undelivered), sum(dead) FROM (
                     SELECT ordering_key, count(*) AS undelivered, 0 AS dead FROM deliveries
                     WHERE state IN ('pending','sending') GROUP BY ordering_key
                     UNION ALL
                     SELECT ordering_key, 0, count(*) FROM deliveries
                     WHERE state = 'dead' GROUP BY ordering_key)
                   GROUP BY ordering_key";
        let counts = self.rows("counting deliveries", sql, (), |row| {
            let counts = DeliveryCounts { undelivered: row.get(1)?, dead_letters: row.get(2)? };
            Ok((row.get::<_, OrderingKey>(0)?, counts))
        })?;
        let of_avatar = |(key, counts): (OrderingKey, _)| Some((key.avatar_id()?.clone(), counts));
        Ok(counts.into_iter().filter_map(of_avatar).collect())
    }

    /// All channels that were ever registered, by name.
    pub fn channels(&self) -> Result<Vec<ChannelRow>, StoreError> {
        let sql = "SELECT c.id, c.unconfigured,
               (SELECT count(*) FROM deliveries WHERE channel_id = c.id
                  AND state IN ('pending','sending')),
               (SELECT min(created_at) FROM (
                  SELECT created_at FROM deliveries
                  WHERE channel_id = c.id AND state = 'pending' AND blocked = 0
                  UNION ALL
                  SELECT created_at FROM deliveries
                  WHERE channel_id = c.id AND state = 'sending')),
               (SELECT count(*) FROM deliveries WHERE channel_id = c.id AND state = 'dead'),
               c.delivered_at, c.suspended_since
             FROM channels c ORDER BY c.id";
        let read = |connection: &Connection, row: &Row<'_>| {
            let name: ChannelName = row.get(0)?;
            Ok(ChannelRow {
                configured: !row.get::<_, bool>(1)?,
                health: channels::find(connection, &name)?.unwrap_or_default(),
                undelivered: row.get(2)?,
                oldest_at: row.get(3)?,
                dead_letters: row.get(4)?,
                delivered_at: row.get(5)?,
                suspended_since: row.get(6)?,
                recipients: recipients::failing(connection, &name)?,
                name,
            })
        };
        self.read("reading the channels", |connection| {
            rows(connection, sql, [], |row| read(connection, row))
        })
    }

    /// The discovered avatars, each with its account.
    pub fn discovered(&self) -> Result<BTreeMap<AvatarId, AccountName>, StoreError> {
        let sql = "SELECT avatar_id, account FROM discovered";
        let rows =
            self.rows("reading discovered avatars", sql, (), |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.into_iter().collect())
    }

    /// The conditions that are firing, oldest first.
    pub fn conditions(&self) -> Result<Vec<ConditionRow>, StoreError> {
        let sql = "SELECT kind, subject, since, iif(account IS NULL, cause, NULL), reason
                   FROM conditions
                   ORDER BY since, kind, subject";
        self.rows("reading the conditions", sql, (), |row| {
            Ok(ConditionRow {
                kind: row.get(0)?,
                subject: row.get(1)?,
                since: row.get(2)?,
                cause: row.get(3)?,
                reason: row.get(4)?,
            })
        })
    }

    /// The active config, as saved by the daemon.
    pub fn active_config(&self) -> Result<Option<String>, StoreError> {
        let sql = "SELECT active FROM config";
        Ok(self.rows("reading the active config", sql, (), |row| row.get(0))?.pop())
    }

    /// The durations of past trainings by model, oldest first; at most `most` of each.
    pub fn training_samples(
        &self,
        most: usize,
    ) -> Result<HashMap<Option<String>, Vec<TrainingSample>>, StoreError> {
        self.read("reading past trainings", |connection| {
            transitions::training_samples(connection, most)
        })
    }

    pub(super) fn rows<T>(
        &self,
        doing: &'static str,
        sql: &str,
        parameters: impl rusqlite::Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        self.read(doing, |connection| rows(connection, sql, parameters, read))
    }

    pub(super) fn read<T>(
        &self,
        doing: &'static str,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        self.database.read(doing, TimeClass::Normal, read)
    }
}

pub(super) fn read_delivery(row: &Row<'_>) -> rusqlite::Result<DeliveryRow> {
    Ok(DeliveryRow {
        id: row.get(0)?,
        event_id: row.get(1)?,
        event_type: row.get(2)?,
        ordering_key: row.get(3)?,
        channel: row.get(4)?,
        recipient: row.get(5)?,
        replay: row.get(6)?,
        state: row.get(7)?,
        attempts: row.get(8)?,
        next_attempt_at: row.get(9)?,
        final_reason: row.get(10)?,
        created_at: row.get(11)?,
        updated_at: row.get(12)?,
        fallback: row.get(13)?,
        resent_as: row.get::<_, Option<DeliveryId>>(14)?.zip(row.get(15)?),
        last_error: row.get(16)?,
        title: row.get(17)?,
    })
}

pub(super) const DELIVERY_COLUMNS: &str = "d.id, d.event_id, e.type, d.ordering_key, d.channel_id, \
                                           d.recipient, d.replay, d.state, d.attempts, \
                                           d.next_attempt_at, d.final_reason, d.created_at, \
                                           d.updated_at, d.fallback, d.resent_as, \
                                           (SELECT s.state FROM deliveries s \
                                            WHERE s.id = d.resent_as), \
                                           (SELECT a.error FROM attempts a \
                                            WHERE a.delivery_id = d.id AND a.error IS NOT NULL \
                                            ORDER BY a.no DESC LIMIT 1), \
                                           e.title";
