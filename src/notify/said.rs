//! What the body of an answer says, before any format asks what it means there: nothing, a web
//! page, JSON, a text; yes, or no.
//!
//! A chat's yes is known word for word, so what is no yes and shows a failure is taken for a no.

use serde_json::{Map, Value};

use crate::notify::answer::Answer;

/// The body of an answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Said {
    /// Nothing, or blanks.
    Nothing,
    /// A page for people: a sign-in, a portal, an error page of something in between.
    Page,
    /// JSON; a bare number or text is JSON, too.
    Json(Value),
    /// Any other text, without blanks around it.
    Text(String),
    /// A content coding that could not be taken off.
    Unreadable,
}

impl Said {
    /// Reads the body, as far as it came.
    pub(super) fn of(answer: &Answer) -> Self {
        if answer.undecoded.is_some() {
            return Self::Unreadable;
        }
        let text = String::from_utf8_lossy(&answer.beginning);
        let text = text.trim_start_matches(BYTE_ORDER_MARK).trim();
        if text.is_empty() {
            return Self::Nothing;
        }
        match serde_json::from_str(text) {
            Ok(json) => Self::Json(json),
            Err(_) if is_page(text) => Self::Page,
            Err(_) => Self::Text(text.to_owned()),
        }
    }

    /// The JSON, and null where there is none.
    pub(super) fn json(&self) -> Value {
        match self {
            Self::Json(json) => json.clone(),
            Self::Nothing | Self::Page | Self::Text(_) | Self::Unreadable => Value::Null,
        }
    }

    /// The text of a bare text, in quotes or without.
    pub(super) fn word(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Json(Value::String(text)) => Some(text.trim()),
            Self::Nothing | Self::Page | Self::Json(_) | Self::Unreadable => None,
        }
    }

    /// Whether it says yes in one of the ways that services have in common, and no with nothing.
    pub(super) fn agrees(&self) -> bool {
        let is_yes = |word: &str| YES.iter().any(|yes| word.trim().eq_ignore_ascii_case(yes));
        match self {
            Self::Json(Value::Object(object)) => {
                let yes = |key: &&str| match object.get(*key) {
                    Some(Value::Bool(flag)) => *flag,
                    Some(Value::String(text)) => is_yes(text),
                    _ => false,
                };
                VERDICTS.iter().any(yes) && !refuses(object)
            }
            _ => self.word().is_some_and(is_yes),
        }
    }

    /// Whether it says that it failed.
    pub(super) fn refuses(&self) -> bool {
        match self {
            Self::Json(Value::Object(object)) => refuses(object),
            Self::Json(Value::Bool(flag)) => !flag,
            _ => self.word().is_some_and(tells_of_failure),
        }
    }

    /// The status of HTTP that an answer with a failure in it names: what a gateway heard from
    /// the service behind it.
    pub(super) fn status(&self) -> Option<u16> {
        let fits = |status: u64| u16::try_from(status).ok().filter(|it| (400..600).contains(it));
        match self {
            Self::Json(Value::Object(object)) => {
                let places = [Some(object), object.get("error").and_then(Value::as_object)];
                let number = |value: &Value| {
                    value.as_u64().or_else(|| value.as_str()?.trim().parse().ok()).and_then(fits)
                };
                let found = |key: &&str| {
                    places.iter().flatten().find_map(|place| place.get(*key).and_then(number))
                };
                STATUSES.iter().find_map(found)
            }
            _ => {
                let text = self.word().filter(|text| tells_of_failure(text))?;
                let mut numbers = text.split(|c: char| !c.is_ascii_alphanumeric());
                numbers.find_map(|word| word.parse().ok().and_then(fits))
            }
        }
    }
}

/// Whether a text is a document for a browser.
fn is_page(text: &str) -> bool {
    let begins =
        |with: &str| text.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with));
    PAGES.iter().any(|with| begins(with))
}

fn refuses(object: &Map<String, Value>) -> bool {
    let says_no = |key: &&str| match object.get(*key) {
        Some(Value::Bool(flag)) => !flag,
        Some(Value::String(text)) => tells_of_failure(text),
        Some(Value::Number(number)) => number.as_u64().is_some_and(|it| (400..600).contains(&it)),
        _ => false,
    };
    let is_full = |key: &&str| match object.get(*key) {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(Value::String(text)) => !text.trim().is_empty(),
        Some(Value::Number(number)) => number.as_f64() != Some(0.0),
        Some(Value::Array(list)) => !list.is_empty(),
        Some(Value::Object(fields)) => !fields.is_empty(),
        Some(Value::Bool(true)) => true,
    };
    VERDICTS.iter().any(&says_no) || STATUSES.iter().any(says_no) || ERRORS.iter().any(is_full)
}

fn tells_of_failure(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    FAILURES.iter().any(|word| text.contains(word))
}

const BYTE_ORDER_MARK: char = '\u{feff}';
const PAGES: [&str; 7] = ["<!doctype", "<html", "<head", "<body", "<?xml", "<!--", "<script"];
/// How services say yes.
const YES: [&str; 5] = ["ok", "success", "accepted", "true", "1"];
/// The members that say whether it went well.
const VERDICTS: [&str; 5] = ["ok", "success", "result", "status", "state"];
/// The members that say how it went, as a status of HTTP.
const STATUSES: [&str; 6] = ["http", "statusCode", "status_code", "status", "errorCode", "code"];
/// The members that are there when something went wrong.
const ERRORS: [&str; 5] = ["error", "errors", "error_code", "errcode", "exception"];
const FAILURES: [&str; 12] = [
    "fail",
    "error",
    "denied",
    "forbidden",
    "unauthor",
    "not allowed",
    "invalid",
    "expired",
    "exceeded",
    "too many",
    "not found",
    "refused",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn said(body: &str) -> Said {
        Said::of(&Answer { status: 200, beginning: body.into(), ..Answer::default() })
    }

    #[test]
    fn services_say_yes_in_many_ways() {
        for yes in [
            "ok",
            "ok\n",
            " OK\r\n",
            "\u{feff}ok",
            "\"ok\"",
            r#"{"ok":true}"#,
            r#"{"success":true}"#,
            r#"{"success":true,"statusCode":200}"#,
            r#"{"result":"success","msg":""}"#,
            r#"{"status":"ok","error":null}"#,
            r#"{"status":"success","errors":[]}"#,
        ] {
            assert!(said(yes).agrees() && !said(yes).refuses(), "for {yes}");
        }
        for other in [
            "",
            " \n",
            "okay then",
            "<html>ok</html>",
            r#"{"ok":false}"#,
            r#"{"ok":true,"error":"channel_not_found"}"#,
            r#"{"success":true,"errors":["a"]}"#,
            r#"{"result":"error","msg":"Invalid API key"}"#,
            "{}",
            "[]",
            "null",
            r#"{"message":"ok"}"#,
        ] {
            assert!(!said(other).agrees(), "for {other}");
        }
    }

    #[test]
    fn a_failure_shows_and_may_name_its_status() {
        let check = |body: &str, status: Option<u16>| {
            assert!(said(body).refuses(), "for {body}");
            assert_eq!(said(body).status(), status, "for {body}");
        };
        check(
            "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP \
             error 429 with ContextId tcid=0,server=msgapi-production",
            Some(429),
        );
        check("delivery failed", None);
        check(r#"{"error":{"code":"403","message":"no"}}"#, Some(403));
        check(r#"{"code":42908,"http":429,"error":"limit reached"}"#, Some(429));
        check(r#"{"ok":false,"error":"invalid_auth"}"#, None);
        check(r#"{"status":"error"}"#, None);
        check(r#"{"statusCode":502}"#, Some(502));
        check(r#"{"errcode":93000,"errmsg":"invalid webhook url"}"#, None);
        check("false", None);
        for fine in ["1", "ok", "", r#"{"id":"1"}"#, r#"{"errcode":0}"#, "3 errands"] {
            assert!(!said(fine).refuses(), "for {fine}");
            assert_eq!(said(fine).status(), None, "for {fine}");
        }
    }

    #[test]
    fn a_page_is_told_from_a_text() {
        for page in ["<!DOCTYPE html><p>", "\n <HTML lang=de>", "<?xml version='1.0'?>", "<!-- x"] {
            assert_eq!(said(page), Said::Page, "for {page}");
        }
        assert_eq!(said("a < b"), Said::Text("a < b".to_owned()));
        let undecoded = Some("is not the `gzip`".to_owned());
        let answer = Answer { status: 200, undecoded, ..Answer::default() };
        assert_eq!(Said::of(&answer), Said::Unreadable);
    }
}
