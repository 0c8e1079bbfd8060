//! The commands: what is typed, what is printed, and with which code the program exits.
//!
//! Nothing is decided here: each command asks a lower floor and shows the answer.

pub mod hand_args;
pub mod args;
pub mod exit;
pub mod output;
pub mod config_path;
pub mod command;
pub mod runtime;
pub mod run;
pub mod mend;
pub mod check;
pub mod channels;
pub mod overview;
pub mod verdict;
pub mod status;
pub mod hardening;
pub mod history;
pub mod deliveries;
pub mod db;
pub mod test;
pub mod wait;
pub mod wait_plan;
pub mod progress;
pub mod demo;
pub mod init;
pub mod alive;
pub mod asking;
pub mod secret;
pub mod schema;
pub mod completions;
pub mod man;
