//! The command line: arguments, output, exit codes.
//!
//! No decisions here: each command calls a lower layer and prints the result.

mod args;
mod exit;
mod output;
mod table;
mod local_time;
mod avatar_names;
mod message_text;
mod runtime;
mod status;
pub mod dispatch;
mod locations;
mod command_line;
mod account_avatars;
mod advice;
mod progress_bar;
mod prompt;
mod commands;
