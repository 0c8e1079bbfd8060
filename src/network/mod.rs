//! Name resolution, connections and the causes of their errors, for all clients.
//!
//! This module knows sockets and the system's resolver, but no protocol and no policy. It does not
//! log.

pub mod routable;
pub mod connect;
pub mod resolve;
pub mod error_chain;
