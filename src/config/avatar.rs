//! `[[avatars]]`: whom to watch, and whom to tell about each.

use std::collections::BTreeMap;

use toml::de::DeValue;

use crate::config::field::{Field, shown};
use crate::config::reader::{Place, Table};
use crate::config::schema::{AVATAR, listed, nearest};
use crate::config::settings::AvatarSettings;
use crate::domain::avatar::AvatarId;
use crate::domain::channel::ChannelName;
use crate::domain::status::Status;

/// Reads all avatars, in the order of the file. `channels` are the names that can be told;
/// `None` when they are not known, and then they are not compared.
pub(super) fn read(root: &Table<'_>, channels: Option<&[&str]>) -> Option<Vec<AvatarSettings>> {
    let Some(field) = root.field("avatars") else {
        return warn_of_none(root);
    };
    if matches!(field.value, DeValue::Table(_)) {
        return field.wrong(
            "is a single table, and must be a list of them",
            "write `[[avatars]]`, with two brackets",
        );
    }
    let elements = field.elements()?;
    if elements.is_empty() {
        return warn_of_none(root);
    }
    let mut seen = BTreeMap::new();
    let read: Vec<_> = elements
        .into_iter()
        .map(|mut element| {
            element.place.key.clone_from(&field.place.key);
            read_one(&element, channels, &mut seen)
        })
        .collect();
    read.into_iter().collect()
}

fn read_one(
    field: &Field<'_>,
    channels: Option<&[&str]>,
    seen: &mut BTreeMap<String, usize>,
) -> Option<AvatarSettings> {
    let table = field.table()?;
    table.check_keys(&AVATAR);
    let id = table.required("id", "write `id = \"…\"`", |field| {
        let id = field.parsed("avatar id", AvatarId::parse)?;
        once(field, id, seen)
    });
    let name = table.optional("name", |field| field.text().map(str::to_owned));
    let told = table.optional("channels", |field| {
        let told = field.distinct(|element| channel(element, channels))?;
        if told.is_empty() {
            let help = "leave the key out to tell every channel";
            field.reader.warning(&field.place, "is empty, so nobody is told", help);
        }
        Some(told)
    });
    let documented = Status::DOCUMENTED.map(|name| (name, Status::from_name(name)));
    let assume = table.optional("assume", |field| field.one_of(&documented));
    let start = field.place.span.as_ref().map_or(0, |span| span.start);
    Some(AvatarSettings {
        id: id?,
        name: name?,
        channels: told?,
        assume: assume?,
        line: field.reader.line(start),
    })
}

fn once(field: &Field<'_>, id: AvatarId, seen: &mut BTreeMap<String, usize>) -> Option<AvatarId> {
    let folded = id.as_str().to_ascii_lowercase();
    if let Some(line) = seen.get(&folded) {
        return field.wrong(
            format!("is `{}`, which is registered in line {line} already", shown(id.as_str())),
            "take one of them out",
        );
    }
    let start = field.place.span.as_ref().map_or(0, |span| span.start);
    seen.insert(folded, field.reader.line(start));
    Some(id)
}

fn channel(field: &Field<'_>, channels: Option<&[&str]>) -> Option<ChannelName> {
    let text = field.text()?;
    let name = ChannelName::parse(text).ok();
    let known = channels.is_none_or(|channels| channels.contains(&text));
    if let (Some(name), true) = (name, known) {
        return Some(name);
    }
    let names = channels.unwrap_or_default();
    let help = match nearest(text, names) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("write a `[channels.…]` of that name; there are: {}", all(names)),
    };
    let message = format!("names the channel `{}`, which does not exist", shown(text));
    field.reader.absence(&field.place, message, Some(help));
    None
}

fn all(names: &[&str]) -> String {
    let shown: Vec<String> = names.iter().take(NAMES_MAX).map(|name| shown(name)).collect();
    listed(&shown.iter().map(String::as_str).collect::<Vec<_>>())
}

fn warn_of_none(root: &Table<'_>) -> Option<Vec<AvatarSettings>> {
    let place = Place { key: "avatars".to_owned(), span: None };
    let help = "add `[[avatars]]` with an `id`";
    root.reader.warning(&place, "is empty, so nothing is watched", help);
    Some(Vec::new())
}

/// Names of channels that are listed at most.
const NAMES_MAX: usize = 20;
