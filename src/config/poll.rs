//! `[poll]`: the waits between looks.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::config::duration::{self, LONGEST};
use crate::config::field::Field;
use crate::config::reader::Table;
use crate::config::schema::{BACKOFF, POLL, TRAINING, nearest};
use crate::domain::backoff::Backoff;
use crate::domain::cadence::{Cadence, TrainingPace};

/// Reads the pace.
pub(super) fn read(root: &Table<'_>) -> Option<Cadence> {
    let poll = root.section(POLL.path, &POLL)?;
    let training = training(&poll);
    let not_trained = poll.or("not_trained", NOT_TRAINED, wait);
    let settled = poll.or("settled", Some(SETTLED), settled);
    let missing = poll.or("missing", MISSING, wait);
    let backoff = backoff(&poll);
    Some(Cadence {
        training: training?,
        not_trained: not_trained?,
        settled: settled?,
        missing: missing?,
        backoff: backoff?,
        jitter: JITTER_OF_WAITS,
    })
}

fn training(poll: &Table<'_>) -> Option<TrainingPace> {
    let training = poll.section("training", &TRAINING)?;
    let min = training.or("min", TRAINING_MIN, wait);
    let max = training.or("max", TRAINING_MAX, wait);
    let fraction = training.or("age_fraction", AGE_FRACTION, |field| field.number(0.0..=1.0));
    let (min, max) = (min?, max?);
    ordered(&training, ("min", min), ("max", max))?;
    Some(TrainingPace { min, max, age_fraction: fraction?, learn: true })
}

fn backoff(poll: &Table<'_>) -> Option<Backoff> {
    let backoff = poll.section("backoff", &BACKOFF)?;
    let initial = backoff.or("initial", BACKOFF_INITIAL, wait);
    let max = backoff.or("max", BACKOFF_MAX, wait);
    let multiplier = backoff.or("multiplier", MULTIPLIER, |field| field.number(1.0..=100.0));
    let jitter = backoff.or("jitter", JITTER, |field| field.number(0.0..=1.0));
    let (initial, max) = (initial?, max?);
    ordered(&backoff, ("initial", initial), ("max", max))?;
    match Backoff::new(initial, max, multiplier?, jitter?) {
        Ok(backoff) => Some(backoff),
        Err(error) => {
            let message = format!("makes no backoff: {error}");
            backoff.reader.problem(&backoff.place, message, None);
            None
        }
    }
}

fn wait(field: &Field<'_>) -> Option<Duration> {
    duration::read(field, &WAIT_RANGE)
}

/// Gives `Some(None)` for never.
fn settled(field: &Field<'_>) -> Option<Option<Duration>> {
    match field.value.as_str() {
        Some("never") => Some(None),
        Some(word) if nearest(word, &["never"]).is_some() => field.unknown_word(word, &["never"]),
        _ => wait(field).map(Some),
    }
}

/// Reports a least wait that is longer than the most. At least one of the two stands in the
/// file, since the defaults are in order; the problem is told at the one that does.
fn ordered(table: &Table<'_>, least: (&str, Duration), most: (&str, Duration)) -> Option<()> {
    if least.1 <= most.1 {
        return Some(());
    }
    let [low, high] = [least.1, most.1].map(humantime::format_duration);
    let (low_name, high_name) = (least.0, most.0);
    match table.field(low_name) {
        Some(field) => field.wrong(
            format!("is `{low}`, which is longer than `{high_name}`, which is `{high}`"),
            format!("write at most `{high}`, or a longer `{high_name}`"),
        ),
        None => table.field(high_name)?.wrong(
            format!("is `{high}`, which is shorter than `{low_name}`, which is `{low}`"),
            format!("write at least `{low}`, or a shorter `{low_name}`"),
        ),
    }
}

/// What a wait between looks can be. Zero would ask without a pause.
const WAIT_RANGE: RangeInclusive<Duration> = Duration::from_millis(10)..=LONGEST;
const TRAINING_MIN: Duration = Duration::from_secs(5);
const TRAINING_MAX: Duration = Duration::from_secs(60);
const AGE_FRACTION: f64 = 0.1;
const NOT_TRAINED: Duration = Duration::from_secs(60);
const SETTLED: Duration = Duration::from_secs(3_600);
const MISSING: Duration = Duration::from_secs(900);
const BACKOFF_INITIAL: Duration = Duration::from_secs(2);
const BACKOFF_MAX: Duration = Duration::from_secs(300);
const MULTIPLIER: f64 = 2.0;
const JITTER: f64 = 0.3;
const JITTER_OF_WAITS: f64 = 0.1;
