//! Copies of the database: backup, restore, and snapshots for readers without write access.

pub mod backup;
pub mod flush;
pub mod restore;
pub mod snapshot;
