//! The command line: arguments, output, exit codes.
//!
//! No decisions here: each command calls a lower layer and prints the result.

pub mod args;
pub mod exit;
pub mod output;
pub mod runtime;
pub mod status;
pub mod hardening;
pub mod dispatch;
pub mod paths;
pub mod advice;
pub mod progress_bar;
pub mod prompt;
pub mod commands;
