//! The `only` of a channel: the avatars that it is for. Within a list any value matches; every
//! list that is set must match.

use std::fmt;

use crate::domain::account::AccountName;
use crate::domain::routing::facts::AvatarFacts;
use crate::domain::routing::pattern::Pattern;
use crate::domain::routing::tag::Tag;

/// A filter; an empty list matches every avatar.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChannelFilter {
    /// Tags: the avatar has one of them.
    pub tags: Vec<Tag>,
    /// Accounts: the avatar belongs to one of them.
    pub accounts: Vec<AccountName>,
    /// Models.
    pub models: Vec<Pattern>,
    /// Names, as in messages.
    pub names: Vec<Pattern>,
}

/// A key of a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FilterKey {
    /// `tags`.
    Tags,
    /// `accounts`.
    Accounts,
    /// `models`.
    Models,
    /// `names`.
    Names,
}

impl FilterKey {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Tags, Self::Accounts, Self::Models, Self::Names];

    /// The name in the config.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tags => "tags",
            Self::Accounts => "accounts",
            Self::Models => "models",
            Self::Names => "names",
        }
    }
}

impl ChannelFilter {
    /// Whether it matches every avatar.
    pub const fn is_empty(&self) -> bool {
        self.tags.is_empty()
            && self.accounts.is_empty()
            && self.models.is_empty()
            && self.names.is_empty()
    }

    /// Whether an avatar matches.
    pub fn accepts(&self, avatar: &AvatarFacts<'_>) -> bool {
        self.mismatches(avatar).next().is_none()
    }

    /// Why an avatar does not match, whatever a poll shows; `None` when it may match.
    pub fn exclusion(&self, avatar: &AvatarFacts<'_>) -> Option<String> {
        self.certain_mismatch(avatar).map(|key| self.refusal(key, avatar))
    }

    /// The first key that an avatar does not match, whatever a poll shows.
    pub(in crate::domain) fn certain_mismatch(
        &self,
        avatar: &AvatarFacts<'_>,
    ) -> Option<FilterKey> {
        let is_certain = |key: &FilterKey| match key {
            FilterKey::Tags | FilterKey::Accounts => true,
            FilterKey::Models => avatar.model.is_some() || avatar.is_polled,
            FilterKey::Names => avatar.name.is_some() || avatar.is_polled,
        };
        self.mismatches(avatar).find(is_certain)
    }

    /// The keys that an avatar does not match. What is not known matches no pattern.
    pub fn mismatches(&self, avatar: &AvatarFacts<'_>) -> impl Iterator<Item = FilterKey> {
        FilterKey::ALL.into_iter().filter(|key| self.is_set(*key) && !self.matches(*key, avatar))
    }

    const fn is_set(&self, key: FilterKey) -> bool {
        match key {
            FilterKey::Tags => !self.tags.is_empty(),
            FilterKey::Accounts => !self.accounts.is_empty(),
            FilterKey::Models => !self.models.is_empty(),
            FilterKey::Names => !self.names.is_empty(),
        }
    }

    fn matches(&self, key: FilterKey, avatar: &AvatarFacts<'_>) -> bool {
        let is_like = |patterns: &[Pattern], text: Option<&str>| {
            text.is_some_and(|text| Pattern::any_matches(patterns, text))
        };
        match key {
            FilterKey::Tags => self.tags.iter().any(|tag| avatar.tags.contains(tag)),
            FilterKey::Accounts => self.accounts.contains(avatar.account),
            FilterKey::Models => is_like(&self.models, avatar.model),
            FilterKey::Names => is_like(&self.names, avatar.name),
        }
    }

    /// Why an avatar that does not match `key` is not accepted.
    pub(in crate::domain) fn refusal(&self, key: FilterKey, avatar: &AvatarFacts<'_>) -> String {
        let only = format!("only for {} {}", key.name(), self.values(key).join(", "));
        match (key, avatar.model, avatar.name) {
            (FilterKey::Models, None, _) | (FilterKey::Names, _, None) => {
                let what = if key == FilterKey::Models { "model" } else { "name" };
                match avatar.is_polled {
                    true => format!("{only}; the last response has no {what}"),
                    false => format!("{only}; the {what} is not known yet"),
                }
            }
            _ => only,
        }
    }

    /// What an avatar that is accepted matches, one text for each key.
    pub(in crate::domain) fn matched(&self, avatar: &AvatarFacts<'_>) -> Vec<String> {
        let text = |key: FilterKey| {
            let matching = self.matching(key, avatar);
            (!matching.is_empty()).then(|| format!("{} {}", key.name(), matching.join(", ")))
        };
        FilterKey::ALL.into_iter().filter_map(text).collect()
    }

    /// All values of a key, as text.
    pub fn values(&self, key: FilterKey) -> Vec<&str> {
        match key {
            FilterKey::Tags => self.tags.iter().map(Tag::as_str).collect(),
            FilterKey::Accounts => self.accounts.iter().map(AccountName::as_str).collect(),
            FilterKey::Models => self.models.iter().map(Pattern::as_str).collect(),
            FilterKey::Names => self.names.iter().map(Pattern::as_str).collect(),
        }
    }

    /// The values of a key that match an avatar, as text.
    fn matching(&self, key: FilterKey, avatar: &AvatarFacts<'_>) -> Vec<&str> {
        match key {
            FilterKey::Tags => {
                let tags = self.tags.iter().filter(|tag| avatar.tags.contains(*tag));
                tags.map(Tag::as_str).collect()
            }
            FilterKey::Accounts => {
                let accounts = self.accounts.iter().filter(|name| *name == avatar.account);
                accounts.map(AccountName::as_str).collect()
            }
            FilterKey::Models => matching(&self.models, avatar.model),
            FilterKey::Names => matching(&self.names, avatar.name),
        }
    }
}

fn matching<'p>(patterns: &'p [Pattern], text: Option<&str>) -> Vec<&'p str> {
    let Some(text) = text else { return Vec::new() };
    patterns.iter().filter(|it| it.matches(text)).map(Pattern::as_str).collect()
}

/// As in the config: `tags spanish, latam; accounts studio`.
impl fmt::Display for ChannelFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = FilterKey::ALL.into_iter().filter(|key| self.is_set(*key));
        let text = |key: FilterKey| format!("{} {}", key.name(), self.values(key).join(", "));
        f.write_str(&set.map(text).collect::<Vec<_>>().join("; "))
    }
}
