//! The command line: arguments, output, exit codes.
//!
//! No decisions here: each command calls a lower layer and prints the result.

mod args;
mod exit;
mod output;
mod runtime;
mod status;
pub mod dispatch;
mod locations;
mod local_time;
mod command_line;
mod advice;
mod progress_bar;
mod prompt;
mod commands;
