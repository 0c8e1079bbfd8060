//! What runs beside the poller and the dispatcher: check of the database, retention, heartbeat,
//! watchdog, systemd, tests of channels.

pub(crate) mod retention;
pub(crate) mod heartbeat;
pub mod watchdog;
pub(crate) mod systemd;
pub(crate) mod channel_test;
pub(crate) mod config;
pub(crate) mod shortage;
pub(crate) mod start_check;
