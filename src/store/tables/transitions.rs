//! Rows of `transitions`, which are never updated.

use rusqlite::{Connection, Row, named_params};

use crate::domain::avatar::status::Status;
use crate::domain::avatar::transition::{Previous, Transition};
use crate::domain::time::timestamp::Timestamp;

pub(in crate::store) fn append(
    connection: &Connection,
    transition: &Transition,
) -> rusqlite::Result<()> {
    let sql = "INSERT INTO transitions(avatar_id, avatar_seq, from_status, from_assumed, to_status,
                                       last_seen_previous_at, detected_at, upstream_updated_at,
                                       training)
               VALUES(:id, :seq, :from, :assumed, :to, :seen, :detected, :updated, :training)";
    connection
        .prepare_cached(sql)?
        .execute(named_params! {
            ":id": transition.avatar_id,
            ":seq": i64::try_from(transition.sequence).unwrap_or(i64::MAX),
            ":from": transition.previous.status(),
            ":assumed": matches!(transition.previous, Previous::Assumed(_) | Previous::Absent),
            ":to": transition.status,
            ":seen": transition.last_seen_previous_at(),
            ":detected": transition.detected_at,
            ":updated": transition.upstream_updated_at,
            ":training": transition.earlier,
        })
        .map(drop)
}

/// Reads a row with [`COLUMNS`].
pub(in crate::store) fn read(row: &Row<'_>) -> rusqlite::Result<Transition> {
    let status: Option<Status> = row.get("from_status")?;
    let seen_at: Option<Timestamp> = row.get("last_seen_previous_at")?;
    let previous = match (status, seen_at) {
        (None, _) if row.get("from_assumed")? => Previous::Absent,
        (None, _) => Previous::Unknown,
        (Some(status), Some(at)) => Previous::Observed { status, at },
        (Some(status), None) => Previous::Assumed(status),
    };
    let sequence: i64 = row.get("avatar_seq")?;
    Ok(Transition {
        avatar_id: row.get("avatar_id")?,
        sequence: u64::try_from(sequence).unwrap_or(0),
        previous,
        earlier: row.get("training")?,
        status: row.get("to_status")?,
        detected_at: row.get("detected_at")?,
        upstream_updated_at: row.get("upstream_updated_at")?,
    })
}

pub(in crate::store) const COLUMNS: &str = "
  avatar_id, avatar_seq, from_status, from_assumed, to_status, last_seen_previous_at, detected_at,
  upstream_updated_at, training";
