//! Text from outside, whichever way it goes out: which characters are unsafe, and their escapes.
//!
//! A leaf that every room may use. What belongs here knows characters only: neither JSON documents
//! nor lines of the log.

pub mod characters;
pub mod escape;
pub mod plural;
pub mod sanitize;
pub mod odd_character;
pub mod encoding;
pub mod secret_text;
