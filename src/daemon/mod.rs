//! The daemon: two loops and a supervisor that conducts them.
//!
//! The poller looks at avatars and writes what changed; the dispatcher takes deliveries from
//! the table and sends them. They share the table and a bell, nothing else: the bell makes it
//! fast, the table makes it right. Beside them a janitor removes what is old, and a heart tells a
//! service that all is well. Decisions are made in `domain`; here they are carried out,
//! logged and counted.

pub mod clock;
pub mod context;
pub mod ports;
pub mod shutdown;
pub mod wiring;
pub mod poller;
pub mod dispatcher;
pub mod supervisor;
pub mod signals;
pub mod service;
pub mod error;
pub mod runtime_config;
pub mod load_config;
pub mod open_store;
pub mod web_listener;
pub mod wakeup;
pub mod rng;
pub mod request_id;
mod config_status;
pub mod wait_loop;
pub mod background;
