//! `[discover]`: watching avatars that are not configured.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::config::parse::duration::{self, LONGEST};
use crate::config::parse::field::Table;
use crate::config::parse::references::References;
use crate::config::parse::tags;
use crate::config::schema::keys::DISCOVER;
use crate::config::sections::poll;
use crate::config::settings::DiscoverSettings;

/// Reads `[discover]`; `Some(None)` when it is disabled.
pub(in crate::config) fn read(
    root: &Table<'_>,
    names: &References<'_>,
) -> Option<Option<DiscoverSettings>> {
    let discover = root.section(DISCOVER.path, &DISCOVER)?;
    let enabled = discover.or("enabled", false, |field| field.flag());
    let every = discover.or("every", EVERY, |field| duration::read(field, &EVERY_RANGE));
    let accounts = discover.optional("accounts", |field| {
        let accounts = field.distinct(|element| names.account(element))?;
        field.not_empty(accounts, "remove the key to list every account")
    });
    let tags = tags::tags(&discover);
    let channels = discover.optional("channels", |field| names.channels(field));
    let overdue_after = poll::overdue_after(&discover, names.overdue_after);
    if root.field(DISCOVER.path).is_some() && discover.field("enabled").is_none() {
        let message = "has no `enabled = true`, so nothing is discovered";
        discover.reader.warning(&discover.place, message, "write `enabled = true` or `false`");
    }
    let settings = DiscoverSettings {
        every: every?,
        accounts: accounts?.unwrap_or_else(|| names.all_accounts()),
        tags: tags?,
        channels: channels?,
        overdue_after: overdue_after?,
    };
    Some(enabled?.then_some(settings))
}

const EVERY: Duration = Duration::from_secs(300);
const EVERY_RANGE: RangeInclusive<Duration> = Duration::from_secs(10)..=LONGEST;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file::tests::{self, check_added};
    use crate::config::settings::Settings;
    use crate::domain::polling::overdue::OverdueAfter;

    fn settings(text: &str) -> Settings {
        tests::settings(&format!("accounts.studio.api_key = 'other'\n{text}"))
    }

    #[test]
    fn nothing_is_discovered_unless_it_is_said() {
        assert_eq!(settings("").discover, None);
        assert_eq!(settings("[discover]\nenabled = false\nevery = '1m'").discover, None);
        check_added(
            "[discover]\nevery = '1m'",
            "config.toml:2: `discover` has no `enabled = true`, so nothing is discovered\n  \
             help: write `enabled = true` or `false`",
        );
        check_added(
            "discover.enabled = false\ndiscover.every = '1ms'\ndiscover.accounts = []",
            "config.toml:3: `discover.every` is `1ms`\n  \
             help: write a duration from `10s` to `30days`\n\
             config.toml:4: `discover.accounts` is an empty list\n  \
             help: remove the key to list every account",
        );
    }

    #[test]
    fn discovery_lists_every_account_and_notifies_every_channel() {
        let found = settings("[discover]\nenabled = true\n[poll]\noverdue_after = 'never'");
        let discover = found.discover.unwrap();
        let accounts: Vec<_> = discover.accounts.iter().map(ToString::to_string).collect();
        assert_eq!(accounts, ["argil", "studio"]);
        assert_eq!((discover.every, discover.channels), (Duration::from_mins(5), None));
        assert_eq!(discover.overdue_after, OverdueAfter::Never);
        let [warning] = found.warnings.try_into().unwrap();
        assert_eq!(warning.key, "channels", "avatars need not be configured");
        let one = settings("[discover]\nenabled = true\naccounts = ['studio']").discover.unwrap();
        assert_eq!(one.accounts.len(), 1);
        assert_eq!(one.overdue_after, OverdueAfter::default());
    }
}
