//! `heartbeat_url` and `heartbeat_every`: the dead man's switch.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::config::parse::duration;
use crate::config::parse::field::{Field, Table};
use crate::config::parse::web_address;
use crate::config::secret_source::{self, Plain};
use crate::config::settings::HeartbeatSettings;
use crate::domain::delivery::egress_policy::EgressPolicy;
use crate::secret::Secret;
use crate::text::secret_input::SecretKind;

/// Reads the heartbeat; `Some(None)` when there is none.
pub(in crate::config) fn read(root: &Table<'_>) -> Option<Option<HeartbeatSettings>> {
    let url = root.optional("heartbeat_url", url);
    let every = root.or("heartbeat_every", EVERY, |field| duration::read(field, &EVERY_RANGE));
    let (url, every) = (url?, every?);
    if let (None, Some(field)) = (&url, root.field("heartbeat_every")) {
        let message = "is set without `heartbeat_url`";
        field.warning(message, "add `heartbeat_url`, or remove it");
    }
    Some(url.map(|url| HeartbeatSettings { url, every }))
}

fn url(field: &Field<'_>) -> Option<Secret> {
    let secret = secret_source::read(field, Plain::Allowed, SecretKind::Url)?;
    web_address::service(field, &secret, WHOLE_URL, ("service", EgressPolicy::AllowPrivate))?;
    Some(secret)
}

const WHOLE_URL: &str = "write it whole: `https://hc.example.com/…`";
const EVERY: Duration = Duration::from_secs(60);
const EVERY_RANGE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(24);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file::tests::{check_added, settings};

    #[test]
    fn a_heartbeat_has_a_place_and_a_pace() {
        let read = |text: &str| settings(text).heartbeat;
        assert_eq!(read(""), None);
        let heartbeat = read("heartbeat_url = 'https://hc.example.com/CANARY'").unwrap();
        assert_eq!(heartbeat.url.expose(), "https://hc.example.com/CANARY");
        assert_eq!(heartbeat.every, Duration::from_secs(60));
        let url = "heartbeat_url = 'http://127.0.0.1:1/x'";
        let heartbeat = read(&format!("{url}\nheartbeat_every = '5m'")).unwrap();
        assert_eq!(heartbeat.every, Duration::from_secs(300));
    }

    #[test]
    fn an_invalid_url_is_reported_and_not_repeated() {
        let check = |url: &str, expected: &str| {
            check_added(
                &format!("heartbeat_url = '{url}'"),
                &format!("config.toml:2: `heartbeat_url` {expected}"),
            );
        };
        let whole = "\n  help: write it whole: `https://hc.example.com/…`";
        check("CANARY", &format!("is no URL: relative URL without a base{whole}"));
        check("ftp://h/CANARY", &format!("is neither an `https` nor an `http` URL{whole}"));
        check(
            "http://169.254.169.254/CANARY",
            "leads to `169.254.169.254`, which is link-local, as the metadata services of clouds \
             are\n  help: this address is always blocked; use the address of the service",
        );
        check_added(
            "heartbeat_every = '1m'",
            "config.toml:2: `heartbeat_every` is set without `heartbeat_url`\n  help: add \
             `heartbeat_url`, or remove it",
        );
    }
}
