//! What runs beside the two loops: retention, heartbeat, watchdog, systemd, statistics, log
//! throttle, tests of channels.

pub(crate) mod retention;
pub(crate) mod heartbeat;
pub mod watchdog;
pub mod liveness;
pub mod stats;
pub(crate) mod systemd;
pub(crate) mod channel_test;
pub mod log_throttle;
pub(crate) mod config;
pub(crate) mod name_servers;
pub(crate) mod shortage;
