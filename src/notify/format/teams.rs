//! The `teams` format: an Adaptive Card 1.4 for a workflow of Microsoft Teams, and what the
//! workflow answers.
//!
//! A 2xx says that the workflow was started, not that the card was posted: it can fail later, and
//! nobody tells us.

use serde_json::{Value, json};

use crate::domain::delivery::OutcomeClass;
use crate::notify::answer::{Answer, Meaning};
use crate::notify::format::limit::{Unit, fit};
use crate::notify::format::note::{Note, Tone};

/// The message.
pub(super) fn render(note: &Note) -> Value {
    let color = match note.tone {
        Tone::Good => "Good",
        Tone::Bad => "Attention",
        Tone::Neutral => "Default",
    };
    let headline = format!("{} {}", note.tone.icon(), note.headline);
    let title = json!({
        "type": "TextBlock", "text": text(&headline), "wrap": true,
        "size": "Large", "weight": "Bolder", "color": color,
    });
    let about = json!({
        "type": "TextBlock", "text": text(&note.about), "wrap": true, "weight": "Bolder",
    });
    let mut body = vec![title, about];
    if !note.facts.is_empty() {
        let facts = note.facts.iter().take(FACTS_MAX);
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

/// What an answer means.
pub(super) fn meaning(answer: &Answer, general: Meaning) -> Meaning {
    let of = |class, remark| Meaning { class, remark: Some(remark), ..general.clone() };
    let json = serde_json::from_slice::<Value>(&answer.beginning).unwrap_or_default();
    let code = json["error"]["code"].as_str();
    match (general.class, answer.status) {
        (OutcomeClass::Delivered, 200 | 202) => general,
        (OutcomeClass::Delivered, _) => {
            of(OutcomeClass::Ambiguous, "a workflow answers 202 when it took a message")
        }
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
    fit(text, TEXT_MAX, Unit::Chars, escape)
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

/// Teams takes 28 KB, and some of its ways only 21: so much for each text keeps far below.
const TEXT_MAX: usize = 1024;
const FACTS_MAX: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::timestamp::Timestamp;

    #[test]
    fn an_answer_means_what_a_workflow_means_by_it() {
        let check = |status: u16, body: &str, expected| {
            let answer = Answer { status, headers: Vec::new(), beginning: body.into() };
            let general = answer.meaning(Timestamp::from_millis(0));
            assert_eq!(meaning(&answer, general).class, expected, "for {status} {body:?}");
        };
        check(202, "", OutcomeClass::Delivered);
        check(200, "1", OutcomeClass::Delivered);
        check(204, "", OutcomeClass::Ambiguous);
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
