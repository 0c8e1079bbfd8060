//! What is known only while the daemon runs, for whoever looks on. Nothing depends on it: what
//! counts is in the tables.

pub mod feed;
pub mod sights;
pub mod metrics;
