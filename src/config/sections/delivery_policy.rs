//! The delivery policy of a channel: `retry_schedule`, `expires_after`, `on_unknown`.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::config::parse::duration::{self, LONGEST};
use crate::config::parse::field::{Field, Table};
use crate::domain::delivery::retry_policy::{DeliveryPolicy, OnUnknown, RetrySchedule};

/// Reads the policy; missing keys have the values of `usual`.
pub(in crate::config) fn read(table: &Table<'_>, usual: DeliveryPolicy) -> Option<DeliveryPolicy> {
    let schedule = table.or("retry_schedule", usual.schedule, retry_schedule);
    let expires_after = table.or("expires_after", usual.expires_after, |field| {
        duration::read(field, &EXPIRES_AFTER_RANGE)
    });
    let on_unknown = table.or("on_unknown", usual.on_unknown, |field| field.one_of(&ON_UNKNOWN));
    Some(DeliveryPolicy {
        schedule: schedule?,
        expires_after: expires_after?,
        on_unknown: on_unknown?,
    })
}

fn retry_schedule(field: &Field<'_>) -> Option<RetrySchedule> {
    let delays = field.list(|element| duration::read(element, &(Duration::ZERO..=LONGEST)))?;
    let help = "write the delay before each attempt, like `[\"0s\", \"5s\", \"5m\"]`";
    let refused = |error| field.invalid(format!("is invalid: {error}"), help);
    RetrySchedule::new(delays).map_or_else(refused, Some)
}

const EXPIRES_AFTER_RANGE: RangeInclusive<Duration> =
    Duration::from_secs(60)..=Duration::from_hours(30 * 24);
pub(in crate::config) const ON_UNKNOWN: [(&str, OnUnknown); 2] =
    [("resend", OnUnknown::Resend), ("hold", OnUnknown::Hold)];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file::tests::{HOOK, channel, check_hook};

    fn policy(keys: &str) -> DeliveryPolicy {
        channel(&format!("{HOOK}{keys}")).policy
    }

    #[test]
    fn missing_keys_have_the_usual_values() {
        assert_eq!(policy(""), DeliveryPolicy::webhook());
        assert_eq!(policy("format = 'slack'").expires_after, Duration::from_hours(24));
        let own = policy("expires_after = '2h'\non_unknown = 'hold'\nretry_schedule = ['1s']");
        assert_eq!(own.expires_after, Duration::from_hours(2));
        assert_eq!(own.on_unknown, OnUnknown::Hold);
        assert_eq!(own.schedule.delays(), [Duration::from_secs(1)]);
    }

    #[test]
    fn wrong_values_are_reported_with_the_valid_ones() {
        let unknown = "has the unknown value `drop`\n  help: it can be `resend` or `hold`";
        check_hook("on_unknown = 'drop'", "on_unknown", unknown);
        let short = "is `1s`\n  help: write a duration from `1m` to `30days`";
        check_hook("expires_after = '1s'", "expires_after", short);
    }
}
