//! Rows of `transitions`, which are never updated.

use std::collections::HashMap;

use rusqlite::{Connection, Row, named_params};

use crate::domain::avatar::status::Status;
use crate::domain::avatar::training::{Training, TrainingSample, TrainingStart};
use crate::domain::avatar::transition::{Previous, Transition};
use crate::domain::time::timestamp::Timestamp;
use crate::store::sqlite::statement::rows;

pub(in crate::store) fn append(
    connection: &Connection,
    transition: &Transition,
) -> rusqlite::Result<()> {
    let sql = "INSERT INTO transitions(avatar_id, avatar_seq, from_status, from_assumed, to_status,
                                       last_seen_previous_at, detected_at, upstream_updated_at,
                                       training, trained_model, trained_after, trained_since,
                                       trained_until)
               VALUES(:id, :seq, :from, :assumed, :to, :seen, :detected, :updated, :training,
                      :model, :after, :since, :until)";
    let training = transition.training.as_ref();
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
            ":model": training.and_then(|it| it.model.as_ref()),
            ":after": training.and_then(|it| it.start.after),
            ":since": training.map(|it| it.start.before),
            ":until": training.map(|it| it.last_seen_at),
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
        training: read_training(row)?,
        status: row.get("to_status")?,
        detected_at: row.get("detected_at")?,
        upstream_updated_at: row.get("upstream_updated_at")?,
    })
}

fn read_training(row: &Row<'_>) -> rusqlite::Result<Option<Training>> {
    let since: Option<Timestamp> = row.get("trained_since")?;
    since
        .map(|before| {
            Ok(Training {
                model: row.get("trained_model")?,
                start: TrainingStart { after: row.get("trained_after")?, before },
                last_seen_at: row.get("trained_until")?,
                ended_before: row.get("detected_at")?,
            })
        })
        .transpose()
}

/// The newest precise durations of past trainings by model, oldest first; at most `most` of each.
pub(in crate::store) fn training_samples(
    connection: &Connection,
    most: usize,
) -> rusqlite::Result<HashMap<Option<String>, Vec<TrainingSample>>> {
    // The newest of each model by the index; a window function would read all rows.
    let sql = "SELECT trained_model, trained_after, trained_since, trained_until, detected_at,
                      to_status
               FROM transitions WHERE trained_since IS NOT NULL AND trained_model IS ?1
               ORDER BY seq DESC LIMIT ?2";
    let mut samples = HashMap::new();
    for model in trained_models(connection)? {
        let of_model = rows(connection, sql, (&model, most), |row| {
            let status: Status = row.get("to_status")?;
            Ok(read_training(row)?.and_then(|training| training.sample(&status)))
        })?;
        let of_model: Vec<TrainingSample> = of_model.into_iter().rev().flatten().collect();
        if !of_model.is_empty() {
            samples.insert(model, of_model);
        }
    }
    Ok(samples)
}

/// The models with a finished training; `None` for one without a name. Skips from one to the next
/// by the index.
fn trained_models(connection: &Connection) -> rusqlite::Result<Vec<Option<String>>> {
    let sql = "SELECT min(trained_model) FROM transitions
               WHERE trained_since IS NOT NULL AND trained_model > ?1";
    let mut next = connection.prepare_cached(sql)?;
    let mut last = String::new();
    let mut models = vec![None, Some(String::new())];
    while let Some(model) = next.query_row([&last], |row| row.get::<_, Option<String>>(0))? {
        models.push(Some(model.clone()));
        last = model;
    }
    Ok(models)
}

pub(in crate::store) const COLUMNS: &str = "
  avatar_id, avatar_seq, from_status, from_assumed, to_status, last_seen_previous_at, detected_at,
  upstream_updated_at, training, trained_model, trained_after, trained_since, trained_until";
