//! The commands, one file each: they get arguments, print output and return an exit code.

pub mod channels;
pub mod check;
pub mod completions;
pub mod db;
pub mod deliveries;
pub mod demo;
pub mod history;
pub mod init;
pub mod man;
pub mod run;
pub mod schema;
pub mod secret;
pub mod test;
pub mod wait;
pub mod wait_plan;
