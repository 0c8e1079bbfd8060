//! Web: the HTTP server of the daemon, with the status page, API, event stream, metrics, health
//! checks and hints.
//!
//! It reads the database and passes three requests on to the daemon: retry a delivery, poll an
//! avatar, test a channel. It makes no decisions, and never logs any part of a request.

mod cursor;
pub(crate) mod status;
mod actions;
mod blocking;
mod timeline;
mod read_model;
pub mod state;
mod avatar_summary;
pub mod config_view;
pub(crate) mod view_rows;
pub mod reader_cache;
pub(crate) mod views;
pub(crate) mod delivery_views;
pub(crate) mod route_view;
pub(crate) mod routes;
pub mod endpoints;
pub mod http;
