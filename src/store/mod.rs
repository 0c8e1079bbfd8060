//! The store: one SQLite file with watches, transitions, events and the outbox.
//!
//! What always holds: one connection writes while the daemon runs, on a thread of its own;
//! what belongs together is one transaction; a commit that was acknowledged survives the loss
//! of power. It decides nothing: rows go in and out as domain values.

pub mod error;
pub mod recovery;
pub mod writer;
pub mod handle;
pub mod reader;
pub mod pagination;
pub mod retention;
pub mod pending_alerts;
pub mod migrations;
pub mod values;
pub mod tables;
pub mod admin;
pub mod sqlite;
pub mod files;
