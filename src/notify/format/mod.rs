//! The bodies that a webhook can send.

pub mod standard;
pub mod schema;
