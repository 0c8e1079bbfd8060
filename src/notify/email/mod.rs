//! E-mail: one mail to one recipient, by way of a mail server, a program or a folder.

pub mod spec;
pub mod mailer;

mod message;
mod session;
mod login;
mod reply;
mod smtp_stream;
mod smtp_tls;
mod smtp_reply;
mod smtp_offers;
mod smtp_data;
mod smtp_parameters;
mod sendmail;
mod program;
mod folder;
