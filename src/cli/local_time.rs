//! Times for people: in the time zone of the user (`TZ`, else that of the system), or in UTC. JSON
//! has RFC 3339 in UTC instead.

use std::time::Duration;

use jiff::civil;
use jiff::tz::TimeZone;

use crate::domain::time::time_zone::TimeZone as DomainTimeZone;
use crate::domain::time::timestamp::Timestamp;

/// A time zone.
#[derive(Clone, Debug)]
pub(crate) struct LocalTime(TimeZone);

/// The beginning of a period, as an option names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Since {
    Ago(Duration),
    At(Timestamp),
}

impl LocalTime {
    /// That of the user; UTC if asked for, and if it is not known.
    pub(crate) fn new(utc: bool) -> Self {
        let system = || TimeZone::try_system().unwrap_or(TimeZone::UTC);
        Self(if utc { TimeZone::UTC } else { system() })
    }

    /// A time (RFC 3339) as `2026-11-23 12:15:22 CET`; empty if it cannot be parsed.
    pub(crate) fn show(&self, at: &str) -> String {
        let at = at.parse::<jiff::Timestamp>().ok();
        let at = at.map(|at| at.to_zoned_datetime(self.0.clone()).strftime(FORMAT).to_string());
        at.unwrap_or_default()
    }

    /// The same of a time.
    pub(crate) fn show_time(&self, at: Timestamp) -> String {
        self.show(&at.to_string())
    }

    /// The zone for texts of the domain; UTC for one without an IANA name.
    pub(crate) fn zone(&self) -> DomainTimeZone {
        self.0.iana_name().and_then(DomainTimeZone::parse).unwrap_or_default()
    }

    /// Parses a duration before now, such as `7d`, a date or a time in this zone, or RFC 3339.
    fn parse_since(&self, text: &str) -> Result<Since, String> {
        if let Ok(ago) = humantime::parse_duration(text) {
            return Ok(Since::Ago(ago));
        }
        self.parse_time(text).map(Since::At).ok_or_else(|| {
            "write a duration such as `7d`, a date such as `2026-11-23`, or a time such as \
             `2026-11-23 11:15`"
                .to_owned()
        })
    }

    /// Parses a date or a time in this zone, or RFC 3339.
    fn parse_time(&self, text: &str) -> Option<Timestamp> {
        if let Some(at) = Timestamp::parse_rfc3339(text) {
            return Some(at);
        }
        let date = text.trim().parse::<civil::DateTime>().ok()?;
        let zoned = date.to_zoned_datetime(self.0.clone()).ok()?;
        Some(Timestamp::from_millis(zoned.timestamp().as_millisecond()))
    }
}

impl Since {
    /// Parses an option, in the time zone of the user.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        LocalTime::new(false).parse_since(text)
    }

    pub(crate) fn at(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Ago(ago) => now.minus(ago),
            Self::At(at) => at,
        }
    }
}

/// Parses `2026-12-01T08:00`, `2026-12-01T08:00Z` or `2026-12-01T08:00+01:00`. Without a zone, the
/// time is that of the user.
pub(in crate::cli) fn time(text: &str) -> Result<Timestamp, String> {
    LocalTime::new(false).parse_time(text).ok_or_else(|| {
        "not a time; write `2026-12-01T08:00` in local time, or `2026-12-01T08:00Z` or \
         `2026-12-01T08:00+01:00`"
            .to_owned()
    })
}

const FORMAT: &str = "%Y-%m-%d %H:%M:%S %Z";

#[cfg(test)]
mod tests {
    use super::*;

    /// Two hours ahead of UTC in summer, one in winter.
    fn berlin() -> LocalTime {
        LocalTime(TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap())
    }

    #[test]
    fn a_time_is_shown_in_the_zone_with_its_name() {
        let check = |zone: &LocalTime, at, expected: &str| assert_eq!(zone.show(at), expected);
        check(&berlin(), "2026-11-23T11:15:22.123Z", "2026-11-23 12:15:22 CET");
        check(&berlin(), "2026-07-23T11:15:22.123Z", "2026-07-23 13:15:22 CEST");
        check(&LocalTime(TimeZone::UTC), "2026-11-23T11:15:22.123Z", "2026-11-23 11:15:22 UTC");
        check(&berlin(), "soon", "");
    }

    #[test]
    fn a_time_is_local_unless_it_has_a_zone() {
        let check = |text: &str, expected: Option<&str>| {
            let found = berlin().parse_time(text).map(|time| time.to_string());
            assert_eq!(found.as_deref(), expected, "{text}");
        };
        check("2026-12-01T08:00", Some("2026-12-01T07:00:00.000Z"));
        check("2026-12-01 08:00:30", Some("2026-12-01T07:00:30.000Z"));
        check("2026-12-01T08:00Z", Some("2026-12-01T08:00:00.000Z"));
        check("2026-12-01T08:00+02:00", Some("2026-12-01T06:00:00.000Z"));
        for wrong in ["", "tomorrow", "08:00", "2026-13-01T08:00", "2026-12-01T25:00"] {
            check(wrong, None);
        }
    }

    #[test]
    fn a_period_begins_with_a_duration_a_date_or_a_time() {
        let at = |text: &str| Ok(Since::At(Timestamp::parse_rfc3339(text).unwrap()));
        let check = |text: &str, expected| assert_eq!(berlin().parse_since(text), expected);
        check("7d", Ok(Since::Ago(Duration::from_hours(7 * 24))));
        check("2026-11-23", at("2026-11-22T23:00:00Z"));
        check("2026-11-23 12:15", at("2026-11-23T11:15:00Z"));
        check("2026-11-23T11:15:22Z", at("2026-11-23T11:15:22Z"));
        for junk in ["", "yesterday", "7", "2026-13-01", "-3d"] {
            assert!(berlin().parse_since(junk).is_err(), "{junk}");
        }
    }
}
