//! A span of time, in words for people.

use std::time::Duration;

/// A span for people: whole seconds, and beyond an hour whole minutes.
pub fn rough(span: Duration) -> String {
    let seconds = span.as_secs();
    let rough = if seconds >= HOUR_S { seconds - seconds % MINUTE_S } else { seconds };
    humantime::format_duration(Duration::from_secs(rough)).to_string()
}

const HOUR_S: u64 = 3_600;
const MINUTE_S: u64 = 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_as_exact_as_people_want_it() {
        let check = |seconds: u64, expected: &str| {
            assert_eq!(rough(Duration::from_secs(seconds)), expected);
        };
        check(0, "0s");
        check(59, "59s");
        check(3_599, "59m 59s");
        check(3_661, "1h 1m");
        check(90_061, "1day 1h 1m");
    }
}
