//! The `discord` format: a webhook message with one embed, and the classification of Discord's
//! responses.
//!
//! A name never mentions a user and is never formatted. Lengths are counted in UTF-16 units, which
//! never counts less than Discord does.

use std::time::Duration;

use serde_json::{Value, json};

use crate::domain::delivery::OutcomeClass;
use crate::notify::format::chat::chat_message::ChatMessage;
use crate::notify::format::chat::chat_response::{ChatRules, is_empty_success};
use crate::notify::format::truncate::{LengthUnit, fits_escaped, no_escape, truncate_escaped};

/// The message; Discord shows `occurred_at` in the time zone of the reader.
pub(in crate::notify::format) fn render(message: &ChatMessage, occurred_at: String) -> Value {
    let content = &message.content;
    let title = message.heading();
    let about = truncate_escaped(&content.detail, ABOUT_MAX, LengthUnit::Utf16, escape);
    let rest = format!("{}\n{}", content.advice, message.window);
    let rest = truncate_escaped(&rest, REST_MAX, LengthUnit::Utf16, escape);
    let fields = content.fields.iter().take(FIELDS_MAX).map(|field| {
        let name = truncate_escaped(field.name, FIELD_NAME_MAX, LengthUnit::Utf16, escape);
        let fits = |it: &str| fits_escaped(it, FIELD_VALUE_MAX, LengthUnit::Utf16, escape);
        let value = field.fitting(fits);
        let value = truncate_escaped(&value, FIELD_VALUE_MAX, LengthUnit::Utf16, escape);
        let value = if value.is_empty() { "–" } else { &value };
        json!({ "name": name, "value": value, "inline": true })
    });
    let footer = truncate_escaped(&message.footer, FOOTER_MAX, LengthUnit::Utf16, no_escape);
    let mut body = json!({
        "allowed_mentions": { "parse": [] },
        "embeds": [{
            "title": truncate_escaped(&title, TITLE_MAX, LengthUnit::Utf16, escape),
            "description": format!("**{about}**\n{rest}"),
            "color": content.severity.color(),
            "fields": fields.collect::<Vec<_>>(),
            "footer": { "text": footer },
            "timestamp": occurred_at,
        }],
    });
    if let Some(link) = &content.link {
        body["embeds"][0]["url"] = link.url.as_str().into();
    }
    body
}

/// Discord returns the message, since the URL has `wait=true`, or 204 where the configured URL has
/// `wait=false`. A 401 or 404 disables the channel only with an error code of Discord.
pub(in crate::notify::format) const RULES: ChatRules = ChatRules {
    min_interval: Duration::from_millis(400),
    confirms: |status, body| {
        (body.is_message() && !body.is_failure()) || is_empty_success(status, body)
    },
    classify_other: |response, body, general| match (general.class, response.status) {
        (OutcomeClass::Retryable, 200..=299)
            if UNKNOWN_WEBHOOK.contains(&body.json()["code"].as_u64()) =>
        {
            general.with(OutcomeClass::Misconfigured, "the webhook no longer exists")
        }
        (OutcomeClass::Retryable, 401 | 404) if body.json()["code"].is_u64() => {
            general.with(OutcomeClass::Gone, "the webhook no longer exists")
        }
        _ => general,
    },
};

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
const TITLE_MAX: usize = 256;
const ABOUT_MAX: usize = 512;
const REST_MAX: usize = 1536;
const FIELDS_MAX: usize = 8;
const FIELD_NAME_MAX: usize = 48;
const FIELD_VALUE_MAX: usize = 384;
const FOOTER_MAX: usize = 128;
/// Discord's limit for a message.
const MESSAGE_MAX: usize = 6000;
const _: () = assert!(
    TITLE_MAX
        + ABOUT_MAX
        + "****\n".len()
        + REST_MAX
        + FIELDS_MAX * (FIELD_NAME_MAX + FIELD_VALUE_MAX)
        + FOOTER_MAX
        <= MESSAGE_MAX
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::format::chat::chat_response::check;

    #[test]
    fn responses_of_discord_are_classified() {
        let check = |status, body: &str, expected| check(&RULES, status, body, expected);
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
