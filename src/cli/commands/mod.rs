//! The commands, one file each: they get arguments, print output and return an exit code.

pub(super) mod avatars;
pub(super) mod forget;
pub(super) mod channels;
pub(super) mod check;
pub(super) mod completions;
pub(super) mod db;
pub(super) mod deliveries;
pub(super) mod demo;
pub(super) mod history;
pub(super) mod init;
pub(super) mod init_questions;
pub(super) mod man;
pub(super) mod run;
pub(super) mod schema;
pub(super) mod secret;
pub(super) mod test;
pub(super) mod wait;
pub(super) mod wait_plan;
