//! The commands: what is typed, what is printed, and with which code the program exits.
//!
//! Nothing is decided here: each command asks a lower floor and shows the answer.

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
