//! The sections of the config, one file each: keys, defaults, ranges, and the settings that they
//! become.

pub mod account;
pub mod avatar;
pub mod discover;
pub mod events;
pub mod poll;
pub mod store;
pub mod web;
pub mod heartbeat;
pub mod channel;
pub mod only;
pub mod custom_headers;
pub mod format;
pub mod proxy;
pub mod email;
pub mod smtp;
pub mod delivery_policy;
