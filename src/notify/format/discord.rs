//! The `discord` format: one embed of a webhook, and what Discord answers.
//!
//! Nobody is ever mentioned, whatever a name says, and a name is never formatted. Lengths are
//! counted in UTF-16, which never counts less than Discord does.

use serde_json::{Value, json};

use crate::domain::delivery::OutcomeClass;
use crate::notify::answer::{Answer, Meaning};
use crate::notify::format::limit::{Unit, as_it_is, fit};
use crate::notify::format::note::{Note, Tone};

/// The message; `occurred_at` is shown in the time of the reader.
pub(super) fn render(note: &Note, occurred_at: String) -> Value {
    let title = format!("{} {}", note.tone.icon(), note.headline);
    let about = fit(&note.about, ABOUT_MAX, Unit::Utf16, escape);
    let rest = format!("{}\n{}", note.meaning, note.window);
    let rest = fit(&rest, REST_MAX, Unit::Utf16, escape);
    let fields = note.facts.iter().take(FIELDS_MAX).map(|fact| {
        let name = fit(fact.name, FIELD_NAME_MAX, Unit::Utf16, escape);
        let value = fit(&fact.value, FIELD_VALUE_MAX, Unit::Utf16, escape);
        let value = if value.is_empty() { "–" } else { &value };
        json!({ "name": name, "value": value, "inline": true })
    });
    let color = match note.tone {
        Tone::Good => 0x002e_9e5b,
        Tone::Bad => 0x00d9_483b,
        Tone::Neutral => 0x007a_869a,
    };
    json!({
        "allowed_mentions": { "parse": [] },
        "embeds": [{
            "title": fit(&title, TITLE_MAX, Unit::Utf16, escape),
            "description": format!("**{about}**\n{rest}"),
            "color": color,
            "fields": fields.collect::<Vec<_>>(),
            "footer": { "text": fit(&note.footer, FOOTER_MAX, Unit::Utf16, as_it_is) },
            "timestamp": occurred_at,
        }],
    })
}

/// What an answer means. A 401 or a 404 ends the channel only when Discord itself says it.
pub(super) fn meaning(answer: &Answer, general: Meaning) -> Meaning {
    let of = |class, remark| Meaning { class, remark: Some(remark), ..general.clone() };
    let json = serde_json::from_slice::<Value>(&answer.beginning).unwrap_or_default();
    match (general.class, answer.status) {
        (OutcomeClass::Retryable, 400) => {
            of(OutcomeClass::Rejected, "it does not take this message")
        }
        (OutcomeClass::Retryable, 401 | 404) if json["code"].is_u64() => {
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
    use crate::domain::timestamp::Timestamp;

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
            let answer = Answer { status, headers: Vec::new(), beginning: body.into() };
            let general = answer.meaning(Timestamp::from_millis(0));
            assert_eq!(meaning(&answer, general).class, expected, "for {status} {body:?}");
        };
        check(200, r#"{"id":"1"}"#, OutcomeClass::Delivered);
        check(204, "", OutcomeClass::Delivered);
        check(400, r#"{"embeds":["0"]}"#, OutcomeClass::Rejected);
        check(401, r#"{"message":"Invalid Webhook Token","code":50027}"#, OutcomeClass::Gone);
        check(404, r#"{"message":"Unknown Webhook","code":10015}"#, OutcomeClass::Gone);
        check(404, "<html>not here</html>", OutcomeClass::Retryable);
        check(429, r#"{"retry_after":0.376,"global":false}"#, OutcomeClass::Throttled);
        check(500, "", OutcomeClass::Retryable);
    }
}
