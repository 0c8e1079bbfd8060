//! Rows of `trainings`: the durations of past trainings, for the adaptive polling interval.

use std::collections::HashMap;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, named_params};

use crate::domain::avatar::AvatarId;
use crate::domain::avatar::status::Status;
use crate::domain::avatar::training::Training;
use crate::store::sqlite::statement::rows;

pub(in crate::store) fn append(
    connection: &Connection,
    id: &AvatarId,
    training: &Training,
) -> rusqlite::Result<()> {
    let sql =
        "INSERT INTO trainings(avatar_id, model, lasted_min_ms, lasted_max_ms, status, ended_at)
               VALUES(:id, :model, :min, :max, :status, :ended)";
    connection
        .prepare_cached(sql)?
        .execute(named_params! {
            ":id": id,
            ":model": training.model,
            ":min": millis(training.duration_min),
            ":max": millis(training.duration_max),
            ":status": training.status,
            ":ended": training.ended_at,
        })
        .map(drop)
}

/// The durations of the newest trainings by model, oldest first; at most `most` of each.
pub(in crate::store) fn samples(
    connection: &Connection,
    most: usize,
) -> rusqlite::Result<HashMap<Option<String>, Vec<Duration>>> {
    // The newest of each model by the index; a window function would read all rows.
    let sql = "SELECT model, lasted_min_ms, lasted_max_ms, status, ended_at FROM trainings
               WHERE model IS ?1 ORDER BY seq DESC LIMIT ?2";
    let mut samples = HashMap::new();
    for model in models(connection)? {
        let trainings = rows(connection, sql, (&model, most), |row| {
            Ok(Training {
                model: row.get(0)?,
                duration_min: duration(row.get(1)?),
                duration_max: duration(row.get(2)?),
                status: row.get::<_, Status>(3)?,
                ended_at: row.get(4)?,
            })
        })?;
        let of_model: Vec<Duration> = trainings.iter().rev().filter_map(Training::sample).collect();
        if !of_model.is_empty() {
            samples.insert(model, of_model);
        }
    }
    Ok(samples)
}

/// The models with a completed training; `None` for one without a name. Skips from one to the next
/// by the index.
fn models(connection: &Connection) -> rusqlite::Result<Vec<Option<String>>> {
    let mut next = connection.prepare_cached(
        "SELECT model FROM trainings WHERE model > ?1 OR (?1 IS NULL AND model IS NOT NULL)
         ORDER BY model LIMIT 1",
    )?;
    let mut models = vec![None];
    while let Some(model) = next.query_row([models.last()], |row| row.get(0)).optional()? {
        models.push(Some(model));
    }
    Ok(models)
}

fn millis(wait: Duration) -> i64 {
    i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)
}

fn duration(millis: i64) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}
