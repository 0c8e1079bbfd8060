//! The ways to tell somebody: a webhook, a mailbox. One try at a time.
//!
//! A try never fails with an error: it ends in an
//! [`Outcome`](crate::domain::delivery::Outcome), which says what the end of it means. Nothing
//! here decides whether there is another try, keeps anything between two tries, logs, or reads
//! a clock.

pub mod channels;
pub mod message;
pub mod error;
pub mod format;
pub mod signature;
pub mod answer;
pub mod http;
pub mod heartbeat;
mod client;
mod guard;
mod proxy;
mod hidden;
pub mod email;
mod telling;
mod trusted;
mod letter;
mod news;
mod notice;
mod fault;
mod plain;
mod said;
mod body;
mod way;
mod tunnel;
mod handshake;
