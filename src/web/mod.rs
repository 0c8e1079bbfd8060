//! The web: a small HTTP server beside the daemon.
//!
//! It reads, and passes small requests on; it decides nothing and writes nothing. Nothing of a
//! request is ever logged.

pub mod hints;
pub mod server;
