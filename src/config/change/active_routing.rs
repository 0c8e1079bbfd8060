//! How the active config routes events, from its snapshot.

use crate::config::change::snapshot::{ConfigSnapshot, Keys};
use crate::domain::account::AccountName;
use crate::domain::delivery::channel_name::ChannelName;
use crate::domain::event::EventKind;
use crate::domain::routing::facts::AvatarRouting;
use crate::domain::routing::filter::{ChannelFilter, FilterKey};
use crate::domain::routing::pattern::Pattern;
use crate::domain::routing::subscription::ChannelRouting;
use crate::domain::routing::table::RoutingTable;
use crate::domain::routing::tag::Tag;

pub(crate) fn table(active: &ConfigSnapshot) -> RoutingTable {
    let channels = active.named("channels");
    let channels =
        channels.filter_map(|(name, keys)| Some((ChannelName::parse(name).ok()?, channel(keys))));
    let discover = active.sections.get("discover");
    let accounts = discover.into_iter().flat_map(|keys| {
        let names = words(keys, "accounts").filter_map(|name| AccountName::parse(name).ok());
        names.map(move |name| (name.clone(), avatar(active, name, keys)))
    });
    RoutingTable { channels: channels.collect(), discovered: accounts.collect() }
}

/// What it says of an avatar, or of discovered ones, with these keys.
pub(in crate::config) fn avatar(
    active: &ConfigSnapshot,
    account: AccountName,
    keys: &Keys,
) -> AvatarRouting {
    let of_account = active.sections.get(&format!("accounts.{account}"));
    let tags = [Some(keys), of_account].into_iter().flatten();
    let tags = tags.flat_map(|keys| words(keys, "tags")).filter_map(|tag| Tag::parse(tag).ok());
    let channels = words(keys, "channels").filter_map(|name| ChannelName::parse(name).ok());
    let channels = keys.contains_key("channels").then(|| channels.collect());
    AvatarRouting { account, tags: tags.collect(), channels }
}

fn channel(keys: &Keys) -> ChannelRouting {
    let event = |word: &str| EventKind::SELECTABLE.into_iter().find(|kind| kind.name() == word);
    ChannelRouting {
        events: words(keys, "events").filter_map(event).collect(),
        operator: keys.get("operator").is_some_and(|flag| flag == "true"),
        only: filter(keys),
    }
}

fn filter(keys: &Keys) -> ChannelFilter {
    let list = |key: FilterKey| -> Vec<String> {
        let text = keys.get(&format!("only.{}", key.name()));
        text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    };
    let patterns = |key| list(key).iter().filter_map(|it| Pattern::parse(it).ok()).collect();
    let accounts = list(FilterKey::Accounts);
    ChannelFilter {
        tags: list(FilterKey::Tags).iter().filter_map(|it| Tag::parse(it).ok()).collect(),
        accounts: accounts.iter().filter_map(|it| AccountName::parse(it).ok()).collect(),
        models: patterns(FilterKey::Models),
        names: patterns(FilterKey::Names),
    }
}

/// The words of a list in a snapshot; none contains a comma.
fn words<'k>(keys: &'k Keys, key: &str) -> impl Iterator<Item = &'k str> {
    let text = keys.get(key).map(String::as_str).unwrap_or_default();
    text.split(", ").filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::change::active;
    use crate::config::file::PartialConfig;
    use crate::config::file::tests::settings;

    #[test]
    fn the_snapshot_routes_as_the_settings_do() {
        let settings = settings(
            "argil.tags = ['main']\n[discover]\nenabled = true\ntags = ['found']\n\
             channels = ['ops']\n[[avatars]]\nid = 'a1'\ntags = ['Spanish', 'vip']\n\
             channels = ['chat', 'ops']\n[[avatars]]\nid = 'a2'\nchannels = []\n\
             [[avatars]]\nid = 'a3'\n\
             [channels.ops]\ntype = 'slack'\nurl = 'https://example.com'\noperator = true\n\
             events = []\n\
             [channels.chat]\ntype = 'slack'\nurl = 'https://example.com/2'\n\
             only = { tags = ['spanish'], accounts = 'argil', models = ['*, \"x\"', 'B'], \
             names = ['Jane, *'] }\n",
        );
        let kept = ConfigSnapshot::text_of(&settings);
        let active = ConfigSnapshot::from_text(&kept).unwrap();
        let found = active::partial(&PartialConfig::default(), &active);
        let channels = settings.channels.iter().map(|(name, it)| {
            let mut routing = it.routing();
            // A snapshot keeps no order.
            routing.events.sort_by_key(|kind| kind.name());
            (name.clone(), routing)
        });
        let expected = RoutingTable {
            channels: channels.collect(),
            discovered: settings.discovered_routing(),
        };
        assert_eq!(found.routing, expected);
        let avatars = found.avatars.unwrap();
        for avatar in &settings.avatars {
            assert_eq!(avatars[&avatar.id].routing, settings.routing(avatar));
        }
    }
}
