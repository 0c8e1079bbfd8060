//! The log: for people, as JSON for programs, or in the fields of systemd's journal; and the queue
//! before all output of whoever must not wait for its reader.
//!
//! One event is one line, whatever stands in it: nothing that a terminal would obey gets through.

pub mod log;
pub mod panic;
pub mod output_queue;
mod journal;
mod line;
mod output_sink;
mod scribe;
