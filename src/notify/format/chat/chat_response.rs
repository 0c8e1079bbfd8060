//! Classification of responses that all chats share. A 2xx counts as delivered only when its body
//! is the confirmation of that service; a failure that a gateway reports in a 2xx is a failure.
//!
//! A 2xx with an unknown body is `Ambiguous`: the message may have been posted, so it is retried
//! once only, see [`RetryState`](crate::domain::delivery::RetryState).

use std::time::Duration;

use crate::domain::delivery::OutcomeClass;
use crate::domain::delivery::channel_name::Accepts;
use crate::domain::time::timestamp::Timestamp;
use crate::notify::webhook::body_meaning::BodyMeaning;
use crate::notify::webhook::response::{Classification, HttpResponse};

/// How the responses of one chat are classified.
pub(in crate::notify::format) struct ChatRules {
    /// The least time between two attempts at one URL.
    pub(in crate::notify::format) min_interval: Duration,
    /// Whether a 2xx with this status and body confirms the delivery.
    pub(in crate::notify::format) confirms: fn(u16, &BodyMeaning) -> bool,
    /// Refines the general classification of any other response.
    pub(in crate::notify::format) classify_other:
        fn(&HttpResponse, &BodyMeaning, Classification) -> Classification,
}

pub(in crate::notify::format) fn classify(
    rules: &ChatRules,
    response: &HttpResponse,
    accepts: Accepts,
    now: Timestamp,
) -> Classification {
    let general = response.classify(now);
    let body = BodyMeaning::of(response);
    if general.class != OutcomeClass::Delivered {
        return refine(rules, response, &body, general);
    }
    if accepts == Accepts::AnySuccess || (rules.confirms)(response.status, &body) {
        return general;
    }
    match body.status() {
        // A gateway passes on the status of the service behind it: classify that one.
        Some(status) => {
            let forwarded = HttpResponse { status, ..response.clone() };
            let general = forwarded.classify(now);
            let meaning = refine(rules, &forwarded, &body, general);
            Classification { remark: meaning.remark.or(Some(FAILED)), ..meaning }
        }
        None if body.is_failure() => {
            refine(rules, response, &body, general.with(OutcomeClass::Retryable, FAILED))
        }
        None if body == BodyMeaning::Page => general.with(OutcomeClass::Retryable, PAGE),
        None if body == BodyMeaning::Unreadable => {
            general.with(OutcomeClass::Ambiguous, UNREADABLE)
        }
        None => general.with(OutcomeClass::Ambiguous, UNCLEAR),
    }
}

/// The classification of a response, for tests.
#[cfg(test)]
pub(in crate::notify::format) fn classified(
    rules: &ChatRules,
    status: u16,
    body: &str,
) -> Classification {
    let response = HttpResponse { status, body_prefix: body.into(), ..HttpResponse::default() };
    classify(rules, &response, Accepts::Known, Timestamp::from_millis(0))
}

#[cfg(test)]
pub(in crate::notify::format) fn check(
    rules: &ChatRules,
    status: u16,
    body: &str,
    expected: OutcomeClass,
) {
    assert_eq!(classified(rules, status, body).class, expected, "for {status} {body:?}");
}

/// Refines the classification of what is not a success. A 400 that no rule of the chat explains is
/// about the message.
fn refine(
    rules: &ChatRules,
    response: &HttpResponse,
    body: &BodyMeaning,
    general: Classification,
) -> Classification {
    let refined = (rules.classify_other)(response, body, general);
    match (refined.class, response.status) {
        (OutcomeClass::Retryable, 400) => refined.with(OutcomeClass::Rejected, MESSAGE_REJECTED),
        _ => refined,
    }
}

/// Whether the status of an empty response confirms the delivery: web pages and gateways answer
/// 200 to anything, but not 201, 202 or 204.
pub(in crate::notify::format) fn is_empty_success(status: u16, body: &BodyMeaning) -> bool {
    *body == BodyMeaning::Nothing && matches!(status, 201 | 202 | 204)
}

pub(in crate::notify::format) const MESSAGE_REJECTED: &str = "it does not accept this message";
const FAILED: &str = "its body reports a failure";
const PAGE: &str = "its body is a web page";
const UNCLEAR: &str =
    "its body is not this service's confirmation; it may have accepted the message";
const UNREADABLE: &str = "it may have accepted the message";
