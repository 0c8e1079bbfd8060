//! Durations in words, for people.

use std::time::Duration;

/// A duration as at most two units, rounded down: `42s`, `2m 5s`, `2h 59m`, `1d 1h`.
pub(crate) fn humanize(duration: Duration) -> String {
    words(duration.as_secs())
}

/// As [`humanize`], rounded up: for a duration that must not be exceeded.
pub(crate) fn humanize_up(duration: Duration) -> String {
    let seconds = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    // The smallest unit that is shown, of a duration of this size.
    let first = UNITS.iter().position(|(_, size)| seconds >= *size).unwrap_or(UNITS.len() - 1);
    let smallest = UNITS.get(first + UNITS_SHOWN - 1).map_or(1, |(_, size)| *size);
    words(seconds.div_ceil(smallest).saturating_mul(smallest))
}

fn words(seconds: u64) -> String {
    let first = UNITS.iter().position(|(_, size)| seconds >= *size).unwrap_or(UNITS.len() - 1);
    let shown = UNITS.iter().skip(first).take(UNITS_SHOWN);
    let mut rest = seconds;
    let mut words = Vec::new();
    for (unit, size) in shown {
        let count = rest / size;
        rest %= size;
        if count > 0 || words.is_empty() {
            words.push(format!("{count}{unit}"));
        }
    }
    words.join(" ")
}

const UNITS: [(&str, u64); 4] = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];
const UNITS_SHOWN: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_maximum_is_rounded_up() {
        let check = |millis: u64, expected: &str| {
            assert_eq!(humanize_up(Duration::from_millis(millis)), expected, "for {millis} ms");
        };
        check(0, "0s");
        check(2_001, "3s");
        check(59_999, "1m");
        check(125_000, "2m 5s");
        check(3_599_001, "1h");
        check(10_787_000, "3h");
        check(10_800_000, "3h");
        check(86_400_000, "1d");
        check(90_061_000, "1d 2h");
    }

    #[test]
    fn a_duration_is_two_units_at_most() {
        let check = |seconds: u64, expected: &str| {
            assert_eq!(humanize(Duration::from_secs(seconds)), expected, "for {seconds}");
        };
        check(0, "0s");
        check(42, "42s");
        check(60, "1m");
        check(125, "2m 5s");
        check(3_599, "59m 59s");
        check(3_600, "1h");
        check(10_787, "2h 59m");
        check(86_400 + 3_599, "1d");
        check(90_061, "1d 1h");
    }
}
