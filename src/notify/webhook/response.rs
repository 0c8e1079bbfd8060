//! What the answer of a webhook's receiver means, as Standard Webhooks and RFC 9110 have it.
//!
//! Pure: an answer goes in as it came, its meaning comes out. Nothing in it is a command that we
//! could not refuse: a wait is capped, and what is absurd is ignored. Only a status and what
//! stands in a header can end anything; a body never does.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::domain::delivery::retry_after;
use crate::domain::delivery::{OutcomeClass, RETRY_AFTER_MAX};
use crate::domain::time::timestamp::Timestamp;

/// An answer, as far as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpResponse {
    /// The status code.
    pub status: u16,
    /// The headers in the order of arrival, with names in lower case; those that are no text are
    /// left out.
    pub headers: Vec<(String, String)>,
    /// The beginning of the body, without its content codings.
    pub body_prefix: Vec<u8>,
    /// Why nothing is known of the body, though one came; goes on after "the answer …".
    pub decode_error: Option<String>,
}

/// What an answer means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classification {
    /// For the delivery.
    pub class: OutcomeClass,
    /// How long the channel should be left alone, whatever became of this message.
    pub retry_after: Option<Duration>,
    /// What the status does not say by itself.
    pub remark: Option<&'static str>,
}

impl HttpResponse {
    /// The first value of a header; its name is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.values(name).next()
    }

    /// What the clock of the other side said.
    pub fn clock(&self) -> Option<Timestamp> {
        self.header("date").and_then(Timestamp::parse_http_date)
    }

    /// What it means. Everything but a refusal of this very message, and a farewell, is tried
    /// again: even a 401 or a 404 may be a deployment that is under way.
    pub fn classify(&self, now: Timestamp) -> Classification {
        let asked = self.retry_after(now);
        let (class, remark) = match self.status {
            // It may well have taken this one. But who says farewell wants to be heard, and a
            // message that comes again when the channel is enabled again has the same id.
            _ if self.directives(DISABLE) => {
                (OutcomeClass::Gone, Some("it wants no more messages"))
            }
            200..=299 => (OutcomeClass::Delivered, None),
            410 => (OutcomeClass::Gone, None),
            _ if self.directives(ABORT) => {
                (OutcomeClass::Rejected, Some("it does not want this message again"))
            }
            413 | 415 => (OutcomeClass::Rejected, None),
            429 => (OutcomeClass::Throttled, None),
            503 if asked.is_some() => (OutcomeClass::Throttled, None),
            300..=399 => (OutcomeClass::Retryable, Some("redirects are not followed")),
            _ => (OutcomeClass::Retryable, None),
        };
        let asked = asked.filter(|_| !self.is_success());
        let retry_after = asked.or_else(|| self.retry_after_in_body()).or_else(|| self.rest(now));
        Classification { class, retry_after, remark }
    }

    const fn is_success(&self) -> bool {
        matches!(self.status, 200..=299)
    }

    /// Whether a `webhook-delivery` header has that word.
    fn directives(&self, word: &str) -> bool {
        let mut words = self.values("webhook-delivery").flat_map(|value| value.split(','));
        words.any(|found| found.trim().eq_ignore_ascii_case(word))
    }

    fn retry_after(&self, now: Timestamp) -> Option<Duration> {
        let date = self.header("date");
        let mut waits = self.values("retry-after");
        waits.find_map(|value| retry_after::parse(value, date, now, RETRY_AFTER_MAX))
    }

    /// The wait in a JSON body, where some who throttle have it.
    fn retry_after_in_body(&self) -> Option<Duration> {
        if self.status != TOO_MANY {
            return None;
        }
        let body: Value = serde_json::from_slice(&self.body_prefix).ok()?;
        delay_in(body.as_object()?)
    }

    /// The rest of the period, once all that it allows is used up: in seconds, or as the moment
    /// of its end since 1970, in seconds or milliseconds.
    fn rest(&self, now: Timestamp) -> Option<Duration> {
        let number = |name| self.header(name)?.trim().parse::<f64>().ok();
        if self.header("x-ratelimit-remaining")?.trim() != "0" {
            return None;
        }
        if let Some(seconds) = number("x-ratelimit-reset-after") {
            return capped(seconds);
        }
        let end = number("x-ratelimit-reset")?;
        let end = if end < MILLISECONDS_FROM { end * 1000.0 } else { end };
        let end = Duration::try_from_secs_f64(end / 1000.0).ok()?;
        let end = Timestamp::from_millis(0).plus(end);
        let rest = end.since(self.clock().unwrap_or(now)).min(RETRY_AFTER_MAX);
        (!rest.is_zero()).then_some(rest)
    }

    pub(in crate::notify) fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.headers.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// The wait that a JSON body asks for, in seconds: as Discord, Telegram and Zulip write it.
pub(in crate::notify) fn delay_in(body: &Map<String, Value>) -> Option<Duration> {
    let within = body.get("parameters").and_then(Value::as_object);
    let places = [Some(body), within];
    let found = |key: &str| places.iter().flatten().find_map(|place| place.get(key)?.as_f64());
    capped(found("retry_after").or_else(|| found("retry-after"))?)
}

/// A wait of so many seconds; `None` for none, and for what is no wait.
fn capped(seconds: f64) -> Option<Duration> {
    if seconds.is_nan() || seconds <= 0.0 {
        return None;
    }
    let wait = Duration::try_from_secs_f64(seconds).unwrap_or(RETRY_AFTER_MAX);
    Some(wait.min(RETRY_AFTER_MAX)).filter(|wait| !wait.is_zero())
}

const DISABLE: &str = "disable";
const ABORT: &str = "abort-message";
const TOO_MANY: u16 = 429;
/// A moment in seconds that is as large lies thousands of years ahead.
const MILLISECONDS_FROM: f64 = 1e11;

#[cfg(test)]
#[path = "response_tests.rs"]
mod tests;
