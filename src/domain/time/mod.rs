//! Points in time and lengths of time: wall clock, monotonic clock, time zone, text for people.
//!
//! The clock itself is read in `daemon::clock` only.

pub mod timestamp;
pub mod monotonic;
pub mod time_zone;
pub(crate) mod humanize;
