//! What runs beside the poller and the dispatcher: retention, heartbeat, watchdog, systemd, tests
//! of channels.

pub(crate) mod retention;
pub(crate) mod heartbeat;
pub mod watchdog;
pub(crate) mod systemd;
pub(crate) mod channel_test;
pub(crate) mod config;
pub(crate) mod shortage;
