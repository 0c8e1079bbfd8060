//! A time zone, in which texts for people show times, from the IANA database inside the program.
//!
//! The system's database is not read: it may be missing in a container, and a message must not
//! depend on the machine.

use jiff::ZonedDateTime;
use jiff::tz::{self, TimeZoneDatabase};

use crate::domain::time::humanize::humanize;
use crate::domain::time::timestamp::Timestamp;

/// A time zone with its IANA name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeZone(tz::TimeZone);

impl TimeZone {
    /// Coordinated universal time.
    pub const UTC: Self = Self(tz::TimeZone::UTC);

    /// The zone with that IANA name, such as `Europe/Berlin`, in any case.
    pub fn parse(name: &str) -> Option<Self> {
        TimeZoneDatabase::bundled().get(name).ok().map(Self)
    }

    /// The IANA names of all zones.
    pub fn names() -> Vec<String> {
        TimeZoneDatabase::bundled().available().map(|name| name.to_string()).collect()
    }

    /// Its IANA name.
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// A time for people, to the second, with its offset from UTC: `2026-11-23 12:15:22 +01:00`,
    /// or `2026-11-23 11:15:22 UTC`.
    pub fn show(&self, at: Timestamp) -> String {
        format!("{} {} {}", self.day(at), self.time(at), self.offset(at))
    }

    /// A span for people, with its length; what both ends have in common is shown once:
    /// `2026-11-23 20:50:03 to 20:51:44 UTC (1m 41s)`.
    pub fn show_span(&self, from: Timestamp, to: Timestamp) -> String {
        let offset = match (self.offset(from), self.offset(to)) {
            (from, to) if from == to => String::new(),
            (from, _) => format!(" {from}"),
        };
        let day = match (self.day(from), self.day(to)) {
            (from, to) if from == to => String::new(),
            (_, to) => format!("{to} "),
        };
        format!(
            "{} {}{offset} to {day}{} {} ({})",
            self.day(from),
            self.time(from),
            self.time(to),
            self.offset(to),
            humanize(to.since(from))
        )
    }

    fn day(&self, at: Timestamp) -> String {
        self.format(at, "%Y-%m-%d")
    }

    fn time(&self, at: Timestamp) -> String {
        self.format(at, "%H:%M:%S")
    }

    fn offset(&self, at: Timestamp) -> String {
        if *self == Self::UTC { "UTC".to_owned() } else { self.format(at, "%:z") }
    }

    fn format(&self, at: Timestamp, format: &str) -> String {
        ZonedDateTime::new(at.to_jiff(), self.0.clone()).strftime(format).to_string()
    }
}

impl Default for TimeZone {
    fn default() -> Self {
        Self::UTC
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    #[test]
    fn a_time_is_shown_with_its_offset() {
        let check = |zone: &str, time: &str, expected: &str| {
            assert_eq!(TimeZone::parse(zone).unwrap().show(at(time)), expected, "{zone}");
        };
        check("UTC", "2026-11-23T11:15:22.999Z", "2026-11-23 11:15:22 UTC");
        check("Europe/Berlin", "2026-11-23T11:15:22.123Z", "2026-11-23 12:15:22 +01:00");
        check("europe/berlin", "2026-07-01T22:30:00Z", "2026-07-02 00:30:00 +02:00");
        check("Asia/Kolkata", "2026-11-23T11:15:22Z", "2026-11-23 16:45:22 +05:30");
        check("America/New_York", "2026-11-23T03:15:22Z", "2026-11-22 22:15:22 -05:00");
        check("Europe/London", "2026-11-23T11:15:22Z", "2026-11-23 11:15:22 +00:00");
        let extreme = |millis| TimeZone::UTC.show(Timestamp::from_millis(millis));
        assert_eq!(extreme(i64::MAX), "9999-12-30 22:00:00 UTC");
        assert!(extreme(i64::MIN).starts_with("-9999-01-0"), "{}", extreme(i64::MIN));
    }

    #[test]
    fn a_span_shows_once_what_both_ends_have_in_common() {
        let check = |zone: &str, from: &str, to: &str, expected: &str| {
            assert_eq!(TimeZone::parse(zone).unwrap().show_span(at(from), at(to)), expected);
        };
        let (from, to) = ("2026-11-23T20:50:03.500Z", "2026-11-23T20:51:44.600Z");
        check("UTC", from, to, "2026-11-23 20:50:03 to 20:51:44 UTC (1m 41s)");
        check("Europe/Berlin", from, to, "2026-11-23 21:50:03 to 21:51:44 +01:00 (1m 41s)");
        let to = "2026-11-24T00:00:00Z";
        check("UTC", from, to, "2026-11-23 20:50:03 to 2026-11-24 00:00:00 UTC (3h 9m)");
        // Summer time ends.
        let (from, to) = ("2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z");
        let expected = "2026-10-25 02:30:00 +02:00 to 02:30:00 +01:00 (1h)";
        check("Europe/Berlin", from, to, expected);
    }

    #[test]
    fn a_zone_is_known_by_its_name_alone() {
        assert_eq!(TimeZone::parse("europe/berlin").unwrap().name(), "Europe/Berlin");
        assert_eq!(TimeZone::default().name(), "UTC");
        for unknown in ["", "Berlin", "CEST", "+01:00", "../../etc/passwd", "Europe"] {
            assert_eq!(TimeZone::parse(unknown), None, "{unknown}");
        }
        assert!(TimeZone::names().iter().any(|name| name == "Europe/Berlin"));
    }
}
