//! The client of Argil's API: one request, one
//! [`Observation`](crate::domain::polling::observation::Observation).
//!
//! Every response, timeout and broken connection becomes an observation; no vendor error leaves
//! this module. It never logs, reads no clock, follows no redirect and never shows the key. When to
//! poll and what an observation means is decided elsewhere.

pub mod client;
mod list;
mod list_parser;
mod pool;
pub mod error;
mod response;
mod transport_error;
mod lenient;
mod excerpt;
mod json;
