//! Rows of `trainings`: how long past trainings lasted, to learn from.

use std::collections::HashMap;
use std::time::Duration;

use rusqlite::{Connection, named_params};

use crate::domain::avatar::AvatarId;
use crate::domain::status::Status;
use crate::domain::training::Training;

/// Notes a training that ended.
pub(super) fn append(
    connection: &Connection,
    id: &AvatarId,
    training: &Training,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO trainings(avatar_id, model, lasted_min_ms, lasted_max_ms, status, ended_at)
             VALUES(:id, :model, :min, :max, :status, :ended)",
        )?
        .execute(named_params! {
            ":id": id,
            ":model": training.model,
            ":min": millis(training.lasted_min),
            ":max": millis(training.lasted_max),
            ":status": training.status,
            ":ended": training.ended_at,
        })
        .map(drop)
}

/// The lessons of the newest trainings by model, oldest first; at most `most` of each.
pub(super) fn lessons(
    connection: &Connection,
    most: usize,
) -> rusqlite::Result<HashMap<Option<String>, Vec<Duration>>> {
    let mut statement = connection.prepare_cached(
        "SELECT model, lasted_min_ms, lasted_max_ms, status, ended_at FROM (
           SELECT *, row_number() OVER (PARTITION BY model ORDER BY seq DESC) AS age
           FROM trainings)
         WHERE age <= ?1 ORDER BY seq",
    )?;
    let rows = statement.query_map([i64::try_from(most).unwrap_or(i64::MAX)], |row| {
        Ok(Training {
            model: row.get(0)?,
            lasted_min: duration(row.get(1)?),
            lasted_max: duration(row.get(2)?),
            status: row.get::<_, Status>(3)?,
            ended_at: row.get(4)?,
        })
    })?;
    let mut lessons: HashMap<_, Vec<_>> = HashMap::new();
    for training in rows {
        let training = training?;
        if let Some(lesson) = training.lesson() {
            lessons.entry(training.model).or_default().push(lesson);
        }
    }
    Ok(lessons)
}

fn millis(wait: Duration) -> i64 {
    i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)
}

fn duration(millis: i64) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}
