//! Rows of `watches`: what was last known of each avatar.

use rusqlite::{Connection, OptionalExtension as _, Row, named_params};

use crate::domain::avatar::AvatarId;
use crate::domain::timestamp::Timestamp;
use crate::domain::watch::{Sight, Trouble, Watch};

/// The watch of `id` as it was last written; `None` when it never was.
pub(super) fn find(connection: &Connection, id: &AvatarId) -> rusqlite::Result<Option<Watch>> {
    connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM watches WHERE avatar_id = ?1"))?
        .query_row([id], read)
        .optional()
}

/// Writes the watch as it is now.
pub(super) fn save(connection: &Connection, watch: &Watch) -> rusqlite::Result<()> {
    let sight = watch.sight.as_ref();
    let trouble = watch.trouble.as_ref();
    connection
        .prepare_cached(
            "INSERT INTO watches(avatar_id, name, status, status_since, last_seen_at, sequence,
                                 trouble, trouble_since, trouble_reason)
             VALUES(:id, :name, :status, :since, :seen, :sequence,
                    :trouble, :trouble_since, :reason)
             ON CONFLICT(avatar_id) DO UPDATE SET name = excluded.name,
               status = excluded.status, status_since = excluded.status_since,
               last_seen_at = excluded.last_seen_at, sequence = excluded.sequence,
               trouble = excluded.trouble, trouble_since = excluded.trouble_since,
               trouble_reason = excluded.trouble_reason",
        )?
        .execute(named_params! {
            ":id": watch.id,
            ":name": watch.name,
            ":status": sight.map(|sight| &sight.status),
            ":since": sight.map(|sight| sight.since),
            ":seen": sight.map(|sight| sight.last_seen_at),
            ":sequence": i64::try_from(watch.sequence).unwrap_or(i64::MAX),
            ":trouble": trouble.map(|trouble| trouble.kind),
            ":trouble_since": trouble.map(|trouble| trouble.since),
            ":reason": trouble.map(|trouble| &trouble.reason),
        })
        .map(drop)
}

/// Notes when an avatar was last seen as its row says; never moves it back.
pub(super) fn touch(
    connection: &Connection,
    id: &AvatarId,
    last_seen_at: Timestamp,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE watches SET last_seen_at = ?2 WHERE avatar_id = ?1 AND last_seen_at < ?2",
        )?
        .execute((id, last_seen_at))
        .map(drop)
}

/// Reads a row with [`COLUMNS`] at its beginning.
pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Watch> {
    let status: Option<_> = row.get(2)?;
    let sight = match status {
        Some(status) => Some(Sight { status, since: row.get(3)?, last_seen_at: row.get(4)? }),
        None => None,
    };
    let kind: Option<_> = row.get(6)?;
    let trouble = match kind {
        Some(kind) => {
            let reason: Option<String> = row.get(8)?;
            Some(Trouble { kind, since: row.get(7)?, reason: reason.unwrap_or_default() })
        }
        None => None,
    };
    let sequence: i64 = row.get(5)?;
    Ok(Watch {
        id: row.get(0)?,
        name: row.get(1)?,
        sight,
        sequence: u64::try_from(sequence).unwrap_or(0),
        trouble,
        failures: 0,
    })
}

/// The columns of a watch, in the order that [`read`] takes them.
pub(super) const COLUMNS: &str = "avatar_id, name, status, status_since, last_seen_at, sequence, \
                                  trouble, trouble_since, trouble_reason";
