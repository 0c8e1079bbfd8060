//! `[[avatars]]`: the avatars to watch, each with the channels to notify.

use std::collections::HashMap;
use std::sync::Arc;

use toml::de::DeValue;

use crate::config::parse::avatar_id::{self, NoAvatarId};
use crate::config::parse::field::{Field, Table, shown};
use crate::config::parse::references::References;
use crate::config::parse::tags;
use crate::config::schema::keys::AVATAR;
use crate::config::sections::poll;
use crate::config::settings::AvatarSettings;
use crate::domain::avatar::AvatarId;
use crate::domain::avatar::status::Status;
use crate::domain::config_origin::ConfigOrigin;
use crate::domain::routing::facts::AvatarRouting;

/// The avatars that were read from all files: no id twice.
#[derive(Debug)]
pub(in crate::config) struct Registry<'n> {
    names: References<'n>,
    seen: HashMap<String, ConfigOrigin>,
}

impl<'n> Registry<'n> {
    pub(in crate::config) fn new(names: References<'n>) -> Self {
        Self { names, seen: HashMap::new() }
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
        let tags = tags::tags(&table);
        let channels = table.optional("channels", |field| self.names.channels(field));
        let assume = table.optional("assume", |field| {
            field.one_of(&Status::DOCUMENTED.map(|name| (name, Status::from_name(name))))
        });
        let account = match table.field("account") {
            Some(field) => self.names.account(&field),
            None => self.names.default_account(&table),
        };
        let account = account.map(|account| self.names.shared(account));
        let overdue_after = poll::overdue_after(&table, self.names.overdue_after);
        let avatar = AvatarSettings {
            id: id?,
            name: name?,
            tags: tags?,
            channels: channels?,
            assume: assume?,
            account: account?,
            overdue_after: overdue_after?,
            location: origin(field),
        };
        self.check_channels(&table, &avatar).then_some(avatar)
    }

    /// Reports the named channels that are not for the avatar, whatever a poll shows.
    fn check_channels(&self, table: &Table<'_>, avatar: &AvatarSettings) -> bool {
        let (Some(channels), Some(field)) = (&avatar.channels, table.field("channels")) else {
            return true;
        };
        let of_account = self.names.account_tags.get(&avatar.account).into_iter().flatten();
        let routing = AvatarRouting {
            account: avatar.account.clone(),
            tags: avatar.tags.iter().chain(of_account).cloned().collect(),
            channels: None,
        };
        let facts = routing.facts(avatar.name.as_deref(), None);
        let exclusion = |name| self.names.filters.get(name)?.exclusion(&facts);
        let elements = field.elements().unwrap_or_default();
        let mut is_good = true;
        for (element, name) in elements.iter().zip(channels) {
            if let Some(exclusion) = exclusion(name) {
                let message = format!("names the channel `{name}`, which is not for this avatar");
                let help = format!("it is {exclusion}; remove it here, or change its `only`");
                element.invalid::<()>(message, help);
                is_good = false;
            }
        }
        is_good
    }

    fn once(&mut self, field: &Field<'_>, id: AvatarId) -> Option<AvatarId> {
        let folded = id.as_str().to_ascii_lowercase();
        if let Some(first) = self.seen.get(&folded) {
            let place = match first {
                ConfigOrigin { file, line } if **file == *field.reader.path => {
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
    ConfigOrigin { file: Arc::clone(&field.reader.file), line: field.reader.line(start) }
}
