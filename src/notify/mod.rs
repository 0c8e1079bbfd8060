//! The ways to tell somebody: a webhook, a mailbox. One try at a time.
//!
//! A try never fails with an error: it ends in an
//! [`Outcome`](crate::domain::delivery::Outcome), which says what the end of it means. Nothing
//! here decides whether there is another try, keeps anything between two tries, logs, or reads
//! a clock.

pub mod message;
pub mod error;
pub mod format;
pub mod heartbeat;
pub mod email;
pub mod channel;
mod transport_error;
mod secret_patterns;
mod excerpt;
mod content;
pub mod webhook;
mod root_certificates;
pub mod subprocess;
