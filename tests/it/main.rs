//! The tests that need more than one room: real sockets, real files, the real program.

#![expect(clippy::unwrap_used, reason = "a test that cannot set up its world has failed")]

mod harness;

mod argil_client;
mod cli;
mod delivering;
mod email;
mod mail;
mod outcomes;
mod pacing;
mod polling;
mod reload;
mod restart;
mod simulation;
mod tidy;
mod webhook;
