//! What the body of a response contains, independent of the format: nothing, a web page, JSON or a
//! text, and whether it reports success or failure.

use serde_json::{Map, Value};

use crate::notify::webhook::response::{HttpResponse, delay_in};

/// The body of a response.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::notify) enum BodyMeaning {
    /// Empty, or white space only.
    Nothing,
    /// A web page: a sign-in, a portal, an error page of a gateway.
    Page,
    /// JSON, also a bare number or string.
    Json(Value),
    /// Any other text, trimmed.
    Text(String),
    /// The content coding could not be decoded.
    Unreadable,
}

impl BodyMeaning {
    /// Parses the body.
    pub(in crate::notify) fn of(response: &HttpResponse) -> Self {
        if response.decode_error.is_some() {
            return Self::Unreadable;
        }
        // UTF-16 is ASCII with a NUL beside each character, after a mark that is not UTF-8.
        let text = String::from_utf8_lossy(&response.body_prefix).replace('\0', "");
        let text = text.trim_start_matches([BYTE_ORDER_MARK, char::REPLACEMENT_CHARACTER]).trim();
        if text.is_empty() {
            return Self::Nothing;
        }
        match serde_json::from_str(text)
            .or_else(|_| serde_json::from_str(&without_surrogates(text)))
        {
            Ok(json) => Self::Json(json),
            Err(_) if is_page(text) => Self::Page,
            Err(_) => Self::Text(text.to_owned()),
        }
    }

    /// The JSON, or null.
    pub(in crate::notify) fn json(&self) -> Value {
        match self {
            Self::Json(json) => json.clone(),
            Self::Nothing | Self::Page | Self::Text(_) | Self::Unreadable => Value::Null,
        }
    }

    /// Whether it is a message object, which has an id.
    pub(in crate::notify) fn is_message(&self) -> bool {
        self.json()["id"].as_str().is_some_and(|id| !id.is_empty())
    }

    /// A bare text, quoted or not.
    pub(in crate::notify) fn word(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Json(Value::String(text)) => Some(text.trim()),
            Self::Nothing | Self::Page | Self::Json(_) | Self::Unreadable => None,
        }
    }

    /// Whether it reports success in one of the common ways, and contains no failure.
    pub(in crate::notify) fn is_success(&self) -> bool {
        let is_yes = |word: &str| YES.iter().any(|yes| word.trim().eq_ignore_ascii_case(yes));
        match self {
            Self::Json(Value::Object(object)) => {
                let yes = |key: &&str| match object.get(*key) {
                    Some(Value::Bool(flag)) => *flag,
                    Some(Value::String(text)) => is_yes(text),
                    _ => false,
                };
                let is_zero = |key: &&str| object.get(*key).and_then(Value::as_u64) == Some(0);
                (RESULTS.iter().any(yes) || CODES.iter().any(is_zero)) && !refuses(object)
            }
            _ => self.word().is_some_and(is_yes),
        }
    }

    /// Whether it reports a failure.
    pub(in crate::notify) fn is_failure(&self) -> bool {
        match self {
            Self::Json(Value::Object(object)) => refuses(object),
            Self::Json(Value::Array(list)) => list.iter().filter_map(Value::as_object).any(refuses),
            Self::Json(Value::Bool(flag)) => !flag,
            _ => self.word().is_some_and(mentions_failure),
        }
    }

    /// The HTTP status in a body that reports a failure: the one that a gateway got from the
    /// service behind it.
    pub(in crate::notify) fn status(&self) -> Option<u16> {
        let fits = |status: u64| u16::try_from(status).ok().filter(|it| (400..600).contains(it));
        match self {
            Self::Json(Value::Object(object)) => {
                let objects = [Some(object), object.get("error").and_then(Value::as_object)];
                let number = |value: &Value| {
                    value.as_u64().or_else(|| value.as_str()?.trim().parse().ok()).and_then(fits)
                };
                let found = |key: &&str| {
                    objects.iter().flatten().find_map(|object| object.get(*key).and_then(number))
                };
                let throttled = delay_in(object).map(|_| TOO_MANY);
                STATUSES.iter().find_map(found).or(throttled)
            }
            _ => {
                let text = self.word().filter(|text| mentions_failure(text))?;
                let mut numbers = text.split(|c: char| !c.is_ascii_alphanumeric());
                numbers.find_map(|word| word.parse().ok().and_then(fits))
            }
        }
    }
}

/// Whether a text is HTML or XML.
fn is_page(text: &str) -> bool {
    let begins =
        |with: &str| text.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with));
    PAGES.iter().any(|with| begins(with))
}

fn refuses(object: &Map<String, Value>) -> bool {
    let says_no = |key: &&str| match object.get(*key) {
        Some(Value::Bool(flag)) => !flag,
        Some(Value::String(text)) => mentions_failure(text),
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
    let is_bad_code = |key: &&str| {
        let code = object.get(*key).and_then(Value::as_i64);
        code.is_some_and(|code| !matches!(code, 0 | 1 | 200..=299))
    };
    let agrees = |key: &&str| match object.get(*key) {
        Some(Value::Bool(flag)) => *flag,
        Some(Value::String(text)) => !mentions_failure(text),
        _ => false,
    };
    // The text of a message object may be our own, which mentions failures, too.
    let words = |key: &&str| object.get(*key).and_then(Value::as_str).is_some_and(mentions_failure);
    let is_message = object.get("id").is_some_and(Value::is_string);
    let is_silent = !is_message && !RESULTS.iter().any(agrees);
    let nested = |key: &&str| object.get(*key).and_then(Value::as_object).is_some_and(refuses);
    RESULTS.iter().any(&says_no)
        || STATUSES.iter().any(says_no)
        || CODES.iter().any(is_bad_code)
        || ERRORS.iter().any(is_full)
        || (is_silent && (WORDS.iter().any(words) || delay_in(object).is_some()))
        || NESTED.iter().any(nested)
}

/// Replaces unpaired surrogates in JSON, which the parser refuses.
fn without_surrogates(text: &str) -> String {
    let mut parts = text.split("\\u");
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let is_half = part.as_bytes().first().is_some_and(|byte| byte.eq_ignore_ascii_case(&b'd'))
            && part.as_bytes().get(1).is_some_and(|byte| b"89abcdefABCDEF".contains(byte));
        match part.get(4..).filter(|_| is_half) {
            Some(rest) => {
                whole.push(char::REPLACEMENT_CHARACTER);
                whole.push_str(rest);
            }
            None => {
                whole.push_str("\\u");
                whole.push_str(part);
            }
        }
    }
    whole
}

fn mentions_failure(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    FAILURES.iter().any(|word| text.contains(word))
}

const BYTE_ORDER_MARK: char = '\u{feff}';
const PAGES: [&str; 7] = ["<!doctype", "<html", "<head", "<body", "<?xml", "<!--", "<script"];
/// Words of success.
const YES: [&str; 5] = ["ok", "success", "accepted", "true", "1"];
/// Members that contain a flag or a word of success.
const RESULTS: [&str; 5] = ["ok", "success", "result", "status", "state"];
/// Members that contain an HTTP status.
const STATUSES: [&str; 7] =
    ["http", "statusCode", "status_code", "status", "errorCode", "error_code", "code"];
/// Members that contain the service's own code; zero is success.
const CODES: [&str; 3] = ["code", "errcode", "StatusCode"];
/// Members that are set on failure.
const ERRORS: [&str; 8] =
    ["error", "errors", "error_code", "errcode", "exception", "fault", "errorMessage", "errorType"];
/// Members with a text for people.
const WORDS: [&str; 5] = ["message", "Message", "msg", "detail", "title"];
/// Members that contain a nested response.
const NESTED: [&str; 4] = ["data", "result", "response", "body"];
/// The status of a body that contains a delay.
const TOO_MANY: u16 = 429;
const FAILURES: [&str; 27] = [
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
    "rejected",
    "no_service",
    "is_archived",
    "not ok",
    "bad payload",
    "bad request",
    "is required",
    "cannot",
    "could not",
    "unable",
    "unknown webhook",
    "unavailable",
    "time-out",
    "timed out",
    "rate limit",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(body: &str) -> BodyMeaning {
        BodyMeaning::of(&HttpResponse {
            status: 200,
            body_prefix: body.into(),
            ..HttpResponse::default()
        })
    }

    #[test]
    fn success_is_recognized_in_many_forms() {
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
            r#"{"code":0,"msg":"success","data":{}}"#,
            r#"{"StatusCode":0,"StatusMessage":"success"}"#,
            r#"{"errcode":0,"errmsg":"ok"}"#,
            r#"{"ok":true,"text":"half a smile: \ud83d"}"#,
            "o\0k\0",
        ] {
            assert!(parsed(yes).is_success() && !parsed(yes).is_failure(), "for {yes}");
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
            r#"{"success":true,"data":{"success":false}}"#,
            r#"{"code":19024,"msg":"Key Words Not Found"}"#,
        ] {
            assert!(!parsed(other).is_success(), "for {other}");
        }
    }

    #[test]
    fn a_failure_is_recognized_with_its_status() {
        let check = |body: &str, status: Option<u16>| {
            assert!(parsed(body).is_failure(), "for {body}");
            assert_eq!(parsed(body).status(), status, "for {body}");
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
        check("Summary or Text is required.", None);
        check("Bad payload received by generic incoming webhook.", None);
        check("no_service", None);
        check(r#"{"code":10015,"message":"Unknown Webhook"}"#, None);
        check(r#"{"message":"Internal server error"}"#, None);
        check(r#"{"fault":{"faultstring":"Unresolved variable"}}"#, None);
        check(r#"{"errorMessage":"Task timed out","errorType":"x"}"#, None);
        check(r#"[{"status":"error"}]"#, None);
        check(r#"{"success":true,"data":{"ok":false}}"#, None);
        check(r#"{"retry_after":0.4,"message":"slow down"}"#, Some(429));
        check(r#"{"ok":false,"error_code":429,"parameters":{"retry_after":7}}"#, Some(429));
        let own = r#"{"id":"1","title":"Training failed","message":"It was refused"}"#;
        for fine in ["1", "ok", "", r#"{"id":"1"}"#, r#"{"errcode":0}"#, "3 tasks", own] {
            assert!(!parsed(fine).is_failure(), "for {fine}");
            assert_eq!(parsed(fine).status(), None, "for {fine}");
        }
    }

    #[test]
    fn a_page_differs_from_a_text() {
        for page in ["<!DOCTYPE html><p>", "\n <HTML lang=de>", "<?xml version='1.0'?>", "<!-- x"] {
            assert_eq!(parsed(page), BodyMeaning::Page, "for {page}");
        }
        assert_eq!(parsed("a < b"), BodyMeaning::Text("a < b".to_owned()));
        let undecoded = Some("is not the `gzip`".to_owned());
        let response =
            HttpResponse { status: 200, decode_error: undecoded, ..HttpResponse::default() };
        assert_eq!(BodyMeaning::of(&response), BodyMeaning::Unreadable);
    }
}
