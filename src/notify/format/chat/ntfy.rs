//! The `ntfy` format: a message for an ntfy server, and the classification of its responses.
//!
//! The topic is a secret, so it is not in the stored body; it is inserted when the message is sent.

use std::time::Duration;

use serde_json::{Value, json};

use crate::domain::delivery::OutcomeClass;
use crate::notify::content::ContentSeverity;
use crate::notify::format::chat::chat_message::ChatMessage;
use crate::notify::format::chat::chat_response::ChatRules;
use crate::notify::format::truncate::{LengthUnit, no_escape, truncate_escaped};
use crate::notify::webhook::response::Classification;

/// The message without its topic. ntfy shows the text as it is, so nothing is escaped.
pub(in crate::notify::format) fn render(message: &ChatMessage) -> Value {
    let content = &message.content;
    let fields = content.fields.iter().map(|field| {
        let value = field.fitting(|value| value.len() <= LIST_MAX);
        format!("{}: {value}", field.name)
    });
    let mut lines = vec![content.detail.clone()];
    lines.extend(fields);
    lines.extend([content.advice.clone(), message.window.clone(), message.footer.clone()]);
    let (tag, priority) = match content.severity {
        ContentSeverity::Good => ("white_check_mark", 3),
        ContentSeverity::Bad => ("x", 4),
        ContentSeverity::Neutral => ("information_source", 2),
    };
    let mut body = json!({
        "title": truncate_escaped(&content.title, TITLE_MAX, LengthUnit::Bytes, no_escape),
        "message": truncate_escaped(&lines.join("\n"), MESSAGE_MAX, LengthUnit::Bytes, no_escape),
        "tags": [tag],
        "priority": priority,
    });
    if let Some(link) = &content.link {
        body["click"] = link.url.as_str().into();
    }
    body
}

/// The body with its topic, as it is sent; the same arguments give the same bytes.
pub(in crate::notify::format) fn with_topic(body: &[u8], topic: &str) -> Vec<u8> {
    let mut message = serde_json::from_slice::<Value>(body).unwrap_or_default();
    let Some(object) = message.as_object_mut() else { return body.to_vec() };
    object.insert("topic".to_owned(), topic.into());
    message.to_string().into_bytes()
}

/// ntfy returns the message, with an id.
pub(in crate::notify::format) const RULES: ChatRules = ChatRules {
    // The server allows a burst of 60, and answers 429 beyond it.
    min_interval: Duration::from_millis(500),
    confirms: |_, body| {
        let json = body.json();
        body.is_message() && json["event"] == "message" && json["error"].is_null()
    },
    classify_other: |response, body, general| match (general.class, response.status) {
        (OutcomeClass::Throttled, _) if body.json()["code"] == DAILY_QUOTA => Classification {
            retry_after: general.retry_after.max(Some(QUOTA_DELAY)),
            ..general.with(OutcomeClass::Throttled, "the daily quota is used up")
        },
        (OutcomeClass::Retryable, 401 | 403) => {
            general.with(OutcomeClass::Misconfigured, "the topic requires another login")
        }
        _ => general,
    },
};

const TITLE_MAX: usize = 250;
/// Bytes; ntfy turns a longer message into an attachment.
const MESSAGE_MAX: usize = 4096;
/// Bytes of a list, so that what follows it fits as well.
const LIST_MAX: usize = 2048;
/// The error code of ntfy for a daily quota.
const DAILY_QUOTA: u32 = 42_908;
const QUOTA_DELAY: Duration = Duration::from_hours(3);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::format::chat::chat_response::classified;

    #[test]
    fn responses_of_ntfy_are_classified() {
        let check = |status: u16, body: &str, expected, delay_s: Option<u64>| {
            let found = classified(&RULES, status, body);
            let delay = delay_s.map(Duration::from_secs);
            assert_eq!(
                (found.class, found.retry_after),
                (expected, delay),
                "for {status} {body:?}"
            );
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
    fn the_topic_is_inserted_when_a_message_is_sent() {
        let sent = with_topic(br#"{"message":"m","title":"t"}"#, "T0PIC");
        assert_eq!(sent, br#"{"message":"m","title":"t","topic":"T0PIC"}"#);
    }
}
