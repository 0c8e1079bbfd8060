//! `[events]`: which transitions are events, the time zone of their texts, and when operators are
//! notified.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::config::parse::duration;
use crate::config::parse::field::{Field, Table, shown};
use crate::config::schema::keys::{EVENTS, nearest};
use crate::domain::alerts::AlertTiming;
use crate::domain::time::time_zone::TimeZone;
use crate::text::fold::is_same_name;

pub(in crate::config) struct Events {
    pub(in crate::config) infer_unseen_training: bool,
    pub(in crate::config) time_zone: TimeZone,
    pub(in crate::config) alert_timing: AlertTiming,
}

pub(in crate::config) fn read(root: &Table<'_>) -> Option<Events> {
    let events = root.section(EVENTS.path, &EVENTS)?;
    let infer = events.or("infer_unseen_training", true, Field::flag);
    let zone = events.or("time_zone", TimeZone::UTC, time_zone);
    let window =
        events.or("group_window", GROUP_WINDOW, |field| duration::read(field, &WINDOW_RANGE));
    let remind_after =
        events.or("remind_after", None, |field| duration::read_or(field, "never", &REMINDER_RANGE));
    Some(Events {
        infer_unseen_training: infer?,
        time_zone: zone?,
        alert_timing: AlertTiming { group_window: window?, remind_after: remind_after? },
    })
}

fn time_zone(field: &Field<'_>) -> Option<TimeZone> {
    let text = field.text()?;
    if let Some(zone) = TimeZone::parse(text) {
        return Some(zone);
    }
    let names = TimeZone::names();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let city = |name: &&&str| name.rsplit('/').next().is_some_and(|it| is_same_name(it, text));
    let help = match names.iter().find(city).copied().or_else(|| nearest(text, &names)) {
        Some(name) => format!("did you mean `{name}`?"),
        None => "write an IANA name such as `Europe/Berlin` or `America/New_York`, or `UTC`".into(),
    };
    field.invalid(format!("is `{}`, which is no known time zone", shown(text)), help)
}

/// The default of `group_window`.
pub(in crate::config) const GROUP_WINDOW: Duration = Duration::from_secs(30);
const WINDOW_RANGE: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_hours(1);
const REMINDER_RANGE: RangeInclusive<Duration> =
    Duration::from_mins(1)..=Duration::from_hours(365 * 24);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file::tests::{check_added, settings};

    #[test]
    fn times_are_in_utc_unless_a_zone_is_set() {
        assert_eq!(settings("").time_zone, TimeZone::UTC);
        let zone = settings("events.time_zone = 'europe/berlin'").time_zone;
        assert_eq!(zone.name(), "Europe/Berlin");
    }

    #[test]
    fn an_unknown_time_zone_gets_a_help() {
        let check = |zone: &str, help: &str| {
            check_added(
                &format!("events.time_zone = '{zone}'"),
                &format!(
                    "config.toml:2: `events.time_zone` is `{zone}`, which is no known time zone\n  \
                     help: {help}"
                ),
            );
        };
        check("Europe/Berln", "did you mean `Europe/Berlin`?");
        check("berlin", "did you mean `Europe/Berlin`?");
        let any = "write an IANA name such as `Europe/Berlin` or `America/New_York`, or `UTC`";
        check("+01:00", any);
        check("Middle-earth/Shire", any);
    }
}
