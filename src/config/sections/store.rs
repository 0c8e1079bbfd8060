//! `[store]`: the path of the database and its retention.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::parse::duration;
use crate::config::parse::field::{Field, Table};
use crate::config::schema::keys::STORE;
use crate::domain::retention::Retention;

pub(in crate::config) fn path(root: &Table<'_>) -> Option<PathBuf> {
    let store = root.section(STORE.path, &STORE)?;
    place(&store)
}

pub(in crate::config) fn read(root: &Table<'_>) -> Option<(PathBuf, Retention)> {
    let store = root.section(STORE.path, &STORE)?;
    let path = place(&store);
    let transitions = store.or("keep_transitions", None, age);
    let deliveries = store.or("keep_deliveries", Some(KEEP_DELIVERIES), age);
    Some((path?, Retention { transitions: transitions?, deliveries: deliveries? }))
}

fn place(store: &Table<'_>) -> Option<PathBuf> {
    let path = store.or("path", PATH, |field| field.text())?;
    Some(match store.reader.outside.environment.state_directory() {
        Some(directory) => directory.join(path),
        None => store.reader.resolve(path),
    })
}

/// `Some(None)` is forever.
fn age(field: &Field<'_>) -> Option<Option<Duration>> {
    duration::read_or(field, FOREVER, &AGE_RANGE)
}

/// The default path, relative to the config or the state directory.
pub(in crate::config) const PATH: &str = "avatar-watch.db";
pub(in crate::config) const FOREVER: &str = "forever";
const DAY: Duration = Duration::from_hours(24);
/// A year as durations count it, of 365.25 days.
const HOURS_OF_YEAR: u64 = 8_766;
const KEEP_DELIVERIES: Duration = Duration::from_hours(90 * 24);
/// The minimum age: younger rows are still needed.
const AGE_RANGE: RangeInclusive<Duration> = DAY..=Duration::from_hours(100 * HOURS_OF_YEAR);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file::tests::{check_added, settings};

    #[test]
    fn the_past_is_kept_as_long_as_it_is_said() {
        let check = |text: &str, transitions: Option<u64>, deliveries: Option<u64>| {
            let days = |days: Option<u64>| days.map(|days| DAY * u32::try_from(days).unwrap());
            let expected =
                Retention { transitions: days(transitions), deliveries: days(deliveries) };
            assert_eq!(settings(text).retention, expected, "for `{text}`");
        };
        check("", None, Some(90));
        check("store.keep_deliveries = 'forever'", None, None);
        check("store.keep_transitions = '365d'", Some(365), Some(90));
    }

    #[test]
    fn an_invalid_age_is_reported() {
        check_added(
            "store.keep_deliveries = 'forevr'\nstore.keep_transitions = '1h'",
            "
config.toml:2: `store.keep_deliveries` has the unknown value `forevr`
  help: did you mean `forever`?
config.toml:3: `store.keep_transitions` is `1h`
  help: write a duration from `1day` to `100years`",
        );
    }
}
