//! The log: for people, as JSON for programs, or in the fields of systemd's journal; and the queues
//! before the output of commands that must not wait for a reader.
//!
//! One event is one line, whatever it contains, and no character of it controls a terminal.

pub mod output_queue;
mod formatter;
mod journald;
mod output_stream;
pub mod init;
pub mod panic_hook;
