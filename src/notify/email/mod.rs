//! E-mail: one mail to one recipient, by a mail server, a program or into a folder.

mod message;
mod sendmail;
mod file_transport;
mod auth;
pub mod channel;
pub mod smtp;
pub mod config;
