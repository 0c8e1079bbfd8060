//! An avatar as one answer of the API showed it, and the id it is known by.
//!
//! Ids are opaque text: nothing is read out of them. Everything but id and status may be
//! missing, because the API promises no field.

pub mod open_training;
pub mod status;
pub mod transition;
pub mod training;

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::domain::avatar::status::Status;

/// The id of an avatar: 1 to 128 visible ASCII characters, and safe as one path segment. Clones
/// share the text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AvatarId(Arc<str>);

/// Why a text is not an avatar id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AvatarIdError(String);

impl AvatarId {
    /// Parses an id. One in the form of a UUID is converted to lower case (RFC 9562, section 4), so
    /// that an avatar has one spelling.
    pub fn parse(text: &str) -> Result<Self, AvatarIdError> {
        let fault = |why: &str| Err(AvatarIdError(why.to_owned()));
        if text.is_empty() {
            return fault("an avatar id must not be empty");
        }
        if text.len() > ID_LENGTH_MAX {
            return fault(&format!("an avatar id has at most {ID_LENGTH_MAX} characters"));
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return fault("an avatar id has only visible ASCII characters, without blanks");
        }
        // They name other places in a URL, however they are encoded.
        if text == "." || text == ".." {
            return fault("`.` and `..` are not avatar ids");
        }
        let is_uuid = uuid::Uuid::try_parse(text).is_ok() && text.len() == UUID_LENGTH;
        Ok(Self(if is_uuid { text.to_ascii_lowercase().into() } else { text.into() }))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `other` is the same id; letters may differ in case, as in any UUID
    /// (RFC 9562, section 4).
    pub fn matches(&self, other: &str) -> bool {
        self.0.eq_ignore_ascii_case(other)
    }
}

/// Ids are compared as their texts, so that a map can be searched with a text.
impl Borrow<str> for AvatarId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AvatarId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An avatar as one response shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Avatar {
    /// The requested id.
    pub id: AvatarId,
    /// What it is doing.
    pub status: Status,
    /// The name people gave it.
    pub name: Option<String>,
    /// The model, such as `ARGIL_ATOM`, as it came.
    pub model: Option<String>,
    /// The orientation, such as `ASPECT_RATIO_9_16`, as it came.
    pub orientation: Option<String>,
    /// The account's own key-value pairs; only strings are kept.
    pub extras: BTreeMap<String, String>,
    /// The URL of its image, unchanged; it may be signed and expire.
    pub thumbnail_url: Option<String>,
    /// `updatedAt`, as it came: what it means is not documented.
    pub updated_at: Option<String>,
}

impl Avatar {
    /// An avatar of which only id and status are known.
    pub fn new(id: AvatarId, status: Status) -> Self {
        Self {
            id,
            status,
            name: None,
            model: None,
            orientation: None,
            extras: BTreeMap::new(),
            thumbnail_url: None,
            updated_at: None,
        }
    }
}

/// With its hyphens.
const UUID_LENGTH: usize = 36;
const ID_LENGTH_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_checked_when_they_come_in() {
        for good in ["3c90c3cc-0d44-4b50-8888-8dd25736052a", "a/b?c#d%2e", "..."] {
            assert_eq!(AvatarId::parse(good).map(|_| ()), Ok(()), "for `{good}`");
        }
        for (bad, reason) in [
            ("", "empty"),
            (&*"x".repeat(129), "at most 128"),
            ("a b", "visible ASCII"),
            ("a\nb", "visible ASCII"),
            ("é", "visible ASCII"),
            (".", "`..`"),
            ("..", "`..`"),
        ] {
            let error = AvatarId::parse(bad).unwrap_err().to_string();
            assert!(error.contains(reason), "for `{bad}`: {error}");
        }
    }

    #[test]
    fn a_uuid_has_one_spelling_and_every_other_id_its_own() {
        let check = |text: &str, expected: &str| {
            assert_eq!(AvatarId::parse(text).unwrap().as_str(), expected);
        };
        let uuid = "3c90c3cc-0d44-4b50-8888-8dd25736052a";
        check(uuid, uuid);
        check(&uuid.to_uppercase(), uuid);
        check("3C90C3CC0D444B5088888DD25736052A", "3C90C3CC0D444B5088888DD25736052A");
        check("Jane-1", "Jane-1");
    }

    #[test]
    fn the_case_of_letters_does_not_matter_for_being_the_same() {
        let id = AvatarId::parse("3C90c3cc").unwrap();
        assert!(id.matches("3c90C3CC"));
        assert!(!id.matches("3c90c3cd"));
    }
}
