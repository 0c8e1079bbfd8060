//! The formats of webhook bodies, and the classification of responses in each. Pure.

pub mod standard;
mod cloudevents;
pub mod template;
mod template_bounds;
pub mod schema;
pub mod kind;
mod truncate;
pub mod samples;
pub mod chat;
