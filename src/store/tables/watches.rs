//! Rows of `watches`: the last known state of each avatar.

use rusqlite::{Connection, OptionalExtension as _, Row, named_params};

use crate::domain::avatar::AvatarId;
use crate::domain::avatar::open_training::OpenTraining;
use crate::domain::avatar::training::TrainingStart;
use crate::domain::avatar::transition::Earlier;
use crate::domain::polling::avatar_conditions::ActiveConditions;
use crate::domain::polling::poll_failure::{FailureStreak, PollFailure};
use crate::domain::polling::watch::{LastObserved, Watch};
use crate::domain::time::timestamp::Timestamp;
use crate::store::sqlite::statement::column;

pub(in crate::store) fn find(
    connection: &Connection,
    id: &AvatarId,
) -> rusqlite::Result<Option<Watch>> {
    connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM watches WHERE avatar_id = ?1"))?
        .query_row([id], read)
        .optional()
}

pub(in crate::store) fn save(connection: &Connection, watch: &Watch) -> rusqlite::Result<()> {
    let observed = watch.observed.as_ref();
    let failure = watch.failure.as_ref();
    let (start, trained) = match watch.open_training {
        Some(OpenTraining::Observed { start, last_seen_at }) => (Some(start), Some(last_seen_at)),
        Some(OpenTraining::Assumed) | None => (None, None),
    };
    let sql = "INSERT INTO watches(avatar_id, name, model, status, status_since, last_seen_at,
                                   status_after, status_updated_at, sequence,
                                   failure, failure_since, failure_reason,
                                   training, training_after, training_since, training_seen_at)
               VALUES(:id, :name, :model, :status, :since, :seen, :after, :updated, :sequence,
                      :failure, :failure_since, :reason,
                      :training, :training_after, :began, :trained)
               ON CONFLICT(avatar_id) DO UPDATE SET name = excluded.name, model = excluded.model,
                 status = excluded.status, status_since = excluded.status_since,
                 last_seen_at = excluded.last_seen_at, status_after = excluded.status_after,
                 status_updated_at = excluded.status_updated_at,
                 sequence = excluded.sequence,
                 failure = excluded.failure, failure_since = excluded.failure_since,
                 failure_reason = excluded.failure_reason, training = excluded.training,
                 training_after = excluded.training_after,
                 training_since = excluded.training_since,
                 training_seen_at = excluded.training_seen_at, forgotten_at = NULL";
    connection
        .prepare_cached(sql)?
        .execute(named_params! {
            ":id": watch.id,
            ":name": watch.name,
            ":model": watch.model,
            ":status": observed.map(|it| &it.status),
            ":since": observed.map(|it| it.since),
            ":seen": observed.map(|it| it.last_seen_at),
            ":after": observed.and_then(|it| it.changed_after),
            ":updated": watch.transition_updated_at,
            ":sequence": i64::try_from(watch.sequence).unwrap_or(i64::MAX),
            ":failure": failure.map(|it| it.kind),
            ":failure_since": failure.map(|it| it.since),
            ":reason": failure.map(|it| &it.reason),
            ":training": watch.open_training.map(OpenTraining::evidence),
            ":training_after": start.and_then(|it| it.after),
            ":began": start.map(|it| it.before),
            ":trained": trained,
        })
        .map(drop)
}

/// The avatars that were forgotten.
pub(in crate::store) fn forgotten(connection: &Connection) -> rusqlite::Result<Vec<AvatarId>> {
    column(connection, "SELECT avatar_id FROM watches WHERE forgotten_at IS NOT NULL", [])
}

/// Shows forgotten avatars again.
pub(in crate::store) fn show_again(
    connection: &Connection,
    ids: &[AvatarId],
) -> rusqlite::Result<()> {
    let sql = "UPDATE watches SET forgotten_at = NULL WHERE avatar_id = ?1";
    let mut show = connection.prepare_cached(sql)?;
    ids.iter().try_for_each(|id| show.execute([id]).map(drop))
}

/// The state of a watch that is saved from time to time, for the next start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    pub(crate) id: AvatarId,
    /// When it was last seen with the status of its row.
    pub(crate) last_seen_at: Option<Timestamp>,
    /// When its next poll is due; `None` for never.
    pub(crate) next_poll_at: Option<Timestamp>,
}

/// Saves a checkpoint; never moves `last_seen_at` back.
pub(in crate::store) fn note(
    connection: &Connection,
    checkpoint: &Checkpoint,
) -> rusqlite::Result<()> {
    let sql = "UPDATE watches SET last_seen_at = max(last_seen_at, coalesce(?2, last_seen_at)),
                                  next_poll_at = ?3
               WHERE avatar_id = ?1";
    connection
        .prepare_cached(sql)?
        .execute((&checkpoint.id, checkpoint.last_seen_at, checkpoint.next_poll_at))
        .map(drop)
}

/// When the next poll of an avatar was due at the last checkpoint.
pub(in crate::store) fn next_poll_at(
    connection: &Connection,
    id: &AvatarId,
) -> rusqlite::Result<Option<Timestamp>> {
    let sql = "SELECT next_poll_at FROM watches WHERE avatar_id = ?1";
    connection
        .prepare_cached(sql)?
        .query_row([id], |row| row.get(0))
        .optional()
        .map(Option::flatten)
}

/// Reads a row that starts with [`COLUMNS`].
pub(in crate::store) fn read(row: &Row<'_>) -> rusqlite::Result<Watch> {
    let status: Option<_> = row.get(2)?;
    let observed = match status {
        Some(status) => {
            let (since, last_seen_at, changed_after) = (row.get(3)?, row.get(4)?, row.get(18)?);
            Some(LastObserved { status, since, changed_after, last_seen_at })
        }
        None => None,
    };
    let kind: Option<_> = row.get(6)?;
    let failure = match kind {
        Some(kind) => {
            let reason: Option<String> = row.get(8)?;
            Some(PollFailure { kind, since: row.get(7)?, reason: reason.unwrap_or_default() })
        }
        None => None,
    };
    let training: Option<Earlier> = row.get(15)?;
    let open = match training {
        Some(Earlier::Observed) => {
            let start = TrainingStart { after: row.get(19)?, before: row.get(16)? };
            Some(OpenTraining::Observed { start, last_seen_at: row.get(17)? })
        }
        Some(Earlier::Assumed) => Some(OpenTraining::Assumed),
        None => None,
    };
    let statuses: String = row.get(14)?;
    let sequence: i64 = row.get(5)?;
    Ok(Watch {
        updated_at: None,
        touched_at: None,
        transition_updated_at: row.get(20)?,
        retrained_at: None,
        id: row.get(0)?,
        name: row.get(1)?,
        model: row.get(9)?,
        observed,
        open_training: open,
        sequence: u64::try_from(sequence).unwrap_or(0),
        failure,
        streak: FailureStreak::default(),
        conditions: ActiveConditions {
            missing: row.get(10)?,
            unreachable: row.get(11)?,
            overdue: row.get(12)?,
            unrecognized: row.get(13)?,
            // SQLite created the value.
            reported_statuses: serde_json::from_str(&statuses).unwrap_or_default(),
        },
    })
}

/// The columns of a watch, in the order of [`read`].
pub(in crate::store) const COLUMNS: &str = "\
    avatar_id, name, status, status_since, last_seen_at, sequence, \
    failure, failure_since, failure_reason, model, \
    (SELECT since FROM conditions WHERE kind = 'avatar.missing' AND subject = avatar_id), \
    (SELECT since FROM conditions WHERE kind = 'avatar.unreachable' AND subject = avatar_id), \
    (SELECT since FROM conditions WHERE kind = 'avatar.training_overdue' AND subject = avatar_id), \
    (SELECT since FROM conditions WHERE kind = 'avatar.status_unrecognized' \
       AND subject = avatar_id), \
    (SELECT json_group_array(u.status ORDER BY u.reported_at, u.status) FROM unrecognized u \
       WHERE u.avatar_id = watches.avatar_id), \
    training, training_since, training_seen_at, status_after, training_after, \
    status_updated_at";
