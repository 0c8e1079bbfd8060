//! The Argil API, as observations: one look at one avatar at a time.
//!
//! Every answer, every silence and every broken connection becomes an
//! [`Observation`](crate::domain::polling::observation::Observation); vendor errors end here. This room
//! never logs, never reads a clock, never follows a redirect and never shows the key. When to
//! look, and what to do about what was seen, is decided elsewhere.

pub mod client;
pub mod list;
mod list_parser;
mod pool;
pub mod error;
pub mod response;
pub mod transport_error;
pub mod lenient;
pub mod excerpt;
pub mod json;
