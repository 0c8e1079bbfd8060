//! Reading for people: tables of watches, transitions and deliveries, beside a running daemon
//! or without one. Never writes.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, Row};

use crate::domain::account::AccountName;
use crate::domain::avatar::AvatarId;
use crate::domain::avatar::transition::Transition;
use crate::domain::delivery::DeliveryId;
use crate::domain::delivery::channel::ChannelName;
use crate::domain::delivery::channel_health::{ChannelHealth, ChannelState};
use crate::domain::delivery::recipient_health::masked;
use crate::domain::id::EventId;
use crate::domain::polling::watch::Watch;
use crate::domain::time::timestamp::Timestamp;
use crate::store::admin::deliveries::NOT_SENT_AGAIN;
use crate::store::error::{ErrorContext as _, StoreError};
use crate::store::sqlite::database::{self, FileIdentity};
use crate::store::sqlite::snapshot;
use crate::store::sqlite::time_limit::Work;
use crate::store::sqlite::transaction::Database;
use crate::store::tables::channels;
use crate::store::tables::recipients;
use crate::store::tables::trainings;
use crate::store::tables::watches;

/// A connection that only reads.
#[derive(Debug)]
pub struct Reader {
    pub(super) database: Database,
    file: FileIdentity,
}

/// A delivery, as tables show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryRow {
    /// Its id.
    pub id: DeliveryId,
    /// The event that it tells.
    pub event_id: EventId,
    /// The kind of that event.
    pub event_type: String,
    /// The avatar that it tells about.
    pub avatar_id: String,
    /// Where it goes.
    pub channel: ChannelName,
    /// Who gets it; empty where the channel has one receiver only.
    pub recipient: String,
    /// How often it was sent again by hand before.
    pub replay: u32,
    /// The word of its state.
    pub state: String,
    /// How many tries were begun.
    pub attempts: u32,
    /// When the next try is due.
    pub next_attempt_at: Option<Timestamp>,
    /// Why it ended, if it failed or was cancelled.
    pub final_reason: Option<String>,
    /// Why its message is the standard body instead of the channel's template.
    pub fallback: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// One try at a delivery, as tables show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptRow {
    /// Its number, from one.
    pub number: u32,
    /// What began it: the schedule or a hand.
    pub trigger: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended; `None` while it is under way.
    pub finished_at: Option<Timestamp>,
    /// The word of its outcome.
    pub outcome: Option<String>,
    /// How far it came.
    pub phase: Option<String>,
    /// The status code of the answer.
    pub code: Option<u16>,
    /// How long it took, in milliseconds.
    pub latency_ms: Option<i64>,
    /// What went wrong.
    pub error: Option<String>,
    /// The beginning of the answer.
    pub snippet: Option<String>,
}

/// A channel, as tables show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelRow {
    /// Its name.
    pub name: ChannelName,
    /// Whether it is in the config that a daemon last took.
    pub configured: bool,
    /// How it is doing.
    pub health: ChannelHealth,
    /// Since when it is not told, because it is paused, disabled or not in the config.
    pub suspended_since: Option<Timestamp>,
    /// Deliveries that wait or are being sent.
    pub in_flight: u64,
    /// The oldest of them was made then.
    pub oldest_at: Option<Timestamp>,
    /// Dead letters that were not sent again since.
    pub failed: u64,
    /// When it last took something.
    pub delivered_at: Option<Timestamp>,
    /// Its recipients that operators have to know of, because they get nothing.
    pub recipients: Vec<FailingRecipient>,
}

/// A recipient that gets nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailingRecipient {
    /// Its address.
    pub address: String,
    /// Since when.
    pub since: Timestamp,
    /// Why, for people.
    pub reason: Option<String>,
}

impl ChannelRow {
    /// Since when operators have to know that it, or one of its recipients, takes nothing.
    pub fn failing_since(&self) -> Option<Timestamp> {
        let recipients = self.recipients.iter().map(|recipient| recipient.since);
        recipients.chain(self.health.failing_since).min()
    }

    /// What went wrong last, for people; of recipients, where the channel itself is well.
    pub fn reason(&self) -> Option<String> {
        let own = self.health.failing_since.is_some() || self.health.state != ChannelState::Active;
        let of_recipients = || {
            let first = self.recipients.first()?;
            let reason = first.reason.as_deref().unwrap_or("nothing is taken");
            let others = match self.recipients.len() {
                1 => String::new(),
                number => format!(" and {} more", number - 1),
            };
            Some(format!("to {}{others}: {reason}", masked(&first.address)))
        };
        if own { None } else { of_recipients() }.or_else(|| self.health.reason.clone())
    }
}

/// A condition that holds, as tables show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConditionRow {
    /// Its kind, such as `account.unavailable`.
    pub kind: String,
    /// What it is about: an avatar's id, or words such as `account argil`.
    pub subject: String,
    /// When it began.
    pub since: Timestamp,
    /// What keeps an account from seeing; a word.
    pub cause: Option<String>,
    /// Why, for people.
    pub reason: Option<String>,
}

/// Which deliveries to list; nothing set is all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliveryFilter {
    /// Only in this state.
    pub state: Option<String>,
    /// Only to this channel.
    pub channel: Option<String>,
    /// Only about this avatar.
    pub avatar: Option<String>,
    /// At most so many, the newest.
    pub limit: u32,
}

/// How many deliveries of an avatar are under way, and how many failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeliveryCounts {
    /// Pending or being sent.
    pub in_flight: u64,
    /// Dead letters that were not sent again since.
    pub failed: u64,
}

impl Reader {
    /// Reads one state of the database at `path`, from a process that has no other connection to
    /// it; from the beginning again, should the files change meanwhile. Leaves nothing behind.
    ///
    /// # Errors
    /// When there is none, or it is damaged, foreign or newer, or not for this user to read; what
    /// `read` fails with.
    pub fn snapshot<T>(
        path: &Path,
        mut read: impl FnMut(&Self) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        snapshot::read(path, |database| {
            database::refuse_older(path, database.schema())?;
            read(&Self { database, file: FileIdentity::open_now(path)? })
        })
    }

    /// Opens the database at `path` in the process that writes it.
    ///
    /// # Errors
    /// When there is none, or it is damaged, foreign or newer.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let database = database::open_for_reading(path)?;
        Ok(Self { database, file: FileIdentity::open_now(path)? })
    }

    /// Whether the file that it reads still is in its place.
    pub fn is_current(&self) -> bool {
        self.file.check().is_ok()
    }

    /// A number that changes when anybody else has written to the database
    /// (<https://www.sqlite.org/pragma.html#pragma_data_version>).
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn version(&self) -> Result<i64, StoreError> {
        self.database.data_version().doing("asking whether anything changed")
    }

    /// Every watch that was ever written, by id.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn watches(&self) -> Result<Vec<Watch>, StoreError> {
        let sql = format!("SELECT {} FROM watches ORDER BY avatar_id", watches::COLUMNS);
        self.rows("reading the watches", &sql, (), watches::read)
    }

    /// The transitions of one avatar, or of all, oldest first; at most `limit`, the newest.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn transitions(
        &self,
        avatar: Option<&AvatarId>,
        limit: u32,
    ) -> Result<Vec<Transition>, StoreError> {
        let newest = self.transitions_before(avatar, None, limit)?;
        Ok(newest.into_iter().rev().map(|(_, transition)| transition).collect())
    }

    /// Deliveries, oldest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn deliveries(&self, filter: &DeliveryFilter) -> Result<Vec<DeliveryRow>, StoreError> {
        let mut rows = self.deliveries_before(filter, None)?;
        rows.reverse();
        Ok(rows)
    }

    /// One delivery, by its own id or by its event's; the newest when there are several.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn delivery(&self, id: &str) -> Result<Option<DeliveryRow>, StoreError> {
        let sql = format!(
            "SELECT {DELIVERY_COLUMNS} FROM deliveries d JOIN events e ON e.id = d.event_id
             WHERE d.id = ?1 OR d.event_id = ?1 ORDER BY d.seq DESC LIMIT 1"
        );
        Ok(self.rows("reading a delivery", &sql, [id], read_delivery)?.pop())
    }

    /// The tries at a delivery, in order.
    ///
    /// # Errors
    /// When the database cannot be read.
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

    /// The bytes of a delivery's message.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn body(&self, id: &DeliveryId) -> Result<Option<Vec<u8>>, StoreError> {
        let sql = "SELECT body FROM deliveries WHERE id = ?1";
        Ok(self.rows("reading a message", sql, [id], |row| row.get(0))?.pop())
    }

    /// How the deliveries stand, by avatar; those without any are not in it.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn delivery_counts(&self) -> Result<BTreeMap<AvatarId, DeliveryCounts>, StoreError> {
        let sql = format!(
            "SELECT avatar_id,
                     count(*) FILTER (WHERE state IN ('pending','sending')),
                     count(*) FILTER (WHERE state = 'failed' AND {NOT_SENT_AGAIN})
                   FROM deliveries d
                   WHERE state NOT IN ('delivered','cancelled') AND avatar_id <> ''
                     AND instr(avatar_id, ' ') = 0
                   GROUP BY avatar_id"
        );
        let counts = self.rows("counting deliveries", &sql, (), |row| {
            let count = |column| row.get(column).map(|n: i64| u64::try_from(n).unwrap_or(0));
            Ok((row.get(0)?, DeliveryCounts { in_flight: count(1)?, failed: count(2)? }))
        })?;
        Ok(counts.into_iter().collect())
    }

    /// Every channel that was ever registered, by name.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn channels(&self) -> Result<Vec<ChannelRow>, StoreError> {
        let sql = format!(
            "SELECT c.id, c.unconfigured,
               (SELECT count(*) FROM deliveries WHERE channel_id = c.id
                  AND state IN ('pending','sending')),
               (SELECT min(created_at) FROM deliveries WHERE channel_id = c.id
                  AND state IN ('pending','sending')),
               (SELECT count(*) FROM deliveries d WHERE d.channel_id = c.id
                  AND d.state = 'failed' AND {NOT_SENT_AGAIN}),
               (SELECT max(updated_at) FROM deliveries WHERE channel_id = c.id
                  AND state = 'delivered'),
               c.suspended_since
             FROM channels c ORDER BY c.id"
        );
        let count = |row: &Row<'_>, column| {
            row.get(column).map(|count: i64| u64::try_from(count).unwrap_or(0))
        };
        let read = |connection: &Connection, row: &Row<'_>| {
            let name: ChannelName = row.get(0)?;
            Ok(ChannelRow {
                configured: !row.get::<_, bool>(1)?,
                health: channels::find(connection, &name)?,
                in_flight: count(row, 2)?,
                oldest_at: row.get(3)?,
                failed: count(row, 4)?,
                delivered_at: row.get(5)?,
                suspended_since: row.get(6)?,
                recipients: recipients::failing(connection, &name)?
                    .into_iter()
                    .filter_map(|(address, health)| {
                        let since = health.failing_since?;
                        Some(FailingRecipient { address, since, reason: health.reason })
                    })
                    .collect(),
                name,
            })
        };
        self.read("reading the channels", |connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            statement.query_map((), |row| read(connection, row))?.collect()
        })
    }

    /// The avatars that lists showed and the config did not name, each with its account.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn discovered(&self) -> Result<BTreeMap<AvatarId, AccountName>, StoreError> {
        let sql = "SELECT avatar_id, account FROM discovered";
        let rows =
            self.rows("reading what was found", sql, (), |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.into_iter().collect())
    }

    /// The conditions that were told and hold, oldest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn conditions(&self) -> Result<Vec<ConditionRow>, StoreError> {
        let sql = "SELECT kind, subject, since, cause, reason FROM conditions
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

    /// The config that a daemon last took, as it noted it.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn active_config(&self) -> Result<Option<String>, StoreError> {
        let sql = "SELECT active FROM config";
        Ok(self.rows("reading the config in force", sql, (), |row| row.get(0))?.pop())
    }

    /// How long past trainings lasted, by model, oldest first; at most `most` of each.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn training_samples(
        &self,
        most: usize,
    ) -> Result<HashMap<Option<String>, Vec<Duration>>, StoreError> {
        self.read("reading past trainings", |connection| trainings::samples(connection, most))
    }

    pub(super) fn rows<T>(
        &self,
        doing: &'static str,
        sql: &str,
        parameters: impl rusqlite::Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        self.read(doing, |connection| {
            connection.prepare_cached(sql)?.query_map(parameters, read)?.collect()
        })
    }

    fn read<T>(
        &self,
        doing: &'static str,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        self.database.read(doing, Work::Normal, read)
    }
}

pub(super) fn read_delivery(row: &Row<'_>) -> rusqlite::Result<DeliveryRow> {
    Ok(DeliveryRow {
        id: row.get(0)?,
        event_id: row.get(1)?,
        event_type: row.get(2)?,
        avatar_id: row.get(3)?,
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
    })
}

pub(super) const DELIVERY_COLUMNS: &str = "d.id, d.event_id, e.type, d.avatar_id, d.channel_id, \
                                           d.recipient, d.replay, d.state, d.attempts, \
                                           d.next_attempt_at, d.final_reason, d.created_at, \
                                           d.updated_at, d.fallback";
