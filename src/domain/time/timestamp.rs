//! Wall-clock time in whole milliseconds since 1970, as in rows and bodies.
//!
//! For people and records only: delays are measured with
//! [`Monotonic`](crate::domain::time::monotonic::Monotonic), which clock corrections do not change.
//! Never reads a clock.

use std::fmt;
use std::time::Duration;

/// Wall-clock time in UTC, in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The time that many milliseconds after the Unix epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, rounded down.
    pub const fn as_seconds(self) -> i64 {
        self.0.div_euclid(MILLIS_PER_SECOND)
    }

    /// This time plus a duration; saturates at the maximum.
    #[must_use]
    pub fn plus(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)))
    }

    /// This time minus a duration; saturates at the minimum.
    #[must_use]
    pub fn minus(self, wait: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How long ago `earlier` was; zero when it is not in the past.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The time for the library, within the years that it supports.
    pub(super) fn to_jiff(self) -> jiff::Timestamp {
        let end = if self.0 < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
        jiff::Timestamp::from_millisecond(self.0).unwrap_or(end)
    }

    /// Parses an HTTP date such as `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, section 5.6.7).
    /// `None` for anything else, including the obsolete forms.
    pub fn parse_http_date(text: &str) -> Option<Self> {
        let parser = jiff::fmt::rfc2822::DateTimeParser::new();
        parser.parse_timestamp(text.trim()).ok().map(|time| Self(time.as_millisecond()))
    }

    /// Parses an RFC 3339 time such as `2026-11-23T11:15:22.123Z`.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        text.trim().parse::<jiff::Timestamp>().ok().map(|time| Self(time.as_millisecond()))
    }
}

/// RFC 3339 in UTC with three digits of a second: `2026-11-23T11:15:22.123Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.to_jiff())
    }
}

const MILLIS_PER_SECOND: i64 = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_shows_as_rfc_3339_with_milliseconds() {
        let check = |millis, expected: &str| {
            assert_eq!(Timestamp::from_millis(millis).to_string(), expected);
        };
        check(0, "1970-01-01T00:00:00.000Z");
        check(1_795_432_522_123, "2026-11-23T11:15:22.123Z");
        check(-1, "1969-12-31T23:59:59.999Z");
        check(i64::MAX, "9999-12-30T22:00:00.999Z");
    }

    #[test]
    fn text_and_time_are_each_others_inverse() {
        let time = Timestamp::from_millis(1_795_432_522_123);
        assert_eq!(Timestamp::parse_rfc3339(&time.to_string()), Some(time));
        assert_eq!(Timestamp::parse_rfc3339("yesterday"), None);
    }

    #[test]
    fn http_dates_are_read_and_junk_is_not() {
        let check = |text: &str, expected: Option<i64>| {
            assert_eq!(Timestamp::parse_http_date(text).map(Timestamp::as_millis), expected);
        };
        check("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777_000));
        check(" Sun, 06 Nov 1994 08:49:37 GMT ", Some(784_111_777_000));
        check("1994-11-06", None);
        check("", None);
    }

    #[test]
    fn sums_and_differences_never_wrap() {
        let end = Timestamp::from_millis(i64::MAX);
        assert_eq!(end.plus(Duration::from_secs(1)), end);
        let early = Timestamp::from_millis(5);
        assert_eq!(early.since(end), Duration::ZERO);
        assert_eq!(Timestamp::from_millis(9).since(early), Duration::from_millis(4));
        assert_eq!(Timestamp::from_millis(-1).as_seconds(), -1);
    }
}
