//! Endpoints, one file each: pages, API, event stream, metrics, health checks, hints.

pub mod api;
pub mod pages;
pub mod sse;
pub mod metrics;
pub mod health;
pub mod hints;
