//! What is known only while the daemon runs, and lost with it: the event bus of the live stream,
//! when each avatar was last seen, metrics.
//!
//! Nothing here decides anything or is read back after a restart; the database has that.

pub mod event_bus;
pub mod last_seen;
pub mod metrics;
