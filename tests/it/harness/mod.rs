//! The other side of every wire: servers on `127.0.0.1` that do as a test says, well or badly;
//! and the real program, as a child.

pub(crate) mod argil;
pub(crate) mod rerun;
pub(crate) mod clock;
pub(crate) mod config;
pub(crate) mod daemon;
pub(crate) mod full_listener;
pub(crate) mod http;
pub(crate) mod plans;
pub(crate) mod proxy;
pub(crate) mod smtp;
pub(crate) mod tls;
pub(crate) mod webhook;
pub(crate) mod world;
pub(crate) mod sample_events;
pub(crate) mod fake_notifier;
