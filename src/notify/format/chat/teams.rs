//! The `teams` format: an Adaptive Card 1.4 for a workflow of Microsoft Teams, and the
//! classification of its responses.
//!
//! A 2xx means that the workflow was started, not that the card was posted: the workflow can fail
//! later without a report to the sender.

use std::time::Duration;

use serde_json::{Value, json};

use crate::domain::delivery::OutcomeClass;
use crate::notify::content::ContentSeverity;
use crate::notify::format::chat::chat_message::ChatMessage;
use crate::notify::format::chat::chat_response::ChatRules;
use crate::notify::format::truncate::{LengthUnit, fits_escaped, truncate_escaped};
use crate::notify::webhook::body_meaning::BodyMeaning;

pub(in crate::notify::format) fn render(message: &ChatMessage) -> Value {
    let content = &message.content;
    let color = match content.severity {
        ContentSeverity::Good => "Good",
        ContentSeverity::Bad => "Attention",
        ContentSeverity::Neutral => "Default",
    };
    let title = message.heading();
    let heading = json!({
        "type": "TextBlock", "text": text(&title), "wrap": true,
        "size": "Large", "weight": "Bolder", "color": color,
    });
    let detail = json!({
        "type": "TextBlock", "text": text(&content.detail), "wrap": true, "weight": "Bolder",
    });
    let mut body = vec![heading, detail];
    if !content.fields.is_empty() {
        let facts = content.fields.iter().take(FACTS_MAX);
        let facts = facts.map(|field| {
            let fits = |it: &str| fits_escaped(it, TEXT_MAX, LengthUnit::Chars, escape);
            json!({ "title": field.name, "value": text(&field.fitting(fits)) })
        });
        body.push(json!({ "type": "FactSet", "facts": facts.collect::<Vec<_>>() }));
    }
    for line in [&content.advice, &message.window] {
        body.push(json!({ "type": "TextBlock", "text": text(line), "wrap": true }));
    }
    body.push(json!({
        "type": "TextBlock", "text": text(&message.footer), "wrap": true,
        "size": "Small", "isSubtle": true,
    }));
    let mut card = json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": body,
    });
    if let Some(link) = &content.link {
        let open = json!({ "type": "Action.OpenUrl", "title": link.label, "url": link.url });
        card["actions"] = json!([open]);
    }
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": card,
        }],
    })
}

/// A workflow answers 202 with an empty body; the former connectors answered `1`. A gateway in
/// between reports a failure of Teams in a 200.
pub(in crate::notify::format) const RULES: ChatRules = ChatRules {
    min_interval: Duration::from_millis(250),
    confirms: |status, body| match body {
        BodyMeaning::Nothing => true,
        // No gateway answers with this status.
        BodyMeaning::Json(_) | BodyMeaning::Text(_) if status == ACCEPTED && !body.is_failure() => {
            true
        }
        BodyMeaning::Json(Value::Number(number)) => number.as_u64() == Some(1),
        BodyMeaning::Json(_) | BodyMeaning::Text(_) => body.is_success(),
        BodyMeaning::Page | BodyMeaning::Unreadable => false,
    },
    classify_other: |response, body, general| {
        let json = body.json();
        let code = json["error"]["code"].as_str();
        match (general.class, response.status) {
            (OutcomeClass::Retryable, _) if code == Some("WorkflowTriggerIsNotEnabled") => {
                general.with(OutcomeClass::Misconfigured, "the workflow is turned off")
            }
            (OutcomeClass::Retryable, 401 | 403) => general
                .with(OutcomeClass::Misconfigured, "the signature in the URL is not accepted"),
            (OutcomeClass::Retryable, 404) if code == Some("WorkflowNotFound") => {
                general.with(OutcomeClass::Gone, "the workflow no longer exists")
            }
            _ => general,
        }
    },
};

fn text(text: &str) -> String {
    truncate_escaped(text, TEXT_MAX, LengthUnit::Chars, escape)
}

/// Escapes Markdown and the `{{DATE(…)}}` of Adaptive Cards.
fn escape(char: char, to: &mut String) {
    if matches!(
        char,
        '\\' | '*' | '_' | '~' | '`' | '[' | ']' | '(' | ')' | '#' | '<' | '>' | '{' | '}' | '|'
    ) {
        to.push('\\');
    }
    to.push(char);
}

const ACCEPTED: u16 = 202;
/// Characters of one text; keeps a card far below the limit of Teams (28 KB, on some routes 21).
const TEXT_MAX: usize = 1024;
const FACTS_MAX: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::format::chat::chat_response::check;

    #[test]
    fn responses_of_teams_are_classified() {
        let check = |status, body: &str, expected| check(&RULES, status, body, expected);
        check(202, "", OutcomeClass::Delivered);
        check(200, "1", OutcomeClass::Delivered);
        check(202, "started", OutcomeClass::Delivered);
        check(202, "<html>", OutcomeClass::Retryable);
        check(200, "", OutcomeClass::Delivered);
        check(204, "", OutcomeClass::Delivered);
        check(200, "<!DOCTYPE html><title>Sign in</title>", OutcomeClass::Retryable);
        check(200, "welcome", OutcomeClass::Ambiguous);
        let failed = |status: u16| {
            format!(
                "Webhook message delivery failed with error: Microsoft Teams endpoint returned \
                 HTTP error {status} with ContextId tcid=0,server=msgapi,cv=x"
            )
        };
        check(200, &failed(429), OutcomeClass::Throttled);
        check(200, &failed(413), OutcomeClass::Rejected);
        check(200, &failed(400), OutcomeClass::Rejected);
        check(200, &failed(403), OutcomeClass::Misconfigured);
        check(200, &failed(502), OutcomeClass::Retryable);
        check(202, r#"{"error":{"code":"WorkflowTriggerIsNotEnabled"}}"#, {
            OutcomeClass::Misconfigured
        });
        check(400, r#"{"error":{"code":"TriggerInputSchemaMismatch"}}"#, OutcomeClass::Rejected);
        let off = r#"{"error":{"code":"WorkflowTriggerIsNotEnabled"}}"#;
        check(400, off, OutcomeClass::Misconfigured);
        check(401, "", OutcomeClass::Misconfigured);
        check(404, r#"{"error":{"code":"WorkflowNotFound"}}"#, OutcomeClass::Gone);
        check(404, "", OutcomeClass::Retryable);
        check(410, "", OutcomeClass::Gone);
        check(413, "", OutcomeClass::Rejected);
        check(429, "", OutcomeClass::Throttled);
        check(502, "", OutcomeClass::Retryable);
    }
}
