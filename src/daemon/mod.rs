//! The daemon: two loops and a supervisor that conducts them.
//!
//! The poller looks at avatars and writes what changed; the dispatcher takes deliveries from
//! the table and sends them. They share the table and a bell, nothing else: the bell makes it
//! fast, the table makes it right. Beside them a janitor removes what is old, and a heart tells a
//! service that all is well. Decisions are made in `domain`; here they are carried out,
//! logged and counted.

pub mod clock;
pub mod chance;
pub mod ports;
pub mod shutdown;
pub mod bell;
pub mod progress;
pub mod log_throttle;
pub mod request;
pub mod pulse;
pub mod budget;
pub mod due;
pub mod plan;
pub mod experience;
pub mod roster;
pub mod lane;
pub mod checked;
mod config_notes;
pub mod wiring;
pub mod look;
pub mod errand;
pub mod poller;
pub mod returns;
pub mod admission;
pub mod listing;
pub mod sight;
pub mod nudge;
pub mod checkpoint;
pub mod waiter;
pub mod dispatcher;
pub mod attempt;
pub mod witness;
pub mod herald;
pub mod trial;
pub mod chores;
pub mod janitor;
pub mod heart;
pub mod door;
pub mod opening;
pub mod supervisor;
pub mod signals;
pub mod shortage;
pub mod systemd;
pub mod name_servers;
pub mod watchdog;
pub mod service;
pub mod error;
