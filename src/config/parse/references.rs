//! The names that avatars and discovery refer to: channels and accounts. A name is compared with
//! the names in the file, valid or not, so that an invalid channel is reported once.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::parse::field::{Field, Table, shown};
use crate::config::schema::keys::{listed, nearest};
use crate::config::sections::account;
use crate::domain::account::AccountName;
use crate::domain::delivery::channel_name::ChannelName;
use crate::domain::polling::overdue::OverdueAfter;
use crate::domain::routing::filter::ChannelFilter;
use crate::domain::routing::tag::Tag;

/// The names of channels and accounts, and the default of `overdue_after`.
#[derive(Debug, Default)]
pub(in crate::config) struct References<'r> {
    /// `None` when they are not known, and then nothing is compared with them.
    channels: Option<Vec<&'r str>>,
    /// `None` when they are not known, and then nothing is compared with them.
    accounts: Option<Vec<&'r str>>,
    /// The default of an avatar's `overdue_after`.
    pub(in crate::config) overdue_after: OverdueAfter,
    /// The `only` of each channel that has one, as far as it can be read.
    pub(in crate::config) filters: BTreeMap<ChannelName, ChannelFilter>,
    /// The tags of each account, as far as they can be read.
    pub(in crate::config) account_tags: BTreeMap<AccountName, BTreeSet<Tag>>,
}

impl<'r> References<'r> {
    /// The names in a config; unknown if the file has syntax errors.
    pub(in crate::config) fn of(root: &Table<'r>, overdue_after: OverdueAfter) -> Self {
        if root.reader.is_damaged() {
            return Self::default();
        }
        let (channels, accounts) = (root.names("channels"), account::names(root));
        Self { channels, accounts, overdue_after, ..Self::default() }
    }

    /// Reads the channels to notify.
    pub(in crate::config) fn channels(&self, field: &Field<'_>) -> Option<Vec<ChannelName>> {
        field.distinct(|element| {
            existing(element, "channel", self.channels.as_deref(), ChannelName::parse)
        })
    }

    pub(in crate::config) fn account(&self, field: &Field<'_>) -> Option<AccountName> {
        existing(field, "account", self.accounts.as_deref(), AccountName::parse)
    }

    /// The account of an avatar that names none.
    pub(in crate::config) fn default_account(&self, avatar: &Table<'_>) -> Option<AccountName> {
        match self.accounts.as_deref() {
            None | Some([]) => Some(AccountName::default()),
            Some(names) if names.contains(&AccountName::DEFAULT) => Some(AccountName::default()),
            // An invalid name has already been reported.
            Some([name]) => AccountName::parse(name).ok(),
            Some(names) => {
                let help = format!(
                    "write `account = \"…\"`, since there is no `[argil]`; there are: {}",
                    all(names)
                );
                avatar.reader.missing(&avatar.place.below("account"), "is missing", Some(help));
                None
            }
        }
    }

    /// The same name, with the text that all avatars of the account share.
    pub(in crate::config) fn shared(&self, account: AccountName) -> AccountName {
        let known = self.account_tags.get_key_value(&account);
        known.map(|(name, _)| name.clone()).unwrap_or(account)
    }

    pub(in crate::config) fn all_accounts(&self) -> Vec<AccountName> {
        let names = self.accounts.iter().flatten();
        names.filter_map(|name| AccountName::parse(name).ok()).collect()
    }
}

/// Reads the name of an account or a channel that exists.
fn existing<T, E>(
    field: &Field<'_>,
    noun: &str,
    names: Option<&[&str]>,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Option<T> {
    let text = field.text()?;
    if let (Ok(name), true) = (parse(text), names.is_none_or(|names| names.contains(&text))) {
        return Some(name);
    }
    let names = names.unwrap_or_default();
    let help = match nearest(text, names) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("write a `[{noun}s.…]` of that name; there are: {}", all(names)),
    };
    let message = format!("names the {noun} `{}`, which does not exist", shown(text));
    field.reader.missing(&field.place, message, Some(help));
    None
}

fn all(names: &[&str]) -> String {
    let shown: Vec<String> = names.iter().take(NAMES_MAX).map(|name| shown(name)).collect();
    listed(&shown.iter().map(String::as_str).collect::<Vec<_>>())
}

const NAMES_MAX: usize = 20;
