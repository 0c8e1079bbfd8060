//! E-mail: one mail to one recipient in one SMTP session.

pub mod mailer;

mod message;
mod session;
mod reply;
mod wire;
