//! The transports of notifications: webhooks and mail. Renders messages and makes single attempts.
//!
//! An attempt never returns an error: it ends in an
//! [`Outcome`](crate::domain::delivery::Outcome). Nothing here decides about retries, keeps state
//! between two attempts, logs, or reads a clock.

pub mod message;
pub mod message_context;
pub(crate) mod build_error;
pub mod format;
pub(crate) mod heartbeat;
pub mod email;
pub mod channel;
mod transport_error;
mod secret_patterns;
mod excerpt;
pub(crate) mod content;
pub mod webhook;
mod root_certificates;
pub mod subprocess;
pub mod ssrf_guard;
