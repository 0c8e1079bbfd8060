//! The formats of webhook bodies, and the classification of responses in each. Pure.

pub mod standard;
mod cloudevents;
mod slack;
mod discord;
mod teams;
mod ntfy;
pub mod template;
mod template_bounds;
pub mod schema;
pub mod kind;
mod truncate;
mod chat_message;
mod chat_response;
pub mod samples;
