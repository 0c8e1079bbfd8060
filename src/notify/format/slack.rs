//! The `slack` format: a message of an incoming webhook, made of blocks, and what Slack answers.
//!
//! All text is `plain_text`, in which nothing is formatted, and the three characters that begin
//! mentions, links and entities are escaped all the same.

use serde_json::{Value, json};

use crate::domain::delivery::OutcomeClass;
use crate::notify::answer::{Answer, Meaning};
use crate::notify::format::limit::{Unit, fit};
use crate::notify::format::note::Note;
use crate::notify::letter::Fact;

/// The message.
pub(super) fn render(note: &Note) -> Value {
    let header = format!("{} {}", note.tone.icon(), note.headline);
    let mut blocks = vec![
        json!({ "type": "header", "text": plain(&header, HEADER_MAX) }),
        json!({ "type": "section", "text": plain(&note.about, SECTION_MAX) }),
    ];
    if !note.facts.is_empty() {
        let field = |fact: &Fact| plain(&format!("{}\n{}", fact.name, fact.value), FIELD_MAX);
        let fields: Vec<Value> = note.facts.iter().take(FIELDS_MAX).map(field).collect();
        blocks.push(json!({ "type": "section", "fields": fields }));
    }
    let rest = format!("{}\n{}", note.meaning, note.window);
    blocks.push(json!({ "type": "section", "text": plain(&rest, SECTION_MAX) }));
    let footer = plain(&note.footer, SECTION_MAX);
    blocks.push(json!({ "type": "context", "elements": [footer] }));
    json!({ "text": fit(&note.brief(), SECTION_MAX, Unit::Chars, escape), "blocks": blocks })
}

/// What an answer means. Slack says `ok` when it took the message: a 2xx with anything else in it
/// is none of Slack's.
pub(super) fn meaning(answer: &Answer, general: Meaning) -> Meaning {
    let said = String::from_utf8_lossy(&answer.beginning);
    let json = serde_json::from_str::<Value>(&said).unwrap_or_default();
    let word = json.get("error").and_then(Value::as_str).unwrap_or(said.trim());
    let of = |class, remark| Meaning { class, remark: Some(remark), ..general.clone() };
    match (general.class, answer.status) {
        (OutcomeClass::Delivered, _) if said.trim() == "ok" || json["ok"] == true => general,
        (OutcomeClass::Delivered, _) if said.is_empty() => {
            of(OutcomeClass::Ambiguous, "it did not say whether it took the message")
        }
        (OutcomeClass::Delivered, _) if json["ok"] == false && word.starts_with("invalid_") => {
            of(OutcomeClass::Rejected, "it does not take this message")
        }
        (OutcomeClass::Delivered, _) => of(OutcomeClass::Retryable, "its answer is not Slack's"),
        (OutcomeClass::Retryable, 400) => {
            of(OutcomeClass::Rejected, "it does not take this message")
        }
        (OutcomeClass::Retryable, 401 | 403 | 404) if GONE.contains(&word) => {
            of(OutcomeClass::Gone, "the webhook or its channel is no more")
        }
        _ => general,
    }
}

fn plain(text: &str, max: usize) -> Value {
    json!({ "type": "plain_text", "text": fit(text, max, Unit::Chars, escape), "emoji": false })
}

fn escape(char: char, to: &mut String) {
    match char {
        '&' => to.push_str("&amp;"),
        '<' => to.push_str("&lt;"),
        '>' => to.push_str("&gt;"),
        char => to.push(char),
    }
}

const HEADER_MAX: usize = 150;
const SECTION_MAX: usize = 3000;
const FIELD_MAX: usize = 2000;
const FIELDS_MAX: usize = 10;
/// What Slack says of a webhook, a channel or a workspace that is no more.
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
    use crate::domain::timestamp::Timestamp;

    #[test]
    fn an_answer_means_what_slack_means_by_it() {
        let check = |status: u16, body: &str, expected| {
            let answer = Answer { status, headers: Vec::new(), beginning: body.into() };
            let general = answer.meaning(Timestamp::from_millis(0));
            assert_eq!(meaning(&answer, general).class, expected, "for {status} {body:?}");
        };
        check(200, "ok", OutcomeClass::Delivered);
        check(200, "ok\n", OutcomeClass::Delivered);
        check(200, r#"{"ok":true}"#, OutcomeClass::Delivered);
        check(200, r#"{"ok":false,"error":"invalid_blocks"}"#, OutcomeClass::Rejected);
        check(200, r#"{"ok":false,"error":"fatal_error"}"#, OutcomeClass::Retryable);
        check(200, "<html>sign in</html>", OutcomeClass::Retryable);
        check(200, "", OutcomeClass::Ambiguous);
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
}
