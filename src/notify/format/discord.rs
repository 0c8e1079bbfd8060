//! The `discord` format: a webhook message with one embed, and the classification of Discord's
//! responses.
//!
//! A name never mentions a user and is never formatted. Lengths are counted in UTF-16 units, which
//! never counts less than Discord does.

use serde_json::{Value, json};

use crate::domain::delivery::OutcomeClass;
use crate::notify::format::chat_message::{ChatMessage, ChatSeverity};
use crate::notify::format::chat_response::{ChatRules, is_empty_success};
use crate::notify::format::truncate::{LengthUnit, no_escape, truncate_escaped};
use crate::notify::webhook::body_meaning::BodyMeaning;
use crate::notify::webhook::response::{Classification, HttpResponse};

/// The message; Discord shows `occurred_at` in the time zone of the reader.
pub(super) fn render(message: &ChatMessage, occurred_at: String) -> Value {
    let title = format!("{} {}", message.severity.icon(), message.title);
    let about = truncate_escaped(&message.subject_name, ABOUT_MAX, LengthUnit::Utf16, escape);
    let rest = format!("{}\n{}", message.advice, message.window);
    let rest = truncate_escaped(&rest, REST_MAX, LengthUnit::Utf16, escape);
    let fields = message.fields.iter().take(FIELDS_MAX).map(|field| {
        let name = truncate_escaped(field.name, FIELD_NAME_MAX, LengthUnit::Utf16, escape);
        let value = truncate_escaped(&field.value, FIELD_VALUE_MAX, LengthUnit::Utf16, escape);
        let value = if value.is_empty() { "–" } else { &value };
        json!({ "name": name, "value": value, "inline": true })
    });
    let color = match message.severity {
        ChatSeverity::Good => 0x002e_9e5b,
        ChatSeverity::Bad => 0x00d9_483b,
        ChatSeverity::Neutral => 0x007a_869a,
    };
    let footer = truncate_escaped(&message.footer, FOOTER_MAX, LengthUnit::Utf16, no_escape);
    json!({
        "allowed_mentions": { "parse": [] },
        "embeds": [{
            "title": truncate_escaped(&title, TITLE_MAX, LengthUnit::Utf16, escape),
            "description": format!("**{about}**\n{rest}"),
            "color": color,
            "fields": fields.collect::<Vec<_>>(),
            "footer": { "text": footer },
            "timestamp": occurred_at,
        }],
    })
}

/// Discord returns the message, since the URL has `wait=true`, or 204 where the configured URL has
/// `wait=false`. A 401 or 404 disables the channel only with an error code of Discord.
pub(super) const RULES: ChatRules = ChatRules {
    confirms: |status, body| {
        (body.is_message() && !body.is_failure()) || is_empty_success(status, body)
    },
    classify_other,
};

fn classify_other(
    response: &HttpResponse,
    body: &BodyMeaning,
    general: Classification,
) -> Classification {
    match (general.class, response.status) {
        (OutcomeClass::Retryable, 200..=299)
            if UNKNOWN_WEBHOOK.contains(&body.json()["code"].as_u64()) =>
        {
            general.with(OutcomeClass::Misconfigured, "the webhook no longer exists")
        }
        (OutcomeClass::Retryable, 401 | 404) if body.json()["code"].is_u64() => {
            general.with(OutcomeClass::Gone, "the webhook no longer exists")
        }
        _ => general,
    }
}

/// Escapes Markdown, mentions, emoji and links.
fn escape(char: char, to: &mut String) {
    if matches!(
        char,
        '\\' | '*' | '_' | '~' | '`' | '|' | '>' | '<' | '#' | '[' | ']' | '(' | ')' | '@' | ':'
    ) {
        to.push('\\');
    }
    to.push(char);
}

/// Discord's error codes for an unknown webhook and an invalid token.
const UNKNOWN_WEBHOOK: [Option<u64>; 2] = [Some(10_015), Some(50_027)];
// The sum is below 6000, Discord's limit for a message.
const TITLE_MAX: usize = 256;
const ABOUT_MAX: usize = 512;
const REST_MAX: usize = 1536;
const FIELDS_MAX: usize = 8;
const FIELD_NAME_MAX: usize = 48;
const FIELD_VALUE_MAX: usize = 384;
const FOOTER_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::delivery::channel::Accepts;
    use crate::domain::time::timestamp::Timestamp;
    use crate::notify::format::chat_response::classify;

    #[test]
    fn a_message_stays_within_the_limit_of_discord() {
        let fields = FIELDS_MAX * (FIELD_NAME_MAX + FIELD_VALUE_MAX);
        let markup = "****\n".len();
        let all = TITLE_MAX + ABOUT_MAX + markup + REST_MAX + fields + FOOTER_MAX;
        assert!(all <= 6000, "{all}");
    }

    #[test]
    fn responses_of_discord_are_classified() {
        let check = |status: u16, body: &str, expected| {
            let response =
                HttpResponse { status, body_prefix: body.into(), ..HttpResponse::default() };
            let now = Timestamp::from_millis(0);
            let found = classify(&RULES, &response, Accepts::Known, now);
            assert_eq!(found.class, expected, "for {status} {body:?}");
        };
        check(200, r#"{"id":"1"}"#, OutcomeClass::Delivered);
        check(204, "", OutcomeClass::Delivered);
        check(200, "<html>sign in</html>", OutcomeClass::Retryable);
        check(200, r#"{"message":"You are being rate limited.","code":429}"#, {
            OutcomeClass::Throttled
        });
        check(200, r#"{"id":"1","error":"no"}"#, OutcomeClass::Retryable);
        check(200, r#"{"id":"x","code":50027}"#, OutcomeClass::Misconfigured);
        check(200, r#"{"message":"Unknown Webhook","code":10015}"#, OutcomeClass::Misconfigured);
        check(200, r#"{"retry_after":0.3,"global":false}"#, OutcomeClass::Throttled);
        check(200, r#"{"id":""}"#, OutcomeClass::Ambiguous);
        check(200, "", OutcomeClass::Ambiguous);
        check(200, "ok", OutcomeClass::Ambiguous);
        check(400, r#"{"embeds":["0"]}"#, OutcomeClass::Rejected);
        check(401, r#"{"message":"Invalid Webhook Token","code":50027}"#, OutcomeClass::Gone);
        check(404, r#"{"message":"Unknown Webhook","code":10015}"#, OutcomeClass::Gone);
        check(404, "<html>not here</html>", OutcomeClass::Retryable);
        check(429, r#"{"retry_after":0.376,"global":false}"#, OutcomeClass::Throttled);
        check(500, "", OutcomeClass::Retryable);
    }
}
