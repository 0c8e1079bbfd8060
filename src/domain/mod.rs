//! The pure ground floor: what an avatar, a watch, a transition, an event and a delivery are,
//! and every decision about them.
//!
//! Nothing here does I/O, waits, logs, serializes, asks for the time or throws dice: moments
//! and chance come in as arguments, decisions go out as values. No file here knows any room
//! above it.

pub mod timestamp;
pub mod humanize;
pub mod moment;
pub mod roll;
pub mod foreign_text;
pub mod odd_character;
pub mod text_encoding;
pub mod secret_text;
pub mod backoff;
pub mod retry_after;
pub mod status;
pub mod avatar;
pub mod observation;
pub mod listing;
pub mod cadence;
pub mod forecast;
pub mod transition;
pub mod channel;
pub mod account;
pub mod mail_domain;
pub mod mail_address;
pub mod condition;
pub mod id;
pub mod event;
pub mod trouble;
pub mod told;
pub mod program_environment;
pub mod template_tree;
pub mod ntfy_topic;
pub mod training;
pub mod watch;
pub mod vigil;
pub mod vision;
pub mod key_gate;
pub mod reach;
pub mod read_access;
pub mod custom_header;
pub mod retry;
pub mod delivery;
pub mod refusal;
mod refusal_words;
pub mod recipient;
pub mod retention;
pub mod dead_letter;
pub mod health;
pub mod verdict;
