//! Endpoints, one file each: pages, API, event stream, metrics, health checks, hints.

pub(super) mod api;
pub(super) mod pages;
pub(super) mod sse;
pub(super) mod metrics;
pub(crate) mod health;
pub mod hints;
