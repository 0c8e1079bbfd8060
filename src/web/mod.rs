//! The web: a small HTTP server beside the daemon, with a page, an API, numbers and health.
//!
//! It reads, and passes three small requests on; it decides nothing. Nothing of a request is ever
//! logged.

pub mod desk;
pub mod access;
pub mod answer;
pub mod cursor;
pub mod shelf;
pub mod asked;
pub mod view;
pub mod status;
pub mod book;
pub mod actions;
pub mod api;
pub mod stream;
pub mod timeline;
pub mod page;
pub mod numbers;
pub mod health;
pub mod hints;
mod list_header;
pub mod connection_limit;
pub mod routes;
pub mod server;
