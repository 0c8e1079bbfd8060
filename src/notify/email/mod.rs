//! E-mail: one mail to one recipient in one SMTP session.

pub mod mailer;
mod letter;
mod news;
mod notice;
mod message;
mod session;
mod reply;
mod wire;
