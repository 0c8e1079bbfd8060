//! What the answers of chats have in common: a 2xx is a yes only when it looks like that
//! service's, and what a gateway says in a 2xx is heard.
//!
//! An answer that is neither its yes nor a no may well have come after the message was posted:
//! it is not repeated as a failure is, see [`Delivery`](crate::domain::delivery::Delivery).

use crate::domain::delivery::OutcomeClass;
use crate::domain::delivery::channel::Accepts;
use crate::domain::time::timestamp::Timestamp;
use crate::notify::webhook::response::{Classification, HttpResponse};
use crate::notify::webhook::verdict::BodyMeaning;

/// How one chat answers.
pub(super) struct ChatRules {
    /// Whether the body of a 2xx is its yes; the status comes with it.
    pub(super) is_yes: fn(u16, &BodyMeaning) -> bool,
    /// What any other answer means, beyond what its status says.
    pub(super) other: fn(&HttpResponse, &BodyMeaning, Classification) -> Classification,
}

/// What an answer of that chat means.
pub(super) fn classify(
    manner: &ChatRules,
    answer: &HttpResponse,
    accepts: Accepts,
    now: Timestamp,
) -> Classification {
    let general = answer.classify(now);
    let said = BodyMeaning::of(answer);
    if general.class != OutcomeClass::Delivered {
        return (manner.other)(answer, &said, general);
    }
    if accepts == Accepts::AnySuccess || (manner.is_yes)(answer.status, &said) {
        return general;
    }
    let of = |class, remark| Classification { class, remark: Some(remark), ..general.clone() };
    match said.status() {
        // A gateway passes on what it heard: it means what it would have meant without it.
        Some(status) => {
            let heard = HttpResponse { status, ..answer.clone() };
            let general = heard.classify(now);
            let meaning = (manner.other)(&heard, &said, general);
            Classification { remark: meaning.remark.or(Some(FAILED)), ..meaning }
        }
        None if said.is_failure() => {
            (manner.other)(answer, &said, of(OutcomeClass::Retryable, FAILED))
        }
        None if said == BodyMeaning::Page => of(OutcomeClass::Retryable, PAGE),
        None if said == BodyMeaning::Unreadable => of(OutcomeClass::Ambiguous, UNREADABLE),
        None => of(OutcomeClass::Ambiguous, UNCLEAR),
    }
}

/// Whether an empty answer says yes by its status alone: a page or a gateway answers 200 to
/// anything, but not one of these.
pub(super) fn is_empty_success(status: u16, said: &BodyMeaning) -> bool {
    *said == BodyMeaning::Nothing && matches!(status, 201 | 202 | 204)
}

const FAILED: &str = "it says that it failed";
const PAGE: &str = "it is a web page, not this service's answer";
const UNCLEAR: &str = "it is not how this service says yes; it may have taken the message";
const UNREADABLE: &str = "it may have taken the message";
