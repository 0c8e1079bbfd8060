//! Names and addresses, for every client: look-ups that hold nothing up, and connections to the
//! first of several addresses that takes one.
//!
//! It knows sockets and the system's resolver; no protocol, no policy and none of our words for
//! what a failure means. It never logs.

pub mod route;
pub mod connect;
pub mod resolve;
