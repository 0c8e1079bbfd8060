//! The tests that need more than one room: real sockets, real files, the real program.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails, also in a helper")]

mod harness;

mod email;
mod mail;
mod webhook;
