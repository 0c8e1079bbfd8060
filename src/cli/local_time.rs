//! Times that an operator types: with a zone, or in the zone of this machine.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::domain::time::timestamp::Timestamp;

/// Parses `2026-12-01T08:00`, `2026-12-01T08:00Z` or `2026-12-01T08:00+01:00`. Without a zone, the
/// time is local.
pub(in crate::cli) fn time(text: &str) -> Result<Timestamp, String> {
    time_in(text, &TimeZone::system())
}

fn time_in(text: &str, zone: &TimeZone) -> Result<Timestamp, String> {
    if let Some(time) = Timestamp::parse_rfc3339(text) {
        return Ok(time);
    }
    let local = text.trim().parse::<DateTime>().map_err(|_| HELP.to_owned())?;
    let time = zone.to_timestamp(local).map_err(|error| error.to_string())?;
    Ok(Timestamp::from_millis(time.as_millisecond()))
}

const HELP: &str = "not a time; write `2026-12-01T08:00` in local time, or `2026-12-01T08:00Z` or \
    `2026-12-01T08:00+01:00`";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_local_unless_it_has_a_zone() {
        let zone = TimeZone::fixed(jiff::tz::offset(-5));
        let check = |text: &str, expected: Option<&str>| {
            let found = time_in(text, &zone).ok().map(|time| time.to_string());
            assert_eq!(found.as_deref(), expected, "{text}");
        };
        check("2026-12-01T08:00", Some("2026-12-01T13:00:00.000Z"));
        check("2026-12-01 08:00:30", Some("2026-12-01T13:00:30.000Z"));
        check("2026-12-01T08:00Z", Some("2026-12-01T08:00:00.000Z"));
        check("2026-12-01T08:00+01:00", Some("2026-12-01T07:00:00.000Z"));
        for wrong in ["", "tomorrow", "08:00", "2026-13-01T08:00", "2026-12-01T25:00"] {
            check(wrong, None);
        }
    }
}
