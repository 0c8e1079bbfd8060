//! Untrusted text: which characters are unsafe, and how they are escaped.
//!
//! A leaf that every module may use. It knows characters only: neither JSON documents
//! nor lines of the log.

pub mod characters;
pub(crate) mod escape;
pub(crate) mod plural;
pub(crate) mod capitalize;
pub(crate) mod url_segment;
pub(crate) mod sanitize;
pub(crate) mod fold;
pub(crate) mod wildcard;
pub(crate) mod odd_character;
pub(crate) mod encoding;
pub(crate) mod secret_input;
