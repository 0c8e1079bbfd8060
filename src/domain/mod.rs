//! The pure core: avatars, watches, transitions, events and deliveries, and every decision about
//! them.
//!
//! No I/O, waiting, logging, serialization, clock or random numbers: times and random bits are
//! arguments, decisions are return values. Imports no module above it.

pub mod avatar;
pub mod account;
pub mod condition;
pub mod config_origin;
pub mod alerts;
pub mod id;
pub mod event;
pub mod ordering_key;
pub(crate) mod program_environment;
pub mod public_url;
pub mod read_access;
pub mod delivery;
pub(crate) mod retention;
pub mod time;
pub mod random;
pub mod polling;
pub mod routing;
pub mod mail;
pub(crate) mod help;
pub(crate) mod status_report;
pub(crate) mod unreached_avatars;
