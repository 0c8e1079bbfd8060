//! The daemon: poller, dispatcher, background tasks, and the supervisor that runs them.
//!
//! The poller polls avatars and writes changes; the dispatcher claims deliveries from the outbox
//! and sends them. They share the database and a wakeup, nothing else. Decisions are made in
//! `domain`; this module carries them out, logs and counts.

pub(crate) mod clock;
pub mod context;
mod failing_avatars;
mod log;
pub mod log_throttle;
pub mod template_fallback_log;
mod publish;
pub mod liveness;
pub mod stats;
pub mod ports;
pub mod shutdown;
pub mod wiring;
pub mod poller;
pub mod dispatcher;
pub mod supervisor;
pub(crate) mod signals;
pub(crate) mod service;
pub mod error;
pub mod runtime_config;
pub mod load_config;
pub(crate) mod open_store;
pub(crate) mod web_listener;
pub mod rng;
pub mod request_id;
mod config_status;
pub(crate) mod wait_loop;
pub mod background;
