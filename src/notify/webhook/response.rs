//! Classification of a receiver's response, after Standard Webhooks and RFC 9110.
//!
//! Pure. Delays are capped, and absurd values are ignored. Only a status or a header can disable a
//! channel or reject a message; a body never does.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::content_coding;
use crate::domain::delivery::retry_after;
use crate::domain::delivery::{OutcomeClass, RETRY_AFTER_MAX};
use crate::domain::time::timestamp::Timestamp;

/// A response, as far as it arrived.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpResponse {
    pub status: u16,
    /// In the order of arrival, with names in lower case; headers that are not text are omitted.
    pub headers: Vec<(String, String)>,
    /// The beginning of the body, decoded.
    pub body_prefix: Vec<u8>,
    /// Why the body could not be decoded, as a phrase after "its body".
    pub decode_error: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classification {
    pub class: OutcomeClass,
    /// How long the whole channel has to pause.
    pub retry_after: Option<Duration>,
    /// An explanation beyond the status.
    pub remark: Option<&'static str>,
}

impl Classification {
    /// The same with another class, and why.
    pub(crate) fn with(&self, class: OutcomeClass, remark: &'static str) -> Self {
        Self { class, remark: Some(remark), ..self.clone() }
    }
}

impl HttpResponse {
    /// The first value of a header; its name is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.values(name).next()
    }

    /// The receiver's clock, from `Date`.
    pub fn clock(&self) -> Option<Timestamp> {
        self.header("date").and_then(Timestamp::parse_http_date)
    }

    /// Classifies the response. Everything is retried except a rejection of this message and a
    /// request to disable the channel: even a 401 or a 404 may come from a deployment in progress.
    pub fn classify(&self, now: Timestamp) -> Classification {
        let header_delay = self.retry_after(now);
        let (class, remark) = match self.status {
            // Even in a 2xx: the message may be sent again when the channel is enabled, with the
            // same id.
            _ if self.directives(DISABLE) => {
                (OutcomeClass::Gone, Some("it asks for no more messages"))
            }
            200..=299 => (OutcomeClass::Delivered, None),
            410 => (OutcomeClass::Gone, None),
            _ if self.directives(ABORT) => {
                (OutcomeClass::Rejected, Some("it does not want this message again"))
            }
            413 | 415 => (OutcomeClass::Rejected, None),
            429 => (OutcomeClass::Throttled, None),
            503 if header_delay.is_some() => (OutcomeClass::Throttled, None),
            300..=399 => (OutcomeClass::Retryable, Some("redirects are not followed")),
            _ => (OutcomeClass::Retryable, None),
        };
        let header_delay = header_delay.filter(|_| !self.is_success());
        let retry_after = header_delay
            .or_else(|| self.retry_after_in_body())
            .or_else(|| self.rate_limit_reset(now));
        Classification { class, retry_after, remark }
    }

    const fn is_success(&self) -> bool {
        matches!(self.status, 200..=299)
    }

    /// Whether a `webhook-delivery` header contains the word.
    fn directives(&self, word: &str) -> bool {
        let mut words = self.values("webhook-delivery").flat_map(|value| value.split(','));
        words.any(|found| found.trim().eq_ignore_ascii_case(word))
    }

    fn retry_after(&self, now: Timestamp) -> Option<Duration> {
        let date = self.header("date");
        let mut values = self.values("retry-after");
        values.find_map(|value| retry_after::parse(value, date, now, RETRY_AFTER_MAX))
    }

    /// The delay in the JSON body of a 429, where some services have it.
    fn retry_after_in_body(&self) -> Option<Duration> {
        if self.status != TOO_MANY {
            return None;
        }
        let body: Value = serde_json::from_slice(&self.body_prefix).ok()?;
        delay_in(body.as_object()?)
    }

    /// The time until the rate limit resets, when nothing remains of it: in seconds, or as a Unix
    /// time in seconds or milliseconds.
    fn rate_limit_reset(&self, now: Timestamp) -> Option<Duration> {
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

    /// Decodes the beginning of the body, as far as it arrived.
    pub(in crate::notify) fn set_body(&mut self, coded: &[u8]) {
        match content_coding::decode(self.values("content-encoding"), coded, BODY_BYTES_MAX) {
            Ok(decoded) => self.body_prefix = decoded.bytes,
            Err(error) => self.decode_error = Some(error.to_string()),
        }
    }

    pub(in crate::notify) fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.headers.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// The delay in a JSON body, in seconds, as Discord, Telegram and Zulip write it.
pub(in crate::notify) fn delay_in(body: &Map<String, Value>) -> Option<Duration> {
    let parameters = body.get("parameters").and_then(Value::as_object);
    let objects = [Some(body), parameters];
    let found = |key: &str| objects.iter().flatten().find_map(|object| object.get(key)?.as_f64());
    capped(found("retry_after").or_else(|| found("retry-after"))?)
}

/// The capped delay; `None` for zero, a negative number and NaN.
fn capped(seconds: f64) -> Option<Duration> {
    if seconds.is_nan() || seconds <= 0.0 {
        return None;
    }
    let delay = Duration::try_from_secs_f64(seconds).unwrap_or(RETRY_AFTER_MAX);
    Some(delay.min(RETRY_AFTER_MAX)).filter(|delay| !delay.is_zero())
}

const DISABLE: &str = "disable";
const ABORT: &str = "abort-message";
const TOO_MANY: u16 = 429;
const BODY_BYTES_MAX: usize = 64 * 1024;
/// Unix times from here on are milliseconds: as seconds they would lie thousands of years ahead.
const MILLISECONDS_FROM: f64 = 1e11;

#[cfg(test)]
#[path = "response_tests.rs"]
mod tests;
