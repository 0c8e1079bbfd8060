//! Ids from the time and random bits: event ids, and the parts that all ids share.

use std::fmt;

use crate::domain::random::RandomBits;
use crate::domain::time::timestamp::Timestamp;

/// The id of an event, and the `webhook-id` of every message about it: `evt_` and 32 hex digits
/// of a version 7 UUID (RFC 9562, section 5.7).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(String);

/// The text is not an event id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an event id such as `evt_0193…`")]
pub struct EventIdError(String);

impl EventId {
    /// A new id from the time and random bits.
    pub fn mint(now: Timestamp, random: RandomBits) -> Self {
        Self(format!("{EVENT_PREFIX}{}", uuid_v7(now, random)))
    }

    /// Parses an id.
    pub fn parse(text: &str) -> Result<Self, EventIdError> {
        if !is_id(text, EVENT_PREFIX) {
            return Err(EventIdError(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The time of the id, if it contains one.
    pub fn minted_at(&self) -> Option<Timestamp> {
        let uuid = uuid::Uuid::try_parse(self.0.strip_prefix(EVENT_PREFIX)?).ok()?;
        let (seconds, nanos) = uuid.get_timestamp()?.to_unix();
        let millis = seconds.checked_mul(1_000)?.checked_add(u64::from(nanos) / 1_000_000)?;
        Some(Timestamp::from_millis(i64::try_from(millis).ok()?))
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a text is an id of that prefix: letters and digits behind it, and at least one.
pub(super) fn is_id(text: &str, prefix: &str) -> bool {
    let rest = text.strip_prefix(prefix).unwrap_or_default();
    !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// Whether a text is a name of an account, a channel or a topic: 1 to 64 of `a-z A-Z 0-9 _ -`.
pub(super) fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    (1..=NAME_LENGTH_MAX).contains(&text.len()) && text.bytes().all(plain)
}

/// The 32 hex digits of a version 7 UUID of that time.
pub(super) fn uuid_v7(now: Timestamp, random: RandomBits) -> String {
    let millis = u64::try_from(now.as_millis()).unwrap_or(0);
    let uuid = uuid::Builder::from_unix_timestamp_millis(millis, &random.id_bytes()).into_uuid();
    uuid.simple().to_string()
}

pub(super) const NAME_LENGTH_MAX: usize = 64;
const EVENT_PREFIX: &str = "evt_";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_safe_in_a_header_and_follow_the_time() {
        let early = EventId::mint(Timestamp::from_millis(1_000), RandomBits::new(u128::MAX));
        let late = EventId::mint(Timestamp::from_millis(2_000), RandomBits::new(0));
        assert!(early < late);
        assert_eq!(EventId::parse(early.as_str()), Ok(early.clone()));
        assert_eq!(early.as_str().len(), "evt_".len() + 32);
        for bad in ["", "evt_", "evt_a.b", "msg_0193", "evt_a b"] {
            assert!(EventId::parse(bad).is_err(), "for `{bad}`");
        }
    }
}
