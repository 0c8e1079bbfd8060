//! Routing: which channels get an event, and why.
//!
//! The decision is made when the event is committed, from what is known of the avatar then. A
//! reload changes only later events.

pub mod facts;
pub mod filter;
pub mod pattern;
pub mod subscription;
pub mod table;
pub mod tag;
pub mod unreached;
