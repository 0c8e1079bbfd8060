//! `tags` of avatars, accounts and discovery.

use std::collections::BTreeSet;

use crate::config::parse::field::{Field, Table};
use crate::domain::routing::tag::Tag;

/// Reads the `tags` of a table; none when it has no such key.
pub(in crate::config) fn tags(table: &Table<'_>) -> Option<BTreeSet<Tag>> {
    let tags = table.or("tags", Vec::new(), |field| field.distinct(tag))?;
    Some(tags.into_iter().collect())
}

pub(in crate::config) fn tag(field: &Field<'_>) -> Option<Tag> {
    field.valid(Tag::parse(field.text()?), "is not a tag")
}
