//! Hints: inbound webhooks of Argil, used only as a reason to poll an avatar now.
//!
//! They are unsigned and their delivery is not guaranteed, so a hint changes no status: its avatar
//! is polled earlier, at most once a second. The response is always an empty 202 and is sent before
//! token and body are examined, so that neither content nor timing discloses anything.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};
use axum::routing::any;
use serde_json::Value;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::sleep;

use crate::domain::avatar::AvatarId;
use crate::secret::Secret;
use crate::web::http::auth::constant_time_eq;

/// The state of the endpoint of hints.
#[derive(Clone, Debug)]
pub struct Hints {
    /// The token in the URL, from the active config. Without one the endpoint responds 404.
    pub token: watch::Receiver<Option<Secret>>,
    /// Queue of avatars to poll. When it is full, hints are dropped.
    pub hinted: mpsc::Sender<AvatarId>,
    /// Limits hints that are answered and not yet processed to [`TASKS_MAX`].
    pub tasks: Arc<Semaphore>,
}

/// The route of hints: `POST /hints/argil/{token}`.
pub fn routes(hints: Hints) -> Router {
    Router::new().route("/hints/argil/{token}", any(accept)).with_state(hints)
}

async fn accept(State(hints): State<Hints>, method: Method, uri: Uri, body: Body) -> StatusCode {
    // Read the body first, so that a wrong token takes as long as the right one.
    let body = to_bytes(body, BODY_SIZE_MAX).await.unwrap_or_default();
    let Some(expected) = hints.token.borrow().clone() else { return StatusCode::NOT_FOUND };
    let Ok(permit) = Arc::clone(&hints.tasks).acquire_owned().await else {
        return StatusCode::ACCEPTED;
    };
    tokio::spawn(async move {
        // The response is sent by now, so the following does not affect its timing.
        sleep(RESPONSE_DELAY).await;
        let token = uri.path().rsplit('/').next().unwrap_or_default();
        if constant_time_eq(token, expected.expose()) && method == Method::POST {
            let found = tokio::task::spawn_blocking(move || ids(&body)).await;
            for id in found.unwrap_or_default() {
                // With a full queue the hint is dropped.
                drop(hints.hinted.try_send(id));
            }
        }
        drop(permit);
    });
    StatusCode::ACCEPTED
}

/// The avatar ids in a payload: `data.avatarId` of a webhook, `avatarId` of a callback, or a list
/// of these. Empty for any other payload.
pub fn ids(body: &[u8]) -> Vec<AvatarId> {
    let Ok(payload) = serde_json::from_slice::<Value>(body) else { return Vec::new() };
    let payloads = match &payload {
        Value::Array(several) => several.as_slice(),
        one => std::slice::from_ref(one),
    };
    let mut found = Vec::new();
    for payload in payloads {
        let inner = payload.get("data").unwrap_or(payload);
        let id = inner.get("avatarId").and_then(Value::as_str);
        let id = id.and_then(|text| AvatarId::parse(text).ok());
        found.extend(id.filter(|id| !found.contains(id)));
        if found.len() >= IDS_MAX {
            break;
        }
    }
    found
}

/// The maximum size of a body in bytes; those of Argil have a few hundred.
const BODY_SIZE_MAX: usize = 16 * 1024;
/// The maximum of hints that are answered and not yet processed; further ones wait.
pub const TASKS_MAX: usize = 16;
/// The delay between the response and the processing of a hint.
pub const RESPONSE_DELAY: Duration = Duration::from_millis(50);
/// The maximum of avatar ids in one request.
const IDS_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use proptest::prelude::prop;
    use proptest::{prop_assert, proptest};

    use super::*;

    #[test]
    fn payloads_of_argil_contain_the_avatar_id() {
        let check = |body: &str, expected: &[&str]| {
            let found: Vec<String> = ids(body.as_bytes()).iter().map(AvatarId::to_string).collect();
            assert_eq!(found, expected, "for {body}");
        };
        let webhook = r#"{"event":"AVATAR_TRAINING_SUCCESS","data":{"avatarId":"a1","voiceId":"v",
            "avatarName":"Jane","extras":"x"}}"#;
        check(webhook, &["a1"]);
        check(
            r#"{"event":"AVATAR_TRAINING_FAILED","data":{"avatarId":"a1","extras":{}}}"#,
            &["a1"],
        );
        check(r#"{"event":"VIDEO_GENERATION_SUCCESS","data":{"videoId":"v1"}}"#, &[]);
        check(r#"{"event":"VIDEO_GENERATION_FAILED","data":{"videoId":"v1"}}"#, &[]);
        check(r#"{"avatarId":"a1","avatarName":"Jane","voiceId":"","message":"done"}"#, &["a1"]);
        check(r#"{"avatarId":"a1","avatarName":"Jane","message":"it failed"}"#, &["a1"]);
    }

    proptest! {
        #[test]
        fn any_body_can_be_parsed(
            pieces in prop::collection::vec(prop::sample::select(PIECES.to_vec()), 0..24),
            junk in prop::collection::vec(proptest::num::u8::ANY, 0..9),
        ) {
            let body = [pieces.concat().as_bytes(), &junk].concat();
            let found = ids(&body);
            prop_assert!(found.len() <= IDS_MAX);
            let body = String::from_utf8_lossy(&body);
            prop_assert!(found.iter().all(|id| body.contains(id.as_str())));
        }
    }

    const PIECES: [&str; 14] = [
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"data\"",
        "\"avatarId\"",
        "\"a1\"",
        "\"b 2\"",
        "7",
        "null",
        "{\"avatarId\":\"c3\"}",
        "{\"data\":{\"avatarId\":\"d4\"}}",
    ];

    #[test]
    fn junk_contains_no_ids() {
        let check = |body: &[u8], expected: usize| {
            assert_eq!(ids(body).len(), expected, "for {:?}", String::from_utf8_lossy(body));
        };
        for junk in ["", "null", "7", "[]", "{}", "\"a1\"", "{\"data\":[]}", "{\"avatarId\":7}"] {
            check(junk.as_bytes(), 0);
        }
        check(b"{\"avatarId\":\"two words\"}", 0);
        check(b"{\"avatarId\":\"\xff\"}", 0);
        check("[".repeat(10_000).as_bytes(), 0);
        let same = r#"{"avatarId":"a1"}"#;
        check(format!("[{same},{same}]").as_bytes(), 1);
        let many: Vec<String> = (0..100).map(|n| format!(r#"{{"avatarId":"a{n}"}}"#)).collect();
        check(format!("[{}]", many.join(",")).as_bytes(), IDS_MAX);
    }
}
