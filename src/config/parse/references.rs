//! The names that avatars and discovery refer to: channels and accounts. A name is compared with
//! the names in the file, valid or not, so that an invalid channel is reported once.

use std::time::Duration;

use crate::config::parse::document::Location;
use crate::config::parse::field::{Field, Table, shown};
use crate::config::schema::keys::{join, listed, nearest};
use crate::config::sections::account;
use crate::domain::account::AccountName;
use crate::domain::delivery::channel::ChannelName;

/// The names of channels and accounts, and the default of `overdue_after`.
#[derive(Debug, Default)]
pub(in crate::config) struct References<'r> {
    /// `None` when they are not known, and then nothing is compared with them.
    channels: Option<Vec<&'r str>>,
    /// `None` when they are not known, and then nothing is compared with them.
    accounts: Option<Vec<&'r str>>,
    /// The maximum duration of a training; `None` is unlimited.
    pub(in crate::config) overdue_after: Option<Duration>,
}

impl<'r> References<'r> {
    /// The names in a config; unknown if the file has syntax errors.
    pub(in crate::config) fn of(root: &Table<'r>, overdue_after: Option<Duration>) -> Self {
        if root.reader.is_damaged() {
            return Self::default();
        }
        Self { channels: root.names("channels"), accounts: account::names(root), overdue_after }
    }

    /// Reads the channels to notify; warns about an empty list.
    pub(in crate::config) fn channels(&self, field: &Field<'_>) -> Option<Vec<ChannelName>> {
        let channels = field.distinct(|element| self.channel(element))?;
        if channels.is_empty() {
            let help = "remove the key to notify every channel";
            field.reader.warning(&field.place, "is empty, so no notifications are sent", help);
        }
        Some(channels)
    }

    /// Reads an account that exists.
    pub(in crate::config) fn account(&self, field: &Field<'_>) -> Option<AccountName> {
        let text = field.text()?;
        let name = AccountName::parse(text).ok();
        if let (Some(name), true) = (name, knows(self.accounts.as_deref(), text)) {
            return Some(name);
        }
        let names = self.accounts.as_deref().unwrap_or_default();
        absent(field, "account", "accounts", text, names)
    }

    /// The account of an avatar that names none.
    pub(in crate::config) fn default_account(&self, avatar: &Table<'_>) -> Option<AccountName> {
        match self.accounts.as_deref() {
            None | Some([]) => Some(AccountName::default()),
            Some(names) if names.contains(&AccountName::DEFAULT) => Some(AccountName::default()),
            // An invalid name has already been reported.
            Some([name]) => AccountName::parse(name).ok(),
            Some(names) => {
                let key = join(&avatar.place.key, "account");
                let place = Location { key, span: avatar.place.span.clone() };
                let help = format!(
                    "write `account = \"…\"`, since there is no `[argil]`; there are: {}",
                    all(names)
                );
                avatar.reader.missing(&place, "is missing", Some(help));
                None
            }
        }
    }

    /// All accounts with a valid name.
    pub(in crate::config) fn all_accounts(&self) -> Vec<AccountName> {
        let names = self.accounts.iter().flatten();
        names.filter_map(|name| AccountName::parse(name).ok()).collect()
    }

    fn channel(&self, field: &Field<'_>) -> Option<ChannelName> {
        let text = field.text()?;
        let name = ChannelName::parse(text).ok();
        if let (Some(name), true) = (name, knows(self.channels.as_deref(), text)) {
            return Some(name);
        }
        let names = self.channels.as_deref().unwrap_or_default();
        absent(field, "channel", "channels", text, names)
    }
}

fn knows(names: Option<&[&str]>, text: &str) -> bool {
    names.is_none_or(|names| names.contains(&text))
}

fn absent<T>(field: &Field<'_>, noun: &str, table: &str, text: &str, names: &[&str]) -> Option<T> {
    let help = match nearest(text, names) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("write a `[{table}.…]` of that name; there are: {}", all(names)),
    };
    let message = format!("names the {noun} `{}`, which does not exist", shown(text));
    field.reader.missing(&field.place, message, Some(help));
    None
}

fn all(names: &[&str]) -> String {
    let shown: Vec<String> = names.iter().take(NAMES_MAX).map(|name| shown(name)).collect();
    listed(&shown.iter().map(String::as_str).collect::<Vec<_>>())
}

/// The maximum number of names in a message.
const NAMES_MAX: usize = 20;
