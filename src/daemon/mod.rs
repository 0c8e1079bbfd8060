//! The daemon: poller, dispatcher, background tasks, and the supervisor that runs them.
//!
//! The poller polls avatars and writes changes; the dispatcher claims deliveries from the outbox
//! and sends them. They share the database and a wakeup, nothing else. Decisions are made in
//! `domain`; this module carries them out, logs and counts.

pub(crate) mod clock;
pub mod context;
mod blocking_work;
mod publish;
pub mod stats;
pub mod ports;
pub mod poller;
pub mod dispatcher;
pub mod error;
pub mod rng;
pub mod background;
pub mod config;
pub mod logging;
pub mod supervision;
pub(crate) mod wait_command;
