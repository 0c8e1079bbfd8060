//! Untrusted text: which characters are unsafe, and how they are escaped.
//!
//! A leaf that every module may use. It knows characters only: neither JSON documents
//! nor lines of the log.

pub mod characters;
pub mod escape;
pub mod plural;
pub mod sanitize;
pub mod odd_character;
pub mod encoding;
pub mod secret_text;
