//! The demo: a fake Argil API, the real daemon with a real database, and a receiver that verifies
//! every signature.
//!
//! At the end it compares what the fake API served with what the receiver accepted.

mod ledger;
mod receiver;
pub mod fake_argil;
pub mod fake_server;
mod console;
mod scenario;
mod scripted_api;
pub mod runner;
