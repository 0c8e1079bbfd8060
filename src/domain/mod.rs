//! The pure ground floor: what an avatar, a watch, a transition, an event and a delivery are,
//! and every decision about them.
//!
//! Nothing here does I/O, waits, logs, serializes, asks for the time or throws dice: moments
//! and chance come in as arguments, decisions go out as values. No file here knows any room
//! above it.

pub mod avatar;
pub mod account;
pub mod condition;
pub mod id;
pub mod event;
pub mod program_environment;
pub mod read_access;
pub mod delivery;
pub mod retention;
pub mod time;
pub mod random;
pub mod polling;
pub mod mail;
pub mod status_report;
