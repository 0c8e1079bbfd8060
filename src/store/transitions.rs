//! Rows of `transitions`: written once, never changed, each sealed with a hash over itself and
//! the one before, so that damage and edits that SQLite cannot see are found.

use rusqlite::{Connection, OptionalExtension as _, Row, named_params};

use crate::domain::status::Status;
use crate::domain::timestamp::Timestamp;
use crate::domain::transition::{Previous, Transition};
use crate::store::seal::Seal;

/// Appends a transition.
pub(super) fn append(connection: &Connection, transition: &Transition) -> rusqlite::Result<()> {
    let last: Option<Vec<u8>> = connection
        .prepare_cached("SELECT hash FROM transitions ORDER BY seq DESC LIMIT 1")?
        .query_row([], |row| row.get(0))
        .optional()?;
    connection
        .prepare_cached(
            "INSERT INTO transitions(avatar_id, avatar_seq, from_status, from_assumed, to_status,
                                     last_seen_previous_at, detected_at, upstream_updated_at, hash,
                                     training)
             VALUES(:id, :seq, :from, :assumed, :to, :seen, :detected, :updated, :hash,
                    :training)",
        )?
        .execute(named_params! {
            ":id": transition.avatar_id,
            ":seq": i64::try_from(transition.sequence).unwrap_or(i64::MAX),
            ":from": transition.previous.status(),
            ":assumed": matches!(transition.previous, Previous::Assumed(_) | Previous::Absent),
            ":to": transition.status,
            ":seen": transition.last_seen_previous_at(),
            ":detected": transition.detected_at,
            ":updated": transition.upstream_updated_at,
            ":hash": seal(last.as_deref().unwrap_or_default(), transition),
            ":training": transition.earlier,
        })
        .map(drop)
}

/// Reads a row with [`COLUMNS`] at its beginning.
pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Transition> {
    let status: Option<Status> = row.get(2)?;
    let seen_at: Option<Timestamp> = row.get(5)?;
    let previous = match (status, seen_at) {
        (None, _) if row.get(8)? => Previous::Absent,
        (None, _) => Previous::Nothing,
        (Some(status), Some(at)) => Previous::Seen { status, at },
        (Some(status), None) => Previous::Assumed(status),
    };
    let sequence: i64 = row.get(1)?;
    Ok(Transition {
        avatar_id: row.get(0)?,
        sequence: u64::try_from(sequence).unwrap_or(0),
        previous,
        earlier: row.get(9)?,
        status: row.get(4)?,
        detected_at: row.get(6)?,
        upstream_updated_at: row.get(7)?,
    })
}

/// A hash over the seal before and every field.
pub(super) fn seal(last: &[u8], transition: &Transition) -> Vec<u8> {
    let seen_at = transition.last_seen_previous_at().map_or(i64::MIN, Timestamp::as_millis);
    let sealed = Seal::default()
        .with(last)
        .with(transition.avatar_id.as_str().as_bytes())
        .with(&transition.sequence.to_be_bytes())
        .with(transition.previous.status().map(Status::name).unwrap_or_default().as_bytes())
        .with(&seen_at.to_be_bytes())
        .with(transition.status.name().as_bytes())
        .with(&transition.detected_at.as_millis().to_be_bytes())
        .with(transition.upstream_updated_at.as_deref().unwrap_or_default().as_bytes());
    let sealed = match transition.previous {
        Previous::Absent => sealed.with(b"absent"),
        Previous::Nothing | Previous::Seen { .. } | Previous::Assumed(_) => sealed,
    };
    match transition.earlier {
        Some(earlier) => sealed.with(earlier.name().as_bytes()),
        None => sealed,
    }
    .finish()
}

/// The columns of a transition, in the order that [`read`] takes them.
pub(super) const COLUMNS: &str = "avatar_id, avatar_seq, from_status, from_assumed, to_status, \
                                  last_seen_previous_at, detected_at, upstream_updated_at, \
                                  from_assumed, training";
