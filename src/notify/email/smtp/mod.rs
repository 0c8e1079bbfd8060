//! An SMTP client (RFC 5321) that tolerates the replies of real servers: one recipient per
//! transaction. `lettre` is not used here; it only builds messages.

pub mod error;
pub mod session;
pub mod stream;
pub mod dot_stuffing;
pub mod extensions;
pub mod parameters;
pub mod reply;
pub mod tls;
