//! The demo: a fake Argil API, the real daemon with a real database, and a receiver that verifies
//! every signature.
//!
//! At the end it compares what the fake API served with what the receiver accepted.

pub mod ledger;
pub mod receiver;
pub mod fake_api;
pub mod console;
pub mod scenario;
pub mod runner;
