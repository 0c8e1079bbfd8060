//! `[[avatars]]`: the avatars to watch, each with the channels to notify.

use std::collections::BTreeMap;

use toml::de::DeValue;

use crate::config::parse::avatar_id::{self, NoAvatarId};
use crate::config::parse::field::{Field, Table, shown};
use crate::config::parse::references::References;
use crate::config::schema::keys::AVATAR;
use crate::config::sections::poll;
use crate::config::settings::{AvatarSettings, ConfigOrigin};
use crate::domain::avatar::AvatarId;
use crate::domain::avatar::status::Status;

/// The avatars that were read from all files: no id twice.
#[derive(Debug)]
pub(in crate::config) struct Registry<'n> {
    names: References<'n>,
    seen: BTreeMap<String, ConfigOrigin>,
}

impl<'n> Registry<'n> {
    pub(in crate::config) fn new(names: References<'n>) -> Self {
        Self { names, seen: BTreeMap::new() }
    }

    pub(in crate::config) fn read(&mut self, root: &Table<'_>) -> Option<Vec<AvatarSettings>> {
        let Some(field) = root.field(AVATAR.path) else { return Some(Vec::new()) };
        if matches!(field.value, DeValue::Table(_)) {
            return field.invalid(
                "is a single table, but must be a list of tables",
                "write `[[avatars]]`, with two brackets",
            );
        }
        let read: Vec<_> = field
            .elements()?
            .into_iter()
            .map(|mut element| {
                element.place.key.clone_from(&field.place.key);
                self.read_one(&element)
            })
            .collect();
        read.into_iter().collect()
    }

    fn read_one(&mut self, field: &Field<'_>) -> Option<AvatarSettings> {
        let table = field.table()?;
        table.check_keys(&AVATAR);
        let id = table.required("id", "write `id = \"…\"`", |field| {
            let text = field.text()?;
            match avatar_id::read(text) {
                Ok(id) => self.once(field, id),
                Err(NoAvatarId { message, help }) => {
                    field.invalid(format!("is `{}`, which {message}", shown(text)), help)
                }
            }
        });
        let name = table.optional("name", |field| field.text().map(str::to_owned));
        let channels = table.optional("channels", |field| self.names.channels(field));
        let documented = Status::DOCUMENTED.map(|name| (name, Status::from_name(name)));
        let assume = table.optional("assume", |field| field.one_of(&documented));
        let account = match table.field("account") {
            Some(field) => self.names.account(&field),
            None => self.names.default_account(&table),
        };
        let overdue_after = poll::overdue_after(&table, self.names.overdue_after);
        Some(AvatarSettings {
            id: id?,
            name: name?,
            channels: channels?,
            assume: assume?,
            account: account?,
            overdue_after: overdue_after?,
            location: origin(field),
        })
    }

    fn once(&mut self, field: &Field<'_>, id: AvatarId) -> Option<AvatarId> {
        let folded = id.as_str().to_ascii_lowercase();
        if let Some(first) = self.seen.get(&folded) {
            let place = match first {
                ConfigOrigin { file, line } if file == field.reader.path => {
                    format!("in line {line}")
                }
                elsewhere => format!("in `{elsewhere}`"),
            };
            return field.invalid(
                format!("is `{}`, which is already configured {place}", shown(id.as_str())),
                "remove one of them",
            );
        }
        self.seen.insert(folded, origin(field));
        Some(id)
    }
}

fn origin(field: &Field<'_>) -> ConfigOrigin {
    let start = field.place.span.as_ref().map_or(0, |span| span.start);
    ConfigOrigin { file: field.reader.path.to_owned(), line: field.reader.line(start) }
}
