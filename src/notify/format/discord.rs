//! The `discord` format: one embed of a webhook, and what Discord answers.
//!
//! Nobody is ever mentioned, whatever a name says, and a name is never formatted. Lengths are
//! counted in UTF-16, which never counts less than Discord does.

use serde_json::{Value, json};

use crate::domain::delivery::OutcomeClass;
use crate::notify::format::chat_message::{ChatMessage, ChatSeverity};
use crate::notify::format::chat_response::{ChatRules, is_empty_success};
use crate::notify::format::truncate::{LengthUnit, no_escape, truncate_escaped};
use crate::notify::webhook::response::{Classification, HttpResponse};
use crate::notify::webhook::verdict::BodyMeaning;

/// The message; `occurred_at` is shown in the time of the reader.
pub(super) fn render(note: &ChatMessage, occurred_at: String) -> Value {
    let title = format!("{} {}", note.tone.icon(), note.headline);
    let about = truncate_escaped(&note.subject_name, ABOUT_MAX, LengthUnit::Utf16, escape);
    let rest = format!("{}\n{}", note.meaning, note.window);
    let rest = truncate_escaped(&rest, REST_MAX, LengthUnit::Utf16, escape);
    let fields = note.fields.iter().take(FIELDS_MAX).map(|fact| {
        let name = truncate_escaped(fact.name, FIELD_NAME_MAX, LengthUnit::Utf16, escape);
        let value = truncate_escaped(&fact.value, FIELD_VALUE_MAX, LengthUnit::Utf16, escape);
        let value = if value.is_empty() { "–" } else { &value };
        json!({ "name": name, "value": value, "inline": true })
    });
    let color = match note.tone {
        ChatSeverity::Good => 0x002e_9e5b,
        ChatSeverity::Bad => 0x00d9_483b,
        ChatSeverity::Neutral => 0x007a_869a,
    };
    let footer = truncate_escaped(&note.footer, FOOTER_MAX, LengthUnit::Utf16, no_escape);
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

/// How Discord answers: with the message, since it is asked to wait; with 204 where the URL says
/// that it should not. A 401 or a 404 ends the channel only when Discord itself says it.
pub(super) const MANNER: ChatRules = ChatRules {
    is_yes: |status, said| (said.is_text() && !said.is_failure()) || is_empty_success(status, said),
    other,
};

fn other(answer: &HttpResponse, said: &BodyMeaning, general: Classification) -> Classification {
    let of = |class, remark| Classification { class, remark: Some(remark), ..general.clone() };
    match (general.class, answer.status) {
        (OutcomeClass::Retryable, 400) => {
            of(OutcomeClass::Rejected, "it does not take this message")
        }
        (OutcomeClass::Retryable, 200..=299) if NO_MORE.contains(&said.json()["code"].as_u64()) => {
            of(OutcomeClass::Misconfigured, "the webhook is no more")
        }
        (OutcomeClass::Retryable, 401 | 404) if said.json()["code"].is_u64() => {
            of(OutcomeClass::Gone, "the webhook is no more")
        }
        _ => general,
    }
}

/// Markdown, mentions, emoji and links that Discord would see in a text.
fn escape(char: char, to: &mut String) {
    if matches!(
        char,
        '\\' | '*' | '_' | '~' | '`' | '|' | '>' | '<' | '#' | '[' | ']' | '(' | ')' | '@' | ':'
    ) {
        to.push('\\');
    }
    to.push(char);
}

/// Discord's own codes of a webhook that is unknown, or whose token is.
const NO_MORE: [Option<u64>; 2] = [Some(10_015), Some(50_027)];
// The sum of all is below 6000, which Discord allows a message: what can be long is what we say.
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
    fn no_message_can_be_too_long_as_a_whole() {
        let fields = FIELDS_MAX * (FIELD_NAME_MAX + FIELD_VALUE_MAX);
        let marks = "****\n".len();
        let all = TITLE_MAX + ABOUT_MAX + marks + REST_MAX + fields + FOOTER_MAX;
        assert!(all <= 6000, "{all}");
    }

    #[test]
    fn an_answer_means_what_discord_means_by_it() {
        let check = |status: u16, body: &str, expected| {
            let answer =
                HttpResponse { status, body_prefix: body.into(), ..HttpResponse::default() };
            let now = Timestamp::from_millis(0);
            let found = classify(&MANNER, &answer, Accepts::Known, now);
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
