//! Start, reload, stop and health of the daemon.

pub mod supervisor;
pub mod service;
pub mod signals;
pub mod open_store;
pub mod web_listener;
pub mod shutdown;
pub mod liveness;
pub mod blocked_name_servers;
