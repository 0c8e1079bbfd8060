//! Points in time and lengths of time: wall clock, monotonic clock, text for people.
//!
//! The clock itself is read in `daemon::clock` only.

pub mod timestamp;
pub mod monotonic;
pub(crate) mod humanize;
