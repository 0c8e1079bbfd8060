//! `avatar-watch` polls avatars on Argil, records every change of status in SQLite, and notifies
//! webhooks and mailboxes when an avatar leaves training. `ARCHITECTURE.md` has the data flow.
//!
//! # Layers
//!
//! A module imports only from layers below its own; modules of one layer do not know each other.
//!
//! | layer | module | content |
//! | --- | --- | --- |
//! | 8 | `main` | runs the command line and exits |
//! | 7 | [`cli`] | the commands: arguments, output, exit codes |
//! | 6 | [`demo`] | a simulated Argil and a receiver around the real daemon |
//! | 5 | [`daemon`] | poller, dispatcher, background tasks, supervisor |
//! | 4 | [`web`] | HTTP server: status page, API, metrics, health checks, hints |
//! | 3 | [`store`] | SQLite: watches, transitions, events, the outbox |
//! | 3 | [`config`] | the TOML file, applied as a whole or not at all |
//! | 3 | [`notify`] | webhooks and mail: one delivery attempt at a time |
//! | 3 | [`argil`] | the API client; responses become observations |
//! | 3 | [`runtime`] | state of the running process: event bus, last polls, metrics |
//! | 2 | [`tls_failure`] | TLS errors in words |
//! | 1 | [`domain`] | all decisions, as pure functions |
//! | 1 | [`telemetry`] | the log, for terminals, JSON and systemd's journal |
//! | 1 | [`mask`] | masking of secrets in text from outside |
//! | 1 | [`secret`] | secrets, which are shown as `***`, and where they come from |
//! | 0 | [`signing_secret`] | secrets that sign webhooks |
//! | 0 | [`text`] | sanitizing and escaping of text from outside |
//! | 0 | [`network`], [`content_coding`] | connections, compressed bodies |
//! | 0 | [`files`] | atomic writes, and the trust in files |
//!
//! # Invariants
//!
//! 1. A transition is on disk, with its events and deliveries, before anything else happens.
//! 2. A delivery ends as delivered, as cancelled by an operator, or as a dead letter that is
//!    listed, counted and can be sent again.
//! 3. A repeat has the same id and the same bytes: a body is rendered once and stored.
//! 4. A poll that observes no change performs no database write.
//! 5. Only a complete 200 response that names the avatar changes its status.
//! 6. A config is applied as a whole or not at all.
//! 7. `domain` has no I/O, no clock and no random numbers. Only `daemon/clock.rs` reads the time,
//!    and `store/sqlite/time_limit.rs` how long a statement runs.
//! 8. The loops share a table and a wakeup. A loop keeps no state that a restart may not lose,
//!    except for a change that a full disk has not accepted yet.
//! 9. Input from outside is bounded while it is read, masked before it is stored, and escaped
//!    where it is shown.
//! 10. A vendor crate is used only in the files that `tests/it/layers.rs` lists for it, and its
//!     errors do not leave them.

pub mod cli;
pub mod demo;
pub mod daemon;
pub mod web;
pub mod store;
pub mod config;
pub mod notify;
pub mod argil;
pub mod domain;
pub mod secret;
pub mod signing_secret;
pub mod telemetry;
pub mod text;
pub mod content_coding;
pub mod mask;
pub mod tls_failure;
pub mod network;
pub mod files;
pub mod runtime;
