//! What can be requested, one file each: pages, API, stream, metrics, health, hints.

pub mod api;
pub mod pages;
pub mod sse;
pub mod metrics;
pub mod health;
pub mod hints;
