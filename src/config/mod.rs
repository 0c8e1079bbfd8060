//! The config: one TOML file and its drop-ins, read whole or not at all.
//!
//! [`file::load`] gives checked [`settings::Settings`], or every problem at once with its file,
//! line, key and mend. No secret ever stands in a problem, a warning or a change. Nothing here
//! waits, logs or knows what the settings are used for.

pub mod settings;
pub mod error;
pub mod snapshot;
mod serialize;
pub mod in_force;
pub mod diff;
pub mod environment;
pub mod location;
pub mod file;
mod generation;
pub mod bare;
pub mod damage;
pub mod schema;
pub mod reader;
pub mod field;
pub mod duration;
pub mod host;
pub mod secret_source;
pub mod certificates;
pub mod custom_headers;
mod web_address;
pub mod proxy;
pub mod account;
pub mod poll;
mod store;
mod heartbeat;
pub mod web;
pub mod channel;
pub mod format;
mod mail;
mod program;
mod smtp;
mod terms;
pub mod names;
pub mod avatar;
pub mod discover;
pub mod drop_in;
pub mod starter;
mod described;
pub mod json_schema;
