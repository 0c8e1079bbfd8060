//! State that exists only while the daemon runs: the event bus, the last successful polls, metrics.
//!
//! It makes no decisions and is not restored after a restart.

pub mod event_bus;
pub mod last_seen;
pub mod metrics;
