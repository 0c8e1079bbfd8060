//! The active config of a daemon, from the snapshot in its database, and how the file differs from
//! it. The file may be half saved or not reloaded yet, so the active config decides.

use std::net::SocketAddr;

use crate::config::change::active_routing;
use crate::config::change::diff::{ChangeKind, ConfigChange, KeyChange, diff};
use crate::config::change::snapshot::{ConfigSnapshot, Keys};
use crate::config::file::{PartialConfig, RegisteredAvatar};
use crate::config::settings::Settings;
use crate::domain::account::AccountName;
use crate::domain::avatar::AvatarId;

/// Whether a config has any avatars, given or discovered, and any channels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    watches: bool,
    has_channels: bool,
}

impl From<&ConfigSnapshot> for Extent {
    fn from(it: &ConfigSnapshot) -> Self {
        Self {
            watches: it.named("avatars").next().is_some() || it.sections.contains_key("discover"),
            has_channels: it.named("channels").next().is_some(),
        }
    }
}

impl From<&Settings> for Extent {
    fn from(it: &Settings) -> Self {
        let watches = !it.avatars.is_empty() || it.discover.is_some();
        Self { watches, has_channels: !it.channels.is_empty() }
    }
}

/// Why a reload from `old` to `new` is refused, if it is: it would remove everything, as half-saved
/// files do.
pub(crate) fn emptied(old: impl Into<Extent>, new: impl Into<Extent>) -> Option<&'static str> {
    let (old, new) = (old.into(), new.into());
    if old.watches && !new.watches {
        return Some(NO_AVATARS);
    }
    (old.has_channels && !new.has_channels).then_some(NO_CHANNELS)
}

/// The partial config with the active values instead of those of the file. `store_path` and
/// `is_readable` stay.
pub(crate) fn partial(file: &PartialConfig, active: &ConfigSnapshot) -> PartialConfig {
    let avatars = active.named("avatars");
    let avatars = avatars
        .filter_map(|(id, keys)| Some((AvatarId::parse(id).ok()?, registered(active, keys))));
    let names = |table| active.named(table).map(|(name, _)| name.to_owned());
    PartialConfig {
        store_path: file.store_path.clone(),
        base_url: file.base_url.clone(),
        is_readable: file.is_readable,
        avatars: Some(avatars.collect()),
        accounts: Some(names("accounts").collect()),
        channels: Some(names("channels").collect()),
        discovers: active.sections.contains_key("discover"),
        routing: active_routing::table(active),
        listen_address: active.sections.get("web").and_then(listen_address),
        refused: file.refused.clone(),
    }
}

fn registered(active: &ConfigSnapshot, keys: &Keys) -> RegisteredAvatar {
    let account = keys.get("account").and_then(|name| AccountName::parse(name).ok());
    let routing = active_routing::avatar(active, account.unwrap_or_default(), keys);
    RegisteredAvatar { name: keys.get("name").cloned(), routing }
}

fn listen_address(keys: &Keys) -> Option<SocketAddr> {
    let listen_address: SocketAddr = keys.get("listen")?.parse().ok()?;
    (listen_address.port() != 0).then_some(listen_address)
}

/// What a reload would change, one line each; its refusal comes first. Secrets are not compared.
pub(crate) fn unreloaded(active: &ConfigSnapshot, settings: &Settings) -> Vec<String> {
    let new = ConfigSnapshot::of(settings);
    let refused =
        emptied(active, settings).map(|emptied| format!("a reload is refused: {emptied}"));
    let changes = diff(active, &new).into_iter().filter_map(without_paths);
    refused.into_iter().chain(changes.map(|change| change.to_string())).collect()
}

/// The same without access to secrets: compares only the avatars and channels that the file names.
pub(crate) fn unreloaded_names(active: &ConfigSnapshot, file: &PartialConfig) -> Vec<String> {
    let (Some(avatars), Some(channels)) = (&file.avatars, &file.channels) else {
        return Vec::new();
    };
    let avatars = avatars.keys().map(|id| format!("avatars.{id}"));
    let new = avatars.chain(channels.iter().map(|name| format!("channels.{name}")));
    let old =
        |table: &'static str| active.named(table).map(move |(name, _)| format!("{table}.{name}"));
    let bare = |names: &mut dyn Iterator<Item = String>| {
        ConfigSnapshot::from_iter(names.map(|name| (name, Keys::new())))
    };
    let (old, new) = (bare(&mut old("avatars").chain(old("channels"))), bare(&mut new.into_iter()));
    diff(&old, &new).iter().map(ToString::to_string).collect()
}

/// The change without paths: the caller may run in another folder than the daemon, and without its
/// variables.
fn without_paths(change: ConfigChange) -> Option<ConfigChange> {
    let ChangeKind::Changed(keys) = change.kind else { return Some(change) };
    let is_path = |key: &str| key == "file.folder" || (change.section == "store" && key == "path");
    let keys: Vec<KeyChange> = keys.into_iter().filter(|it| !is_path(&it.key)).collect();
    (!keys.is_empty())
        .then_some(ConfigChange { section: change.section, kind: ChangeKind::Changed(keys) })
}

const NO_AVATARS: &str = "the config removes all avatars: check that the file is complete; \
                          a restart applies it";
const NO_CHANNELS: &str = "the config removes all channels: check that the file is complete; \
                           a restart applies it";

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::config::file::tests::settings;

    const HOOK: &str = "[channels.ops]\ntype = 'webhook'\nurl = 'https://example.com'\n\
                        format = 'slack'\n";
    const AVATAR: &str = "[[avatars]]\nid = 'a1'\nname = 'Jane'\n";

    fn snapshot(text: &str) -> ConfigSnapshot {
        // As it is kept and read again.
        ConfigSnapshot::from_text(&ConfigSnapshot::text_of(&settings(text))).unwrap()
    }

    #[test]
    fn a_reload_that_removes_everything_is_recognized() {
        let check = |old: &str, new: &str, expected: Option<&str>| {
            assert_eq!(emptied(&snapshot(old), &snapshot(new)), expected, "{old:?} -> {new:?}");
        };
        let both = format!("{HOOK}{AVATAR}");
        let found = "[discover]\nenabled = true\n";
        check(&both, &both, None);
        check(&both, "", Some(NO_AVATARS));
        check(&both, HOOK, Some(NO_AVATARS));
        check(&both, AVATAR, Some(NO_CHANNELS));
        check(HOOK, "", Some(NO_CHANNELS));
        check(&both, &format!("{HOOK}{found}"), None);
        check(&format!("{HOOK}{found}"), HOOK, Some(NO_AVATARS));
        check("", "", None);
        check("", &both, None);
        check(&both, &both.replace("a1", "a2").replace("ops", "other"), None);
    }

    #[test]
    fn the_active_config_is_known_without_the_file() {
        let text = format!("{HOOK}{AVATAR}[web]\nlisten = '127.0.0.1:99'\n");
        let found = partial(&PartialConfig::default(), &snapshot(&text));
        let avatars: Vec<_> = found.avatars.iter().flatten().collect();
        let [(id, registered)] = avatars.as_slice() else { panic!("{avatars:?}") };
        assert_eq!((id.as_str(), registered.name.as_deref()), ("a1", Some("Jane")));
        assert_eq!(registered.routing.account, AccountName::default());
        assert_eq!(found.accounts.as_deref(), Some(&["argil".to_owned()][..]));
        assert_eq!(found.channels, Some(BTreeSet::from(["ops".to_owned()])));
        assert_eq!(found.listen_address, Some("127.0.0.1:99".parse().unwrap()));
        assert!(!found.discovers && !found.is_readable);
        let hidden = partial(&PartialConfig::default(), &snapshot("web.listen = '127.0.0.1:0'"));
        assert_eq!((hidden.listen_address, hidden.avatars), (None, Some(BTreeMap::new())));
    }

    #[test]
    fn pending_changes_are_listed_without_paths() {
        let check = |old: &str, new: &str, expected: &[&str]| {
            assert_eq!(unreloaded(&snapshot(old), &settings(new)), expected);
        };
        check(AVATAR, AVATAR, &[]);
        check("store.path = 'a.db'", "store.path = 'b.db'", &[]);
        check(
            "store.path = 'a.db'",
            "store = { path = 'b.db', keep_deliveries = '30d' }",
            &["the store changed: `keep_deliveries` from `90d` to `30d`"],
        );
        let refused = format!("a reload is refused: {NO_AVATARS}");
        check(AVATAR, "", &[&refused, "avatar `a1` \"Jane\" removed"]);
    }
}
