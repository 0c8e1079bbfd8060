//! `avatar-watch` polls a configured set of Argil avatars, records every change of status in
//! SQLite, and tells webhooks and mailboxes when one leaves training.
//!
//! # The map
//!
//! Floors, from the top; each knows only the floors below it, and rooms on one floor have never
//! met:
//!
//! | floor | room | what it does |
//! | --- | --- | --- |
//! | 7 | `main` | parses, runs, exits |
//! | 6 | [`cli`] | the commands: types, prints, exit codes |
//! | 5 | [`demo`] | a simulated Argil and a receiver around the real daemon |
//! | 4 | [`daemon`] | conducts: the poller, the dispatcher, one supervisor |
//! | 3 | [`web`] | a small HTTP server: the page, the API, numbers, health, hints |
//! | 2 | [`store`] | SQLite: watches, transitions, events, the outbox |
//! | 2 | [`config`] | the TOML file, read whole or not at all |
//! | 2 | [`notify`] | webhooks and mail: one try at a time |
//! | 2 | [`argil`] | the API, as observations |
//! | 2 | [`runtime`] | what is known only while it runs: event bus, metrics |
//! | 1 | [`domain`] | every decision, pure |
//! | 1 | [`secret`], [`signing_secret`], [`telemetry`] | what must not be seen; the log |
//! | 1 | [`text`] | characters of text from outside, and their escapes |
//! | 1 | [`network`] | names and addresses: look-ups, and the first that can be connected to |
//! | 1 | [`files`] | files that are written whole, and whose files are obeyed |
//! | 1 | [`content_coding`], [`tls_failure`] | bodies without their codings; TLS in words |
//! | 1 | [`mask`] | text from outside without our secrets |
//!
//! # What always holds
//!
//! - A transition is on disk, together with its deliveries, before anything else happens.
//! - A delivery ends as delivered, or as a dead letter that is shown and can be sent again.
//! - A repeat has the same id and the same bytes: a body is rendered once, and stored.
//! - A look that changed nothing writes nothing.
//! - `domain` has no I/O, no clock and no chance; only `daemon/clock.rs` asks for the time, and
//!   `store/sqlite/time_limit.rs` for how long a statement runs.
//! - The loops share a table and a bell, nothing else; a loop holds nothing that a restart may
//!   not lose, but for what a full disk would not take yet.
//! - A vendor's crate has one home; no vendor's error leaves its room.

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
