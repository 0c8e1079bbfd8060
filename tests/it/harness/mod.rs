//! The other sides that tests talk to: real sockets on `127.0.0.1`, scripted, and gone when
//! dropped. Nothing here sleeps and hopes: whoever waits, waits for a fact, with a limit.

pub(crate) mod webhook;
pub(crate) mod smtp;
pub(crate) mod news;
