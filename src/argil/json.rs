//! Lenient parser for the JSON of the API: the published page guarantees no field, so any may be
//! missing, null, new or of another type without affecting the others.
//!
//! Two fields are required: the requested `id` and a `status`. A known field that occurs twice is
//! invalid. Independent of HTTP.

use std::io::{self, BufRead};

use serde::de::Deserializer as _;
use serde_json::error::Category;
use serde_json::{Deserializer, Value};

use crate::argil::lenient::{Fields, Keep, LenientValue};
use crate::domain::avatar::status::Status;
use crate::domain::avatar::{Avatar, AvatarId};
use crate::mask::Mask;
use crate::text::sanitize::is_blank;

/// Why a body shows no avatar, as a reason for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum DecodeError {
    #[error("the answer is empty")]
    Empty,
    /// A web page: a portal, a maintenance notice, a wrong base URL.
    #[error("the answer is a web page, not JSON")]
    WebPage,
    #[error("the answer is JSON that breaks off")]
    Truncated,
    /// No JSON, broken UTF-8, or nested too deeply.
    #[error("the answer cannot be read as JSON, at line {line}, column {column}")]
    Unreadable {
        line: usize,
        /// The column, in bytes from 1; 0 when unknown.
        column: usize,
    },
    #[error("the answer is JSON, but not an avatar")]
    NotAnObject,
    #[error("the answer is JSON, but not a list")]
    NotAList,
    /// More elements than a list may have.
    #[error("the list has more than {LIST_COUNT_MAX} elements")]
    ManyElements,
    /// More avatars, with more about them, than is kept of a list.
    #[error("the list has more than {} MiB of avatars in it", LIST_KEPT_MAX >> 20)]
    MuchToKeep,
    /// A text longer than any in a list may be.
    #[error("the list has a text of more than {} KiB in it", LIST_TEXT_MAX >> 10)]
    LongText,
    #[error("the answer has the field `{0}` twice")]
    Repeated(&'static str),
    #[error("the answer has no `{0}`")]
    Absent(&'static str),
    /// A field that must be a text is something else, or an empty text.
    #[error("`{field}` in the answer is {found}, not a text")]
    NotText { field: &'static str, found: &'static str },
    #[error("`status` in the answer is longer than {STATUS_LENGTH_MAX} characters")]
    LongStatus,
    /// Another avatar's id, as it came.
    #[error("the answer is about another avatar")]
    OtherId(String),
}

impl DecodeError {
    /// Whether a list exceeds the limits, which persists.
    pub(super) const fn is_too_large(&self) -> bool {
        matches!(self, Self::ManyElements | Self::MuchToKeep | Self::LongText)
    }
}

/// Reads the body of a 200 as the avatar `id`.
pub(super) fn read_avatar(body: &[u8], id: &AvatarId, mask: &Mask) -> Result<Avatar, DecodeError> {
    let fields = read_fields(body)?;
    if let Some(field) = fields.repeated {
        return Err(DecodeError::Repeated(field));
    }
    let found = text_of(&fields, "id")?;
    if !id.matches(found) {
        return Err(DecodeError::OtherId(found.to_owned()));
    }
    avatar(&fields, id.clone(), mask)
}

/// A string in the list is too long, so that parsing stops.
#[derive(Debug, thiserror::Error)]
#[error("a text is too long")]
pub(super) struct LongText;

/// Skips to the start of the JSON.
pub(super) fn begin(body: &mut impl BufRead) -> Result<(), DecodeError> {
    let mut mark = BYTE_ORDER_MARK;
    loop {
        let next = body.fill_buf().map_err(|error| unusable_io(&error))?.first().copied();
        match next {
            None => return Err(DecodeError::Empty),
            Some(byte) if mark.first() == Some(&byte) => mark = &mark[1..],
            Some(b'<') => return Err(DecodeError::WebPage),
            Some(byte) if byte.is_ascii_whitespace() => mark = &[],
            Some(_) => return Ok(()),
        }
        body.consume(1);
    }
}

fn read_fields(body: &[u8]) -> Result<Fields, DecodeError> {
    // On a copy, so that lines and columns are counted from the start of the body.
    begin(&mut &*body)?;
    let body = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    let mut json = Deserializer::from_slice(body);
    let read = json.deserialize_map(Keep::Avatar).and_then(|read| json.end().map(|()| read));
    let read = read.map_err(|error| unusable(error, DecodeError::NotAnObject))?;
    let LenientValue::Avatar(fields) = read else { return Err(DecodeError::NotAnObject) };
    Ok(fields)
}

pub(super) fn unusable(error: serde_json::Error, other: DecodeError) -> DecodeError {
    match error.classify() {
        Category::Eof => DecodeError::Truncated,
        Category::Data => other,
        Category::Syntax => DecodeError::Unreadable { line: error.line(), column: error.column() },
        Category::Io => unusable_io(&error.into()),
    }
}

fn unusable_io(error: &io::Error) -> DecodeError {
    match error.get_ref() {
        Some(inner) if inner.is::<LongText>() => DecodeError::LongText,
        _ => DecodeError::Truncated,
    }
}

/// The avatar of that id, as the fields show it; what is secret in it is masked.
pub(super) fn avatar(fields: &Fields, id: AvatarId, mask: &Mask) -> Result<Avatar, DecodeError> {
    let status = &*mask.whole(text_of(fields, "status")?);
    let length = status.chars().count();
    let status = Status::from_answer(status);
    if length > STATUS_LENGTH_MAX && !status.is_recognized() {
        return Err(DecodeError::LongStatus);
    }
    Ok(Avatar {
        id,
        status,
        name: fields.short_text("name", mask),
        model: fields.short_text("model", mask),
        orientation: fields.short_text("orientation", mask),
        thumbnail_url: fields.whole_text("thumbnailUrl", URL_SIZE_MAX, mask),
        extras: fields.pairs("extras", mask),
        updated_at: fields.short_text("updatedAt", mask),
    })
}

/// Whether a body is a page for a browser: JSON never begins with `<`.
pub(super) fn is_web_page(body: &[u8]) -> bool {
    let body = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    body.trim_ascii_start().first() == Some(&b'<')
}

/// Whether a body is no text: JSON is in UTF-8, and NUL is not in it (RFC 8259, sections 7 and
/// 8.1). One that was cut within a character is text all the same.
pub(super) fn is_binary(body: &[u8]) -> bool {
    body.contains(&0) || str::from_utf8(body).is_err_and(|error| error.error_len().is_some())
}

/// What an error body says: the message of the documented form `{code, message}` or of the
/// observed form `{success, error: {code, message}}`, else the text as it came. Not yet fit to
/// be shown: [`sanitize_excerpt`](crate::argil::excerpt::sanitize_excerpt) makes it so.
pub(super) fn error_text(body: &[u8]) -> String {
    let body = &body[..body.len().min(ERROR_SIZE_MAX)];
    let as_it_came = || String::from_utf8_lossy(body).into_owned();
    let Ok(Value::Object(mut whole)) = serde_json::from_slice(body) else {
        return as_it_came();
    };
    let code_and_message = match whole.remove("error") {
        Some(Value::String(text)) => return text,
        Some(Value::Object(inner)) => inner,
        _ => whole,
    };
    let text = |field: &str| code_and_message.get(field).and_then(Value::as_str);
    match (text("code"), text("message")) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (None, Some(text)) | (Some(text), None) => text.to_owned(),
        (None, None) => as_it_came(),
    }
}

/// A text that says something, or why the field has none.
pub(super) fn text_of<'a>(fields: &'a Fields, name: &'static str) -> Result<&'a str, DecodeError> {
    let found = match fields.get(name).ok_or(DecodeError::Absent(name))? {
        LenientValue::Text(text) if !is_blank(text) => return Ok(text),
        LenientValue::Text(_) => "empty",
        LenientValue::Null => "null",
        LenientValue::Number => "a number",
        LenientValue::Bool => "true or false",
        LenientValue::List => "a list",
        LenientValue::Texts(_) | LenientValue::Avatar(_) => "an object",
    };
    Err(DecodeError::NotText { field: name, found })
}

/// The longest status, in characters; the longest documented one has 15.
const STATUS_LENGTH_MAX: usize = 64;
/// As much of an error body as is read, in bytes.
const ERROR_SIZE_MAX: usize = 16 * 1024;
/// The most elements of a list, whatever they are.
pub(super) const LIST_COUNT_MAX: usize = 20_000;
/// The most memory that the avatars of a list may take, in bytes.
pub(super) const LIST_KEPT_MAX: usize = 12 * 1024 * 1024;
/// The longest text in a list, as it is written, in bytes.
pub(super) const LIST_TEXT_MAX: usize = 64 * 1024;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The longest address of a picture that is kept, in bytes.
const URL_SIZE_MAX: usize = 4 * 1024;

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
