//! Classifies a response of the API as one of the five observations.
//!
//! Pure. Only a 200 with the requested avatar and its status says anything about that status. For a
//! truncated response, the status code still counts. A body in an unknown coding says nothing.

use std::time::Duration;

use crate::argil::excerpt::sanitize_excerpt;
use crate::argil::json::{self, DecodeError};
use crate::argil::list::AvatarList;
use crate::domain::avatar::AvatarId;
use crate::domain::delivery::retry_after;
use crate::domain::polling::list_observation::ListObservation;
use crate::domain::polling::observation::{Denial, Observation, PollError};
use crate::domain::time::timestamp::Timestamp;
use crate::mask::Mask;

/// A response as far as it was read.
#[derive(Debug, Default)]
pub(super) struct ApiResponse {
    pub(super) code: u16,
    /// Every `Retry-After` header.
    pub(super) retry_after: Vec<String>,
    /// The `Date` header.
    pub(super) date: Option<String>,
    /// The host of the target of a redirect.
    pub(super) redirect_host: Option<String>,
    /// The headers that may indicate pagination.
    pub(super) paging: Vec<(String, String)>,
    /// The decoded body, as far as it was received; not that of a list.
    pub(super) body: Vec<u8>,
    /// The result of a list, which was parsed while it was received.
    pub(super) list: Option<Result<AvatarList, DecodeError>>,
    /// Why it could not be decoded, if so; follows "the answer".
    pub(super) decode_error: Option<String>,
    /// Why the body is not whole, if it is not.
    pub(super) failure: Option<Failure>,
}

/// Why there is no result, with a reason for people.
pub(super) type Failure = (PollError, String);

/// Classifies a response about the avatar `id`, received at `now`. The key is masked in all texts
/// of the server.
pub(super) fn classify(
    answer: &ApiResponse,
    id: &AvatarId,
    mask: &Mask,
    now: Timestamp,
) -> Observation {
    match answer.code {
        200 => seen(answer, id, mask),
        // Its content is unknown, whatever its source.
        404 if answer.decode_error.is_some() => Observation::Failed {
            fault: PollError::UnknownEncoding,
            reason: error_text(answer, mask),
        },
        // A web page or binary content comes from an intermediary, which knows no avatars.
        404 if json::is_web_page(&answer.body) || json::is_binary(&answer.body) => {
            Observation::Failed {
                fault: PollError::InvalidResponse,
                reason: error_text(answer, mask),
            }
        }
        404 => Observation::Missing { reason: error_text(answer, mask) },
        _ => classify_failure(answer, mask, now),
    }
}

/// Classifies a response about all avatars of the account, received at `now`.
pub(super) fn classify_list(
    mut answer: ApiResponse,
    mask: &Mask,
    now: Timestamp,
) -> ListObservation {
    if answer.code != 200 {
        return ListObservation::Failed(classify_failure(&answer, mask, now));
    }
    if let Some((fault, reason)) = answer.failure {
        return ListObservation::Failed(Observation::Failed { fault, reason });
    }
    match answer.list.take().unwrap_or(Err(DecodeError::Empty)) {
        Ok(AvatarList { avatars, unreadable_ids, unreadable }) => {
            let page = page(&answer, avatars.len() + unreadable, mask);
            ListObservation::Listed { avatars, unreadable_ids, unreadable, page }
        }
        Err(unusable) => {
            let reason = unusable.to_string();
            let fault = if unusable.is_too_large() {
                PollError::RequestRejected
            } else {
                PollError::InvalidResponse
            };
            ListObservation::Failed(Observation::Failed { fault, reason })
        }
    }
}

/// A response without a result, for any request.
fn classify_failure(answer: &ApiResponse, mask: &Mask, now: Timestamp) -> Observation {
    let reason = error_text(answer, mask);
    let fault = match answer.code {
        401 => return Observation::Denied { denial: Denial::Key, reason },
        // A permission for this request says nothing about others.
        403 => return Observation::Denied { denial: Denial::Avatar, reason },
        429 => return Observation::Throttled { retry_after: retry_after(answer, now), reason },
        503 => match retry_after(answer, now) {
            Some(wait) => return Observation::Throttled { retry_after: Some(wait), reason },
            None => PollError::InvalidResponse,
        },
        300..=399 if answer.redirect_host.is_some() => PollError::Misrouted,
        // A timeout, or a request that was too early: both are transient.
        408 | 425 => PollError::InvalidResponse,
        400..=499 => PollError::RequestRejected,
        _ => PollError::InvalidResponse,
    };
    Observation::Failed { fault, reason }
}

/// Why a list of that length is one page of a longer one, if its headers indicate that.
fn page(answer: &ApiResponse, length: usize, mask: &Mask) -> Option<String> {
    let number = |value: &str| value.trim().parse::<usize>().ok();
    answer.paging.iter().find_map(|(name, value)| {
        let more = match name.as_str() {
            "link" => links_to_next(value),
            name if name.contains("pages") || name == "x-page" => number(value) > Some(1),
            name if name.starts_with("x-total") => number(value).is_none_or(|all| all > length),
            _ => false,
        };
        let masked = mask.whole(value);
        let shown: String = masked.chars().take(HEADER_SHOWN_MAX).collect();
        more.then(|| format!("its header `{}` is `{}`", mask.whole(name), shown.escape_debug()))
    })
}

/// Whether a `Link` header has a target with the relation `next` (RFC 8288, section 3).
fn links_to_next(value: &str) -> bool {
    value.split(',').any(|link| {
        let rels = link.split(';').skip(1).filter_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            name.trim().eq_ignore_ascii_case("rel").then_some(value.trim().trim_matches('"'))
        });
        let mut words = rels.flat_map(str::split_ascii_whitespace);
        words.any(|word| word.eq_ignore_ascii_case("next"))
    })
}

/// A 200: the avatar, if the body is complete and shows it.
fn seen(answer: &ApiResponse, id: &AvatarId, mask: &Mask) -> Observation {
    if let Some((fault, flaw)) = &answer.failure {
        return Observation::Failed { fault: *fault, reason: flaw.clone() };
    }
    match json::read_avatar(&answer.body, id, mask) {
        Ok(avatar) => Observation::Seen(Box::new(avatar)),
        Err(DecodeError::OtherId(other)) => {
            let other = sanitize_excerpt(&other, mask);
            let reason = format!("the answer is about another avatar, `{other}`");
            Observation::Failed { fault: PollError::RequestRejected, reason }
        }
        Err(unusable) => {
            Observation::Failed { fault: PollError::InvalidResponse, reason: unusable.to_string() }
        }
    }
}

/// The status code, with the error text of the server.
fn error_text(answer: &ApiResponse, mask: &Mask) -> String {
    let code = answer.code;
    if let Some(host) = &answer.redirect_host {
        let host = sanitize_excerpt(host, mask);
        return format!("the API answered {code}, a redirect to `{host}`, which is not followed");
    }
    if let Some(why) = &answer.decode_error {
        return format!("the API answered {code}, and the answer {why}");
    }
    if json::is_web_page(&answer.body) {
        return format!("the API answered {code} with a web page");
    }
    if json::is_binary(&answer.body) {
        return format!("the API answered {code} with a body that is no text");
    }
    let words = sanitize_excerpt(&json::error_text(&answer.body), mask);
    if words.is_empty() {
        format!("the API answered {code}")
    } else {
        format!("the API answered {code}: `{words}`")
    }
}

/// The longest delay that any of the headers requests.
fn retry_after(answer: &ApiResponse, now: Timestamp) -> Option<Duration> {
    let (waits, date) = (answer.retry_after.iter(), answer.date.as_deref());
    waits.filter_map(|text| retry_after::parse(text, date, now, RETRY_AFTER_MAX)).max()
}

/// The maximum number of characters of a header in a text.
const HEADER_SHOWN_MAX: usize = 40;
/// The maximum delay that a response can request.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(code: u16, body: &str) -> ApiResponse {
        ApiResponse { code, body: body.into(), ..ApiResponse::default() }
    }

    fn observe(answer: &ApiResponse) -> Observation {
        let id = AvatarId::parse("a1").unwrap();
        classify(answer, &id, &Mask::new(["k3y-k3y"]), Timestamp::from_millis(0))
    }

    #[test]
    fn each_code_has_its_meaning() {
        let check = |code, body: &str, expected: &str| {
            assert_eq!(format!("{:?}", observe(&answer(code, body))), expected);
        };
        check(404, "", r#"Missing { reason: "the API answered 404" }"#);
        check(
            404,
            " <!doctype html>",
            r#"Failed { fault: InvalidResponse, reason: "the API answered 404 with a web page" }"#,
        );
        check(
            404,
            "P\0N\0G\0",
            "Failed { fault: InvalidResponse, reason: \"the API answered 404 with a body that is \
             no \
             text\" }",
        );
        check(
            401,
            r#"{"code":401,"message":"bad key k3y-k3y"}"#,
            r#"Denied { denial: Key, reason: "the API answered 401: `bad key ***`" }"#,
        );
        check(
            403,
            "<html>",
            r#"Denied { denial: Avatar, reason: "the API answered 403 with a web page" }"#,
        );
        check(429, "", r#"Throttled { retry_after: None, reason: "the API answered 429" }"#);
        check(503, "", r#"Failed { fault: InvalidResponse, reason: "the API answered 503" }"#);
        check(
            500,
            "upstream\nexploded",
            "Failed { fault: InvalidResponse, reason: \"the API answered 500: \
             `upstream exploded`\" }",
        );
        check(204, "", r#"Failed { fault: InvalidResponse, reason: "the API answered 204" }"#);
        check(304, "", r#"Failed { fault: InvalidResponse, reason: "the API answered 304" }"#);
        check(
            200,
            r#"{"id":"k3y-k3y\u202e","status":"IDLE"}"#,
            "Failed { fault: RequestRejected, reason: \"the answer is about another \
             avatar, `***`\" }",
        );
    }
}
