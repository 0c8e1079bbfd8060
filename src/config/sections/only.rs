//! `only` of a channel: the avatars that the channel is for.

use std::collections::BTreeSet;

use crate::config::parse::field::{Field, Table};
use crate::config::parse::references::References;
use crate::config::parse::tags::tag;
use crate::config::schema::keys::{ONLY, nearest};
use crate::domain::routing::filter::ChannelFilter;
use crate::domain::routing::pattern::Pattern;
use crate::domain::routing::tag::Tag;

/// Reads the `only` of a channel; it accepts every avatar when there is none.
pub(in crate::config) fn read(
    channel: &Table<'_>,
    names: &References<'_>,
) -> Option<ChannelFilter> {
    let Some(field) = channel.field("only") else { return Some(ChannelFilter::default()) };
    let only = field.table()?;
    only.check_keys(&ONLY);
    if only.fields().is_empty() {
        return field.invalid("is empty", "remove it for every avatar, or write `tags = [\"…\"]`");
    }
    let tags = list(&only, "tags", tag);
    let accounts = list(&only, "accounts", |field| names.account(field));
    let models = list(&only, "models", pattern);
    let names = list(&only, "names", pattern);
    Some(ChannelFilter { tags: tags?, accounts: accounts?, models: models?, names: names? })
}

/// Warns about the tags of every `only` that no avatar can have.
pub(in crate::config) fn warn_of_unknown_tags(root: &Table<'_>, known: &BTreeSet<Tag>) {
    let known_words: Vec<&str> = known.iter().map(Tag::as_str).collect();
    let channels = root.field("channels").and_then(|field| field.table());
    for (_, channel) in channels.iter().flat_map(Table::fields) {
        let only = channel.table().and_then(|channel| channel.field("only"));
        let tags = only.and_then(|only| only.table()?.field("tags"));
        for field in tags.iter().filter_map(|tags| values(tags)).flatten() {
            let Some(tag) = field.text().and_then(|text| Tag::parse(text).ok()) else { continue };
            if known.contains(&tag) {
                continue;
            }
            let help = match nearest(tag.as_str(), &known_words) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "write `tags = [\"…\"]` in avatars, accounts or `[discover]`".to_owned(),
            };
            field.warning(format!("is `{tag}`, a tag that no avatar has"), &help);
        }
    }
}

/// A list of at least one value, or one value.
fn list<T: PartialEq>(
    only: &Table<'_>,
    key: &str,
    read: impl Fn(&Field<'_>) -> Option<T>,
) -> Option<Vec<T>> {
    only.or(key, Vec::new(), |field| {
        if field.is_text() {
            return Some(vec![read(field)?]);
        }
        field.not_empty(field.distinct(read)?, "remove the key, or write what it is for")
    })
}

fn values<'r>(field: &Field<'r>) -> Option<Vec<Field<'r>>> {
    if field.is_text() { Some(vec![field.clone()]) } else { field.elements() }
}

fn pattern(field: &Field<'_>) -> Option<Pattern> {
    field.valid(Pattern::parse(field.text()?), "is not a pattern")
}

#[cfg(test)]
#[path = "only_tests.rs"]
mod tests;
