//! What runs beside the two loops: retention, heartbeat, watchdog, systemd, statistics, log
//! throttle, tests of channels.

pub mod retention;
pub mod heartbeat;
pub mod watchdog;
pub mod liveness;
pub mod stats;
pub mod systemd;
pub mod channel_test;
pub mod log_throttle;
pub mod config;
pub mod name_servers;
pub mod shortage;
