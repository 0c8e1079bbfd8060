//! The config: one TOML file and its drop-ins, read whole or not at all.
//!
//! [`file::load`] gives checked [`settings::Settings`], or every problem at once with its file,
//! line, key and help. No secret ever occurs in a problem, a warning or a change. Nothing here
//! waits, logs or knows what the settings are used for.

pub mod settings;
pub mod error;
pub mod environment;
pub mod file;
pub mod secret_source;
mod program;
pub mod drop_in;
pub mod from_env;
pub mod init_template;
mod file_stamp;
pub mod parse;
pub mod sections;
pub mod schema;
pub mod change;
pub mod config_file_trust;
