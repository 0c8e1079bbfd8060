//! The `teams` format: an Adaptive Card 1.4 for a workflow of Microsoft Teams, and what the
//! workflow answers.
//!
//! A 2xx says that the workflow was started, not that the card was posted: it can fail later, and
//! nobody tells us.

use serde_json::{Value, json};

use crate::domain::delivery::OutcomeClass;
use crate::notify::format::chat_message::{ChatMessage, ChatSeverity};
use crate::notify::format::chat_response::ChatRules;
use crate::notify::format::truncate::{LengthUnit, truncate_escaped};
use crate::notify::webhook::response::{Classification, HttpResponse};
use crate::notify::webhook::verdict::BodyMeaning;

/// The message.
pub(super) fn render(note: &ChatMessage) -> Value {
    let color = match note.tone {
        ChatSeverity::Good => "Good",
        ChatSeverity::Bad => "Attention",
        ChatSeverity::Neutral => "Default",
    };
    let headline = format!("{} {}", note.tone.icon(), note.headline);
    let title = json!({
        "type": "TextBlock", "text": text(&headline), "wrap": true,
        "size": "Large", "weight": "Bolder", "color": color,
    });
    let about = json!({
        "type": "TextBlock", "text": text(&note.subject_name), "wrap": true, "weight": "Bolder",
    });
    let mut body = vec![title, about];
    if !note.fields.is_empty() {
        let facts = note.fields.iter().take(FACTS_MAX);
        let facts = facts.map(|fact| json!({ "title": fact.name, "value": text(&fact.value) }));
        body.push(json!({ "type": "FactSet", "facts": facts.collect::<Vec<_>>() }));
    }
    for line in [&note.meaning, &note.window] {
        body.push(json!({ "type": "TextBlock", "text": text(line), "wrap": true }));
    }
    body.push(json!({
        "type": "TextBlock", "text": text(&note.footer), "wrap": true,
        "size": "Small", "isSubtle": true,
    }));
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "body": body,
            },
        }],
    })
}

/// How a workflow answers: 202, without a word; a connector of old said `1`. What a gateway in
/// between was told by Teams, it says in a 200.
pub(super) const MANNER: ChatRules = ChatRules {
    is_yes: |status, said| match said {
        BodyMeaning::Nothing => true,
        // Nothing that stands in between accepts with that status.
        BodyMeaning::Json(_) | BodyMeaning::Text(_) if status == ACCEPTED && !said.is_failure() => {
            true
        }
        BodyMeaning::Json(Value::Number(number)) => number.as_u64() == Some(1),
        BodyMeaning::Json(_) | BodyMeaning::Text(_) => said.is_success(),
        BodyMeaning::Page | BodyMeaning::Unreadable => false,
    },
    other,
};

fn other(answer: &HttpResponse, said: &BodyMeaning, general: Classification) -> Classification {
    let of = |class, remark| Classification { class, remark: Some(remark), ..general.clone() };
    let json = said.json();
    let code = json["error"]["code"].as_str();
    match (general.class, answer.status) {
        (OutcomeClass::Retryable, _) if code == Some("WorkflowTriggerIsNotEnabled") => {
            of(OutcomeClass::Misconfigured, "the workflow is turned off")
        }
        (OutcomeClass::Retryable, 400) => {
            of(OutcomeClass::Rejected, "it does not take this message")
        }
        (OutcomeClass::Retryable, 401 | 403) => {
            of(OutcomeClass::Misconfigured, "the signature in the URL is not accepted")
        }
        (OutcomeClass::Retryable, 404) if code == Some("WorkflowNotFound") => {
            of(OutcomeClass::Gone, "the workflow is no more")
        }
        _ => general,
    }
}

fn text(text: &str) -> String {
    truncate_escaped(text, TEXT_MAX, LengthUnit::Chars, escape)
}

/// Markdown, and the `{{DATE(…)}}` of Adaptive Cards.
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
/// Teams takes 28 KB, and some of its ways only 21: so much for each text keeps far below.
const TEXT_MAX: usize = 1024;
const FACTS_MAX: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::delivery::channel::Accepts;
    use crate::domain::time::timestamp::Timestamp;
    use crate::notify::format::chat_response::classify;

    #[test]
    fn an_answer_means_what_a_workflow_means_by_it() {
        let check = |status: u16, body: &str, expected| {
            let answer =
                HttpResponse { status, body_prefix: body.into(), ..HttpResponse::default() };
            let now = Timestamp::from_millis(0);
            let found = classify(&MANNER, &answer, Accepts::Known, now);
            assert_eq!(found.class, expected, "for {status} {body:?}");
        };
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
