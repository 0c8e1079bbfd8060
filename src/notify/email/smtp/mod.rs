//! An SMTP session of our own (RFC 5321): replies as servers send them, one recipient a
//! transaction. `lettre` writes messages and nothing here.

pub mod error;
pub mod session;
pub mod stream;
pub mod data;
pub mod extensions;
pub mod parameters;
pub mod reply;
pub mod tls;
