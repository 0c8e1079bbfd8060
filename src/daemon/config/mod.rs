//! The config of the running daemon: loading, building the parts that it describes, reporting a
//! rejected one.

pub mod config_status;
pub mod load_config;
pub mod runtime_config;
pub mod wiring;
