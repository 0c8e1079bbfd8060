//! The other side of every wire: servers on `127.0.0.1` that do as a test says, well or badly.

pub(crate) mod argil;
