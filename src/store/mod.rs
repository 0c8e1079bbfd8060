//! The store: one SQLite file with watches, transitions, events and the outbox.
//!
//! Invariants: while the daemon runs, one connection writes, on its own thread; related rows are
//! written in one transaction; an acknowledged commit survives a power failure. The store decides
//! nothing: it reads and writes domain values.

pub mod error;
pub mod recovery;
pub mod writer;
mod write_health;
pub mod handle;
pub mod reader;
pub mod avatar_rows;
pub mod pagination;
pub mod retention;
pub mod pending_alerts;
pub mod reminders;
pub mod migrations;
pub mod values;
pub mod tables;
pub mod admin;
pub mod sqlite;
pub mod files;

#[cfg(test)]
mod scale_tests;
