//! The `ntfy` format: a message for an ntfy server, and what the server answers.
//!
//! The topic is the password, so it is not in the body that is stored: it is put in when the
//! message is sent.

use std::time::Duration;

use serde_json::{Value, json};

use crate::domain::delivery::OutcomeClass;
use crate::notify::format::chat_message::{ChatMessage, ChatSeverity};
use crate::notify::format::chat_response::ChatRules;
use crate::notify::format::truncate::{LengthUnit, no_escape, truncate_escaped};
use crate::notify::webhook::response::{Classification, HttpResponse};
use crate::notify::webhook::verdict::BodyMeaning;

/// The message without its topic. ntfy shows its text as it is.
pub(super) fn render(note: &ChatMessage) -> Value {
    let facts = note.fields.iter().map(|fact| format!("{}: {}", fact.name, fact.value));
    let mut lines: Vec<String> = facts.collect();
    lines.extend([note.meaning.clone(), note.window.clone(), note.footer.clone()]);
    let title = format!("{} · {}", note.headline, note.subject_name);
    let (tag, priority) = match note.tone {
        ChatSeverity::Good => ("white_check_mark", 3),
        ChatSeverity::Bad => ("x", 4),
        ChatSeverity::Neutral => ("information_source", 2),
    };
    json!({
        "title": truncate_escaped(&title, TITLE_MAX, LengthUnit::Bytes, no_escape),
        "message": truncate_escaped(&lines.join("\n"), MESSAGE_MAX, LengthUnit::Bytes, no_escape),
        "tags": [tag],
        "priority": priority,
    })
}

/// The body with its topic, as it is sent: the same bytes for the same topic.
pub(super) fn with_topic(body: &[u8], topic: &str) -> Vec<u8> {
    let mut message = serde_json::from_slice::<Value>(body).unwrap_or_default();
    let Some(object) = message.as_object_mut() else { return body.to_vec() };
    object.insert("topic".to_owned(), topic.into());
    message.to_string().into_bytes()
}

/// How ntfy answers: with the message, which has an id.
pub(super) const MANNER: ChatRules = ChatRules {
    is_yes: |_, said| {
        let json = said.json();
        said.is_text() && json["event"] == "message" && json["error"].is_null()
    },
    other,
};

fn other(answer: &HttpResponse, said: &BodyMeaning, general: Classification) -> Classification {
    let of = |class, remark| Classification { class, remark: Some(remark), ..general.clone() };
    match (general.class, answer.status) {
        (OutcomeClass::Throttled, _) if said.json()["code"] == DAILY_QUOTA => Classification {
            retry_after: general.retry_after.max(Some(QUOTA_WAIT)),
            ..of(OutcomeClass::Throttled, "the messages of the day are used up")
        },
        (OutcomeClass::Retryable, 400) => {
            of(OutcomeClass::Rejected, "it does not take this message")
        }
        (OutcomeClass::Retryable, 401 | 403) => {
            of(OutcomeClass::Misconfigured, "the topic wants another login")
        }
        _ => general,
    }
}

const TITLE_MAX: usize = 250;
/// A longer message would become a file that people have to open.
const MESSAGE_MAX: usize = 4096;
/// The code of the server for a quota that is renewed each day.
const DAILY_QUOTA: u32 = 42_908;
const QUOTA_WAIT: Duration = Duration::from_hours(3);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::delivery::channel::Accepts;
    use crate::domain::time::timestamp::Timestamp;
    use crate::notify::format::chat_response::classify;

    #[test]
    fn an_answer_means_what_ntfy_means_by_it() {
        let check = |status: u16, body: &str, expected, wait_s: Option<u64>| {
            let answer =
                HttpResponse { status, body_prefix: body.into(), ..HttpResponse::default() };
            let now = Timestamp::from_millis(0);
            let found = classify(&MANNER, &answer, Accepts::Known, now);
            let wait = wait_s.map(Duration::from_secs);
            assert_eq!((found.class, found.retry_after), (expected, wait), "for {status} {body:?}");
        };
        check(200, r#"{"id":"x","event":"message"}"#, OutcomeClass::Delivered, None);
        check(200, "<html>sign in</html>", OutcomeClass::Retryable, None);
        check(200, "ok", OutcomeClass::Ambiguous, None);
        check(200, r#"{"id":"x","event":"open","topic":"t"}"#, OutcomeClass::Ambiguous, None);
        let both = r#"{"id":"x","event":"message","error":"no room"}"#;
        check(200, both, OutcomeClass::Retryable, None);
        check(200, "", OutcomeClass::Ambiguous, None);
        let full = r#"{"code":42908,"http":429,"error":"limit reached"}"#;
        check(200, full, OutcomeClass::Throttled, Some(10_800));
        check(400, r#"{"code":40009,"http":400}"#, OutcomeClass::Rejected, None);
        check(401, r#"{"code":40101,"http":401}"#, OutcomeClass::Misconfigured, None);
        check(403, r#"{"code":40301,"http":403}"#, OutcomeClass::Misconfigured, None);
        check(413, "", OutcomeClass::Rejected, None);
        check(429, r#"{"code":42901,"http":429}"#, OutcomeClass::Throttled, None);
        check(429, r#"{"code":42908,"http":429}"#, OutcomeClass::Throttled, Some(10_800));
        check(507, "", OutcomeClass::Retryable, None);
    }

    #[test]
    fn the_topic_is_put_in_when_it_is_sent() {
        let sent = with_topic(br#"{"message":"m","title":"t"}"#, "T0PIC");
        assert_eq!(sent, br#"{"message":"m","title":"t","topic":"T0PIC"}"#);
    }
}
