//! The web: a small HTTP server beside the daemon, with a page, an API, numbers and health.
//!
//! It reads, and passes three small requests on; it decides nothing. Nothing of a request is ever
//! logged.

pub mod cursor;
pub mod status;
pub mod actions;
pub mod timeline;
mod list_header;
pub mod connection_limit;
pub mod server;
pub mod auth;
pub mod problem;
pub mod query;
pub mod read_model;
pub mod state;
pub mod router;
pub mod reader_cache;
pub mod views;
pub mod endpoints;
