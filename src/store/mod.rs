//! The store: one SQLite file with watches, transitions, events and the outbox.
//!
//! What always holds: one connection writes while the daemon runs, on a thread of its own;
//! what belongs together is one transaction; a commit that was acknowledged survives the loss
//! of power. It decides nothing: rows go in and out as domain values.

pub mod error;
pub mod schema;
pub mod columns;
pub mod owner;
pub mod obstacle;
pub mod permissions;
pub mod lock;
pub mod schema_check;
mod time_limit;
mod connection;
pub mod identity;
mod transaction;
pub mod database;
pub mod integrity;
pub mod runs;
pub mod snapshot;
pub mod watches;
pub mod conditions;
pub mod trainings;
pub mod accounts;
pub mod transitions;
pub mod events;
pub mod outbox;
mod recipients;
pub mod channels;
pub mod untold;
pub mod recovery;
pub mod prune;
pub mod writer;
pub mod handle;
pub mod hands;
pub mod switches;
pub mod reader;
pub mod pages;
pub mod verify;
pub mod unfinished;
pub mod place;
pub mod backup;
pub mod restore;
