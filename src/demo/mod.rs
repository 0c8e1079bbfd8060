//! The demo: the whole product on one screen. A simulated Argil, the real daemon with a real
//! database, and a real receiver that checks every signature.
//!
//! It proves what it shows: at the end, what the simulated API served is compared with what the
//! receiver took, message by message.

pub mod ledger;
pub mod receiver;
pub mod fake_api;
pub mod console;
pub mod scenario;
pub mod runner;
