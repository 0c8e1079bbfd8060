//! The log: for people, as JSON for programs, or in the fields of systemd's journal.
//!
//! One event is one line, whatever stands in it: nothing that a terminal would obey gets through.

pub mod log;
pub mod panic;
mod harmless;
mod journal;
mod line;
mod scribe;
