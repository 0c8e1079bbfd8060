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
    At(TimeOption),
    Today,
    Yesterday,
}

/// A time as an option names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimeOption {
    At(Timestamp),
    /// Without a zone: that of the output.
    Local(civil::DateTime),
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

    fn instant(&self, date: civil::DateTime) -> Option<Timestamp> {
        let zoned = date.to_zoned_datetime(self.0.clone()).ok()?;
        Some(Timestamp::from_millis(zoned.timestamp().as_millisecond()))
    }

    fn date(&self, now: Timestamp) -> Option<civil::Date> {
        let now = jiff::Timestamp::from_millisecond(now.as_millis()).ok()?;
        Some(now.to_zoned_datetime(self.0.clone()).date())
    }
}

impl Since {
    /// Parses a duration before now, such as `7d`, a day, a time without a zone, or RFC 3339.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if let Ok(ago) = humantime::parse_duration(text) {
            return Ok(Self::Ago(ago));
        }
        match text.trim().to_lowercase().as_str() {
            "today" => return Ok(Self::Today),
            "yesterday" => return Ok(Self::Yesterday),
            _ => {}
        }
        TimeOption::parse(text).map(Self::At).map_err(|_| {
            "write a duration such as `7d`, a day such as `2026-11-23`, `today` or `yesterday`, \
             or a time such as `2026-11-23 11:15`"
                .to_owned()
        })
    }

    /// The instant, with days and times of this zone.
    pub(crate) fn at(self, now: Timestamp, zone: &LocalTime) -> Timestamp {
        let midnight = |date: civil::Date| zone.instant(date.at(0, 0, 0, 0));
        match self {
            Self::Ago(ago) => now.minus(ago),
            Self::At(time) => time.at(zone),
            Self::Today => zone.date(now).and_then(midnight).unwrap_or(now),
            Self::Yesterday => {
                let yesterday = zone.date(now).and_then(|date| date.yesterday().ok());
                yesterday.and_then(midnight).unwrap_or(now)
            }
        }
    }
}

impl TimeOption {
    /// Parses `2026-12-01T08:00`, `2026-12-01T08:00Z` or `2026-12-01T08:00+01:00`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if let Some(at) = Timestamp::parse_rfc3339(text) {
            return Ok(Self::At(at));
        }
        // A date near the ends of the calendar is no instant in every zone.
        let date = text.trim().parse::<civil::DateTime>().ok();
        let date = date.filter(|date| (1..=9998).contains(&date.year()));
        date.map(Self::Local).ok_or_else(|| {
            "not a time; write `2026-12-01T08:00` in local time, or `2026-12-01T08:00Z` or \
             `2026-12-01T08:00+01:00`"
                .to_owned()
        })
    }

    /// The instant; a time without a zone is one of this zone.
    pub(crate) fn at(self, zone: &LocalTime) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Local(date) => zone.instant(date).unwrap_or(Timestamp::from_millis(0)),
        }
    }
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
    fn a_time_is_of_the_shown_zone_unless_it_has_one() {
        let check = |text: &str, expected: Option<&str>| {
            let found = TimeOption::parse(text).ok().map(|time| time.at(&berlin()).to_string());
            assert_eq!(found.as_deref(), expected, "{text}");
        };
        check("2026-12-01T08:00", Some("2026-12-01T07:00:00.000Z"));
        check("2026-12-01 08:00:30", Some("2026-12-01T07:00:30.000Z"));
        check("2026-12-01T08:00Z", Some("2026-12-01T08:00:00.000Z"));
        check("2026-12-01T08:00+02:00", Some("2026-12-01T06:00:00.000Z"));
        for wrong in ["", "tomorrow", "08:00", "2026-13-01T08:00", "2026-12-01T25:00", "9999-12-31"]
        {
            check(wrong, None);
        }
        let utc = TimeOption::parse("2026-12-01T08:00").unwrap().at(&LocalTime::new(true));
        assert_eq!(utc.to_string(), "2026-12-01T08:00:00.000Z");
    }

    #[test]
    fn a_period_begins_with_a_duration_a_day_or_a_time() {
        let now = Timestamp::parse_rfc3339("2026-11-25T23:30:00Z").unwrap();
        let check = |text: &str, zone: &LocalTime, expected: &str| {
            let at = Since::parse(text).unwrap().at(now, zone);
            assert_eq!(at.to_string(), expected, "{text}");
        };
        let utc = LocalTime::new(true);
        check("7d", &berlin(), "2026-11-18T23:30:00.000Z");
        check("2026-11-23", &berlin(), "2026-11-22T23:00:00.000Z");
        check("2026-11-23", &utc, "2026-11-23T00:00:00.000Z");
        check("2026-11-23 12:15", &berlin(), "2026-11-23T11:15:00.000Z");
        check("2026-11-23T11:15:22Z", &berlin(), "2026-11-23T11:15:22.000Z");
        check("today", &berlin(), "2026-11-25T23:00:00.000Z");
        check("Today", &utc, "2026-11-25T00:00:00.000Z");
        check("yesterday", &berlin(), "2026-11-24T23:00:00.000Z");
        for junk in ["", "tomorrow", "7", "2026-13-01", "-3d"] {
            assert!(Since::parse(junk).is_err(), "{junk}");
        }
    }
}
