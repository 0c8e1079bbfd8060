//! `Retry-After`: the delay that a server requests (RFC 9110, section 10.2.3). Absurd values are
//! ignored, and the caller limits the delay.

use std::time::Duration;

use crate::domain::time::timestamp::Timestamp;

/// Parses a `Retry-After` header: whole seconds, seconds with a fraction (seen in practice), or an
/// HTTP date. A date is compared with the `Date` header of the response if there is one, else with
/// `now`, so that a wrong local clock does not matter.
///
/// The result is at most `max`. `None` for zero, for a date in the past, and for other text.
pub(crate) fn parse(
    header: &str,
    date_header: Option<&str>,
    now: Timestamp,
    max: Duration,
) -> Option<Duration> {
    let header = header.trim();
    let wait = if let Some(seconds) = parse_seconds(header) {
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    } else {
        let there = Timestamp::parse_http_date(header)?;
        let here = date_header.and_then(Timestamp::parse_http_date).unwrap_or(now);
        there.since(here)
    };
    (!wait.is_zero()).then_some(wait.min(max))
}

/// Digits with at most one point; no sign, no exponent, no words such as `inf`.
fn parse_seconds(text: &str) -> Option<f64> {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    plain.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_read_and_junk_is_ignored() {
        const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
        let now = Timestamp::from_millis(784_111_777_000 - 90_000);
        let check = |header: &str, date: Option<&str>, expected: Option<f64>| {
            let read = parse(header, date, now, Duration::from_secs(3600));
            assert_eq!(read.map(|wait| wait.as_secs_f64()), expected, "for `{header}`");
        };
        check("120", None, Some(120.0));
        check(" 7 ", None, Some(7.0));
        check("0.376", None, Some(0.376));
        check("0", None, None);
        check(DATE, None, Some(90.0));
        check(DATE, Some("Sun, 06 Nov 1994 08:49:07 GMT"), Some(30.0));
        check(DATE, Some("nonsense"), Some(90.0));
        check("Sun, 06 Nov 1994 08:00:00 GMT", None, None);
        check("-1", None, None);
        check("inf", None, None);
        check("1e3", None, None);
        check("1.2.3", None, None);
        check("soon", None, None);
        check("", None, None);
        check("999999999999999999999999999999999999999", None, Some(3600.0));
    }
}
