//! The tests that need more than one room: real sockets, real files, the real program.

#![expect(clippy::unwrap_used, reason = "a test that cannot set up its world has failed")]

mod harness;

mod cli;
mod docs;
mod email;
mod faults;
mod logs;
mod reload;
mod security;
mod simulation;
mod web;
mod webhook;
mod poller;
mod api_client;
mod background;
mod store;
mod dispatcher;
mod crash;
mod layers;
