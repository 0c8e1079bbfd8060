//! The `slack` format: a message of blocks for an incoming webhook, and the classification of the
//! responses of Slack and of services with a compatible webhook.
//!
//! All text is `plain_text`, which Slack does not format; `&`, `<` and `>` are escaped as well.
//! Only the link to the page is markup.

use std::time::Duration;

use serde_json::{Value, json};

use crate::domain::delivery::OutcomeClass;
use crate::notify::content::ContentField;
use crate::notify::format::chat::chat_message::ChatMessage;
use crate::notify::format::chat::chat_response::{ChatRules, MESSAGE_REJECTED, is_empty_success};
use crate::notify::format::truncate::{LengthUnit, fits_escaped, truncate_escaped};
use crate::notify::webhook::body_meaning::BodyMeaning;

pub(in crate::notify::format) fn render(message: &ChatMessage) -> Value {
    let content = &message.content;
    let header = message.heading();
    let mut blocks = vec![
        json!({ "type": "header", "text": plain(&header, HEADER_MAX) }),
        json!({ "type": "section", "text": plain(&content.detail, SECTION_MAX) }),
    ];
    if !content.fields.is_empty() {
        let text = |field: &ContentField| {
            let whole = |value: &str| format!("{}\n{value}", field.name);
            let fits = |it: &str| fits_escaped(&whole(it), FIELD_MAX, LengthUnit::Utf16, escape);
            plain(&whole(&field.fitting(fits)), FIELD_MAX)
        };
        let fields: Vec<Value> = content.fields.iter().take(FIELDS_MAX).map(text).collect();
        blocks.push(json!({ "type": "section", "fields": fields }));
    }
    let rest = format!("{}\n{}", content.advice, message.window);
    blocks.push(json!({ "type": "section", "text": plain(&rest, SECTION_MAX) }));
    if let Some(link) = &content.link {
        // Only here, since a link button would ask the app to respond to it.
        let text = format!("<{}|{}>", link.url, link.label);
        blocks.push(json!({ "type": "section", "text": { "type": "mrkdwn", "text": text } }));
    }
    let footer = plain(&message.footer, SECTION_MAX);
    blocks.push(json!({ "type": "context", "elements": [footer] }));
    let summary = truncate_escaped(&message.summary(), SECTION_MAX, LengthUnit::Utf16, escape);
    json!({ "text": summary, "blocks": blocks })
}

pub(in crate::notify::format) const RULES: ChatRules = ChatRules {
    min_interval: Duration::from_secs(1),
    confirms: |status, body| {
        body.is_success() || is_google_chat(body) || is_empty_success(status, body)
    },
    classify_other: |response, body, general| {
        let json = body.json();
        let word = json["error"].as_str().or(body.word()).unwrap_or_default();
        let is_gone = GONE.contains(&word);
        match (general.class, response.status) {
            (OutcomeClass::Retryable, 401 | 403 | 404) if is_gone => {
                general.with(OutcomeClass::Gone, WEBHOOK_GONE)
            }
            // A body alone never disables a channel.
            (OutcomeClass::Retryable, 200..=299) if is_gone => {
                general.with(OutcomeClass::Misconfigured, WEBHOOK_GONE)
            }
            (OutcomeClass::Retryable, 200..=299) if word.starts_with("invalid_") => {
                general.with(OutcomeClass::Rejected, MESSAGE_REJECTED)
            }
            (OutcomeClass::Retryable, 400 | 401 | 403 | 404) if blames_webhook(body) => {
                general.with(OutcomeClass::Misconfigured, "the URL of the webhook is not accepted")
            }
            _ => general,
        }
    },
};

/// Google Chat returns the message.
fn is_google_chat(body: &BodyMeaning) -> bool {
    body.json()["name"].as_str().is_some_and(|name| name.starts_with("spaces/"))
}

/// Whether the body rejects the webhook rather than the message, as Mattermost, Rocket.Chat, Zulip
/// and Discord do in a text for people.
fn blames_webhook(body: &BodyMeaning) -> bool {
    let json = body.json();
    let texts = ["error", "message", "msg", "id"].map(|key| json[key].as_str());
    let mut texts = texts.into_iter().flatten().chain(body.word());
    texts.any(|text| {
        let text = text.to_ascii_lowercase();
        ["webhook", "integration", "token", "api key"].iter().any(|word| text.contains(word))
    })
}

fn plain(text: &str, max: usize) -> Value {
    // Never counts less than Slack does.
    let text = truncate_escaped(text, max, LengthUnit::Utf16, escape);
    json!({ "type": "plain_text", "text": text, "emoji": false })
}

fn escape(char: char, to: &mut String) {
    match char {
        '&' => to.push_str("&amp;"),
        '<' => to.push_str("&lt;"),
        '>' => to.push_str("&gt;"),
        char => to.push(char),
    }
}

const WEBHOOK_GONE: &str = "the webhook or its channel no longer exists";
const HEADER_MAX: usize = 150;
const SECTION_MAX: usize = 3000;
const FIELD_MAX: usize = 2000;
const FIELDS_MAX: usize = 10;
/// Slack's errors for a webhook, a channel or a workspace that no longer exists.
const GONE: [&str; 8] = [
    "action_prohibited",
    "channel_is_archived",
    "channel_not_found",
    "invalid_token",
    "no_active_hooks",
    "no_service",
    "no_team",
    "team_disabled",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::format::chat::chat_response::check;

    #[test]
    fn responses_of_slack_are_classified() {
        let check = |status, body: &str, expected| check(&RULES, status, body, expected);
        check(200, "ok", OutcomeClass::Delivered);
        check(200, "ok\n", OutcomeClass::Delivered);
        check(200, r#"{"ok":true}"#, OutcomeClass::Delivered);
        check(200, r#"{"ok":false,"error":"invalid_blocks"}"#, OutcomeClass::Rejected);
        check(200, r#"{"ok":false,"error":"fatal_error"}"#, OutcomeClass::Retryable);
        check(200, r#"{"ok":false,"error":"channel_is_archived"}"#, OutcomeClass::Misconfigured);
        check(200, "<html>sign in</html>", OutcomeClass::Retryable);
        check(200, "", OutcomeClass::Ambiguous);
        check(200, "\n", OutcomeClass::Ambiguous);
        check(200, "welcome", OutcomeClass::Ambiguous);
        check(200, "upstream error 503", OutcomeClass::Retryable);
        check(200, "limit exceeded (429)", OutcomeClass::Throttled);
        check(400, "invalid_payload", OutcomeClass::Rejected);
        check(403, "action_prohibited", OutcomeClass::Gone);
        check(403, "invalid_token", OutcomeClass::Gone);
        check(403, "blocked by a proxy", OutcomeClass::Retryable);
        check(404, "no_service", OutcomeClass::Gone);
        check(404, "channel_not_found", OutcomeClass::Gone);
        check(404, "no such page", OutcomeClass::Retryable);
        check(410, "channel_is_archived", OutcomeClass::Gone);
        check(429, r#"{"retry_after":7}"#, OutcomeClass::Throttled);
        check(500, "rollup_error", OutcomeClass::Retryable);
    }

    #[test]
    fn responses_of_compatible_services_are_classified() {
        let check = |status, body: &str, expected| check(&RULES, status, body, expected);
        // Mattermost
        check(200, "OK", OutcomeClass::Delivered);
        let invalid = r#"{"id":"web.incoming_webhook.invalid.app_error","message":"Invalid webhook",
                          "status_code":400}"#;
        check(400, invalid, OutcomeClass::Misconfigured);
        // Rocket.Chat
        check(200, r#"{"success":true}"#, OutcomeClass::Delivered);
        let token = r#"{"success":false,"error":"Invalid integration id or token provided."}"#;
        check(400, token, OutcomeClass::Misconfigured);
        check(200, r#"{"success":false}"#, OutcomeClass::Retryable);
        // Zulip
        check(200, r#"{"result":"success","msg":""}"#, OutcomeClass::Delivered);
        let key = r#"{"result":"error","msg":"Invalid API key","code":"INVALID_API_KEY"}"#;
        check(401, key, OutcomeClass::Misconfigured);
        // Discord, below `/slack`
        check(204, "", OutcomeClass::Delivered);
        let unknown = r#"{"message":"Unknown Webhook","code":10015}"#;
        check(404, unknown, OutcomeClass::Misconfigured);
        // Google Chat
        check(200, r#"{"name":"spaces/A/messages/B.C","text":"x"}"#, OutcomeClass::Delivered);
        check(200, "\"ok\"", OutcomeClass::Delivered);
        check(201, "", OutcomeClass::Delivered);
        check(202, "", OutcomeClass::Delivered);
    }
}
