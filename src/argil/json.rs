//! Lenient parser for the JSON of the API: the published page guarantees no field, so any may be
//! missing, null, new or of another type without affecting the others.
//!
//! Two fields are required: the requested `id` and a `status`. A known field that occurs twice is
//! invalid. Independent of HTTP.

use std::fmt;
use std::io::{self, BufRead};

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;
use serde_json::{Deserializer, Value};

use crate::argil::lenient::{Keep, LenientValue};
use crate::domain::avatar::status::Status;
use crate::domain::avatar::{Avatar, AvatarId};
use crate::mask::Mask;
use crate::text::sanitize::is_blank;

/// Why a body shows no avatar, as a reason for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The body is empty.
    #[error("the answer is empty")]
    Empty,
    /// A web page: a portal, a maintenance notice, a wrong base URL.
    #[error("the answer is a web page, not JSON")]
    WebPage,
    /// The JSON stops in the middle.
    #[error("the answer is JSON that breaks off")]
    Truncated,
    /// No JSON, broken UTF-8, or nested too deeply.
    #[error("the answer cannot be read as JSON, at line {line}, column {column}")]
    Unreadable {
        /// The line, from 1.
        line: usize,
        /// The column, in bytes from 1; 0 when unknown.
        column: usize,
    },
    /// JSON, but no object.
    #[error("the answer is JSON, but not an avatar")]
    NotAnObject,
    /// JSON, but no list.
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
    /// The same field twice.
    #[error("the answer has the field `{0}` twice")]
    Repeated(&'static str),
    /// A field that must be there is not.
    #[error("the answer has no `{0}`")]
    Absent(&'static str),
    /// A field that must be a text is something else, or an empty text.
    #[error("`{field}` in the answer is {found}, not a text")]
    NotText {
        /// The field.
        field: &'static str,
        /// What it is instead.
        found: &'static str,
    },
    /// A status that no status can be.
    #[error("`status` in the answer is longer than {STATUS_LENGTH_MAX} characters")]
    LongStatus,
    /// Another avatar's id, as it came.
    #[error("the answer is about another avatar")]
    OtherId(String),
}

impl DecodeError {
    /// Whether a list exceeds the limits, which persists.
    pub const fn is_too_large(&self) -> bool {
        matches!(self, Self::ManyElements | Self::MuchToKeep | Self::LongText)
    }
}

/// Reads the body of a 200 as the avatar `id`.
///
/// # Errors
/// When the body is not a JSON object with that id and a status.
pub fn read_avatar(body: &[u8], id: &AvatarId, mask: &Mask) -> Result<Avatar, DecodeError> {
    let body = read_json(body, Fields::Alone, DecodeError::NotAnObject)?.unwrap_or_default();
    if let Some(field) = body.repeated {
        return Err(DecodeError::Repeated(field));
    }
    let found = text_of(&body.id, "id")?;
    if !id.matches(found) {
        return Err(DecodeError::OtherId(found.to_owned()));
    }
    avatar(body, id.clone(), mask)
}

/// A string in the list is too long, so that parsing stops.
#[derive(Debug, thiserror::Error)]
#[error("a text is too long")]
pub(super) struct LongText;

/// Skips to the start of the JSON.
///
/// # Errors
/// When there is none.
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

/// Parses JSON of a `kind`; `other` is the error for any other kind.
fn read_json<T>(
    body: &[u8],
    kind: impl for<'de> DeserializeSeed<'de, Value = T>,
    other: DecodeError,
) -> Result<T, DecodeError> {
    // On a copy, so that lines and columns are counted from the start of the body.
    begin(&mut &*body)?;
    let body = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    let mut json = Deserializer::from_slice(body);
    let read = kind.deserialize(&mut json).and_then(|read| json.end().map(|()| read));
    read.map_err(|error| unusable(error, other))
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

/// The avatar of that id, as the body shows it; what is secret in it is masked.
pub(super) fn avatar(body: Body, id: AvatarId, mask: &Mask) -> Result<Avatar, DecodeError> {
    let status = &*mask.whole(text_of(&body.status, "status")?);
    let length = status.chars().count();
    let status = Status::from_answer(status);
    if length > STATUS_LENGTH_MAX && !status.is_recognized() {
        return Err(DecodeError::LongStatus);
    }
    Ok(Avatar {
        id,
        status,
        name: body.name.short_text(mask),
        model: body.model.short_text(mask),
        orientation: body.orientation.short_text(mask),
        thumbnail_url: body.thumbnail_url.whole_text(URL_SIZE_MAX, mask),
        extras: body.extras.pairs(mask),
        updated_at: body.updated_at.short_text(mask),
    })
}

/// Whether a body is a page for a browser: JSON never begins with `<`.
pub fn is_web_page(body: &[u8]) -> bool {
    let body = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    body.trim_ascii_start().first() == Some(&b'<')
}

/// Whether a body is no text: JSON is in UTF-8, and NUL is not in it (RFC 8259, sections 7 and
/// 8.1). One that was cut within a character is text all the same.
pub fn is_binary(body: &[u8]) -> bool {
    body.contains(&0) || str::from_utf8(body).is_err_and(|error| error.error_len().is_some())
}

/// What an error body says: the message of the documented form `{code, message}` or of the
/// observed form `{success, error: {code, message}}`, else the text as it came. Not yet fit to
/// be shown: [`sanitize_excerpt`](crate::argil::excerpt::sanitize_excerpt) makes it so.
pub fn error_text(body: &[u8]) -> String {
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

/// The fields that are read, as loosely as they come.
#[derive(Default)]
pub(super) struct Body {
    pub(super) id: LenientValue,
    status: LenientValue,
    name: LenientValue,
    model: LenientValue,
    orientation: LenientValue,
    thumbnail_url: LenientValue,
    updated_at: LenientValue,
    extras: LenientValue,
    pub(super) repeated: Option<&'static str>,
}

impl Body {
    /// The field of that name, and what is kept of it.
    fn field(&mut self, name: &str) -> Option<(&'static str, &mut LenientValue, Keep)> {
        match name {
            "id" => Some(("id", &mut self.id, Keep::Text)),
            "status" => Some(("status", &mut self.status, Keep::Text)),
            "name" => Some(("name", &mut self.name, Keep::Text)),
            "model" => Some(("model", &mut self.model, Keep::Text)),
            "orientation" => Some(("orientation", &mut self.orientation, Keep::Text)),
            "thumbnailUrl" => Some(("thumbnailUrl", &mut self.thumbnail_url, Keep::Text)),
            "updatedAt" => Some(("updatedAt", &mut self.updated_at, Keep::Text)),
            "extras" => Some(("extras", &mut self.extras, Keep::Texts)),
            _ => None,
        }
    }
}

/// The fields of an object, as they are read.
#[derive(Clone, Copy)]
pub(super) enum Fields {
    /// Nothing but an object will do.
    Alone,
    /// Anything else is nothing.
    OrAnything,
}

impl<'de> DeserializeSeed<'de> for Fields {
    type Value = Option<Body>;

    fn deserialize<D>(self, deserializer: D) -> Result<Self::Value, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        match self {
            Self::Alone => deserializer.deserialize_map(self),
            Self::OrAnything => deserializer.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Fields {
    type Value = Option<Body>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an avatar")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut body = Body::default();
        while let Some(name) = map.next_key::<String>()? {
            // Unknown fields are parsed too, so that invalid UTF-8 and excessive nesting are found
            // everywhere.
            let Some((name, field, keep)) = body.field(&name) else {
                map.next_value_seed(Keep::Kind)?;
                continue;
            };
            let before = std::mem::replace(field, map.next_value_seed(keep)?);
            if before != LenientValue::Absent {
                body.repeated.get_or_insert(name);
            }
        }
        Ok(Some(body))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
        Keep::Kind.visit_seq(list).map(|_| None)
    }
}

/// A text that says something, or why the field has none.
pub(super) fn text_of<'a>(
    field: &'a LenientValue,
    name: &'static str,
) -> Result<&'a str, DecodeError> {
    let found = match field {
        LenientValue::Text(text) if !is_blank(text) => return Ok(text),
        LenientValue::Absent => return Err(DecodeError::Absent(name)),
        LenientValue::Text(_) => "empty",
        LenientValue::Null => "null",
        LenientValue::Number => "a number",
        LenientValue::Bool => "true or false",
        LenientValue::List => "a list",
        LenientValue::Texts(_) => "an object",
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
