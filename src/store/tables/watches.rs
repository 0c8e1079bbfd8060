//! Rows of `watches`: the last known state of each avatar.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension as _, Row, named_params};

use crate::domain::avatar::AvatarId;
use crate::domain::avatar::open_training::OpenTraining;
use crate::domain::avatar::training::TrainingStart;
use crate::domain::avatar::transition::Earlier;
use crate::domain::event::EventKind;
use crate::domain::polling::avatar_conditions::FiringConditions;
use crate::domain::polling::poll_failure::PollFailure;
use crate::domain::polling::watch::{LastObserved, Watch};
use crate::domain::time::timestamp::Timestamp;
use crate::store::sqlite::statement::{column, rows};

/// The watches of these avatars in their order; new ones for avatars without a row.
pub(in crate::store) fn find_all(
    connection: &Connection,
    ids: Vec<AvatarId>,
) -> rusqlite::Result<Vec<Watch>> {
    let mut conditions = conditions(connection)?;
    let sql = format!("SELECT {COLUMNS} FROM watches WHERE avatar_id = ?1");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut find = |id: AvatarId| {
        let conditions = conditions.remove(id.as_str()).unwrap_or_default().into();
        let found = statement.query_row([&id], read_unconditional).optional()?;
        let found = found.unwrap_or_else(|| Watch::new(id.clone()));
        // With the id of the caller, so that there is one copy of its text.
        Ok(Watch { id, conditions, ..found })
    };
    ids.into_iter().map(&mut find).collect()
}

/// All watches but the forgotten ones, by id.
pub(in crate::store) fn all(connection: &Connection) -> rusqlite::Result<Vec<Watch>> {
    let mut conditions = conditions(connection)?;
    let sql =
        format!("SELECT {COLUMNS} FROM watches WHERE forgotten_at IS NULL ORDER BY avatar_id");
    rows(connection, &sql, [], |row| {
        let watch = read_unconditional(row)?;
        let conditions = conditions.remove(watch.id.as_str()).unwrap_or_default().into();
        Ok(Watch { conditions, ..watch })
    })
}

/// The conditions of each avatar that has any.
fn conditions(connection: &Connection) -> rusqlite::Result<HashMap<String, FiringConditions>> {
    let mut found: HashMap<String, FiringConditions> = HashMap::new();
    let sql = "SELECT subject, kind, since FROM conditions WHERE kind LIKE 'avatar.%'";
    let firing: Vec<(String, String, Timestamp)> = rows(connection, sql, [], |row| row.try_into())?;
    for (id, kind, since) in firing {
        let of_avatar = found.entry(id).or_default();
        let kinds = [
            (EventKind::AvatarMissing, &mut of_avatar.missing),
            (EventKind::AvatarUnreachable, &mut of_avatar.unreachable),
            (EventKind::AvatarTrainingOverdue, &mut of_avatar.overdue),
            (EventKind::AvatarStatusUnrecognized, &mut of_avatar.unrecognized),
        ];
        if let Some((_, firing)) = kinds.into_iter().find(|(it, _)| it.name() == kind) {
            *firing = Some(since);
        }
    }
    let sql = "SELECT avatar_id, status FROM unrecognized ORDER BY reported_at, status";
    let reported: Vec<(String, String)> = rows(connection, sql, [], |row| row.try_into())?;
    for (id, status) in reported {
        found.entry(id).or_default().reported_statuses.push(status);
    }
    Ok(found)
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

/// Reads a row that starts with [`COLUMNS`], without the conditions.
pub(in crate::store) fn read_unconditional(row: &Row<'_>) -> rusqlite::Result<Watch> {
    let status: Option<_> = row.get(2)?;
    let observed = match status {
        Some(status) => {
            let (since, last_seen_at, changed_after) = (row.get(3)?, row.get(4)?, row.get(13)?);
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
    let training: Option<Earlier> = row.get(10)?;
    let open_training = match training {
        Some(Earlier::Observed) => {
            let start = TrainingStart { after: row.get(14)?, before: row.get(11)? };
            Some(OpenTraining::Observed { start, last_seen_at: row.get(12)? })
        }
        Some(Earlier::Assumed) => Some(OpenTraining::Assumed),
        None => None,
    };
    let sequence: i64 = row.get(5)?;
    Ok(Watch {
        name: row.get(1)?,
        model: row.get(9)?,
        observed,
        open_training,
        sequence: u64::try_from(sequence).unwrap_or(0),
        failure,
        transition_updated_at: row.get(15)?,
        ..Watch::new(row.get(0)?)
    })
}

/// The columns of a watch without its conditions, in the order of [`read_unconditional`].
pub(in crate::store) const COLUMNS: &str = "\
    avatar_id, name, status, status_since, last_seen_at, sequence, \
    failure, failure_since, failure_reason, model, \
    training, training_since, training_seen_at, status_after, training_after, \
    status_updated_at";
