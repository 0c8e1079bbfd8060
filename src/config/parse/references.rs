//! The names that avatars and the discovery refer to: channels and accounts.
//!
//! A name is compared with what stands in the file, good or bad, so that a channel with a problem
//! causes no second one where it is named.

use std::time::Duration;

use crate::config::parse::document::Location;
use crate::config::parse::field::{Field, Table, shown};
use crate::config::schema::keys::{join, listed, nearest};
use crate::config::sections::account;
use crate::domain::account::AccountName;
use crate::domain::delivery::channel::ChannelName;

/// What can be referred to, and what holds where nothing is.
#[derive(Debug, Default)]
pub(in crate::config) struct References<'r> {
    /// `None` when they are not known, and then nothing is compared with them.
    channels: Option<Vec<&'r str>>,
    /// `None` when they are not known, and then nothing is compared with them.
    accounts: Option<Vec<&'r str>>,
    /// How long a training may last; `None` is for ever.
    pub(in crate::config) overdue_after: Option<Duration>,
}

impl<'r> References<'r> {
    /// The names in a config; in a damaged one they are not known.
    pub(in crate::config) fn of(root: &Table<'r>, overdue_after: Option<Duration>) -> Self {
        if root.reader.is_damaged() {
            return Self::default();
        }
        Self { channels: root.names("channels"), accounts: account::names(root), overdue_after }
    }

    /// Reads whom to tell; an empty list is odd.
    pub(in crate::config) fn channels(&self, field: &Field<'_>) -> Option<Vec<ChannelName>> {
        let told = field.distinct(|element| self.channel(element))?;
        if told.is_empty() {
            let help = "leave the key out to tell every channel";
            field.reader.warning(&field.place, "is empty, so nobody is told", help);
        }
        Some(told)
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
            // A bad name has been told where it stands.
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

    /// All accounts, as far as their names are good.
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

/// Names that are listed at most.
const NAMES_MAX: usize = 20;
