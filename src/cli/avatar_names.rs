//! The names of avatars, from the config, the active config and the database: how the output names
//! an avatar, and which avatar an argument names.

use std::collections::{BTreeMap, HashMap};

use crate::cli::exit::Exit;
use crate::cli::locations::Locations;
use crate::cli::output::{print_error, print_help};
use crate::config::change::active;
use crate::config::change::snapshot::ConfigSnapshot;
use crate::config::file::RegisteredAvatar;
use crate::config::schema::keys::nearest;
use crate::domain::avatar::AvatarId;
use crate::domain::status_report::NAME_CHARS_MAX;
use crate::store::error::StoreError;
use crate::store::reader::Reader;
use crate::text::sanitize::{is_blank, is_same_name, sanitize, sanitize_line};
use crate::text::wildcard;

/// The known avatars, each with its names, the preferred one first.
#[derive(Debug, Default)]
pub(crate) struct AvatarNames {
    avatars: BTreeMap<AvatarId, Vec<String>>,
    /// How many avatars have each preferred name.
    counts: HashMap<String, usize>,
}

/// Why a text names no avatar.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LookupError {
    Unknown { nearest: Option<String> },
    Ambiguous(Vec<AvatarId>),
}

impl AvatarNames {
    pub(crate) fn read(found: &Locations, reader: &Reader) -> Result<Self, StoreError> {
        let active = reader.active_config()?.as_deref().and_then(ConfigSnapshot::from_text);
        let active = active.map(|snapshot| active::partial(&found.partial, &snapshot));
        let mut names = Self::default();
        let configs = [Some(&found.partial), active.as_ref()].into_iter().flatten();
        for (id, RegisteredAvatar { name, .. }) in
            configs.filter_map(|it| it.avatars.as_ref()).flatten()
        {
            names.add(id, name.as_deref());
        }
        for (id, name) in reader.avatar_names()? {
            names.add(&id, name.as_deref());
        }
        Ok(names)
    }

    fn add(&mut self, id: &AvatarId, name: Option<&str>) {
        let names = self.avatars.entry(id.clone()).or_default();
        let Some(name) = name.filter(|name| !is_blank(name)) else { return };
        if names.is_empty() {
            *self.counts.entry(folded(name)).or_default() += 1;
        }
        names.push(name.to_owned());
    }

    /// The preferred name.
    pub(crate) fn name(&self, id: &AvatarId) -> Option<&str> {
        Some(self.avatars.get(id)?.first()?.as_str())
    }

    /// The name for a table; with the id if another avatar has the same name, and only the id if
    /// there is no name.
    pub(crate) fn label(&self, id: &AvatarId) -> String {
        let Some(name) = self.name(id) else { return id.to_string() };
        let shown = sanitize_line(name, NAME_CHARS_MAX);
        let is_shared = self.counts.get(&folded(name)).is_some_and(|count| *count > 1);
        if is_shared { format!("{shown} ({id})") } else { shown }
    }

    /// The avatar with that id, or the only one with that name.
    pub(crate) fn find(&self, text: &str) -> Result<AvatarId, LookupError> {
        if let Some(id) = self.avatars.keys().find(|id| id.matches(text)) {
            return Ok(id.clone());
        }
        let is_named = |names: &Vec<String>| names.iter().any(|name| is_same_name(name, text));
        let named = self.avatars.iter().filter(|(_, names)| is_named(names));
        let named: Vec<AvatarId> = named.map(|(id, _)| id.clone()).collect();
        match named.as_slice() {
            [id] => Ok(id.clone()),
            [] => Err(LookupError::Unknown { nearest: self.nearest(text) }),
            [_, _, ..] => Err(LookupError::Ambiguous(named)),
        }
    }

    /// The same; prints why there is none.
    pub(crate) fn find_or_print(&self, text: &str) -> Result<AvatarId, Exit> {
        self.find(text).map_err(|error| print_lookup_error(text, error, Suggest::Nearest))
    }

    /// The avatars with a name like this pattern.
    pub(crate) fn matching(&self, pattern: &str) -> Vec<AvatarId> {
        let is_like = |names: &Vec<String>| names.iter().any(|it| wildcard::matches(pattern, it));
        self.avatars.iter().filter(|(_, names)| is_like(names)).map(|(id, _)| id.clone()).collect()
    }

    /// The same; prints that there are none.
    pub(crate) fn matching_or_print(&self, pattern: &str) -> Result<Vec<AvatarId>, Exit> {
        let found = self.matching(pattern);
        if found.is_empty() {
            let shown = sanitize(pattern);
            print_error(&format!("avatar-watch: no avatar has a name like `{shown}`"));
            let near = self.nearest(pattern.trim_matches(wildcard::ANY));
            near.iter().for_each(|near| print_help(format!("did you mean `{near}`?")));
            return Err(Exit::Problems);
        }
        Ok(found)
    }

    fn nearest(&self, text: &str) -> Option<String> {
        let ids = self.avatars.keys().map(AvatarId::as_str);
        let known: Vec<&str> =
            self.avatars.values().flatten().map(String::as_str).chain(ids).collect();
        nearest(text, &known).map(sanitize)
    }
}

/// Whether a message names the avatar that may be meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Suggest {
    Nearest,
    Nothing,
}

/// Prints why a text names no avatar.
pub(crate) fn print_lookup_error(text: &str, error: LookupError, suggest: Suggest) -> Exit {
    let text = sanitize(text);
    match error {
        LookupError::Unknown { nearest } => {
            print_error(&format!("avatar-watch: no avatar `{text}` in config or database"));
            let near = nearest.filter(|_| suggest == Suggest::Nearest);
            near.iter().for_each(|near| print_help(format!("did you mean `{near}`?")));
        }
        LookupError::Ambiguous(ids) => {
            let ids: Vec<String> = ids.iter().map(|id| format!("`{id}`")).collect();
            let (count, ids) = (ids.len(), ids.join(", "));
            print_error(&format!("avatar-watch: {count} avatars are named `{text}`: {ids}"));
            print_help("give one of these ids");
        }
    }
    Exit::Problems
}

/// The same for names that are the same to people.
fn folded(name: &str) -> String {
    name.trim().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(avatars: &[(&str, &[&str])]) -> AvatarNames {
        let mut all = AvatarNames::default();
        for (id, names) in avatars {
            let id = AvatarId::parse(id).unwrap();
            all.add(&id, None);
            names.iter().for_each(|name| all.add(&id, Some(name)));
        }
        all
    }

    #[test]
    fn an_avatar_is_found_by_its_id_or_by_a_name_that_only_it_has() {
        let all = names(&[
            ("a1", &["Jane, English", "jane_v2"]),
            ("a2", &["Tom"]),
            ("a3", &["tom "]),
            ("a4", &["a2"]),
        ]);
        let check = |text: &str, expected: &str| {
            assert_eq!(all.find(text).unwrap().as_str(), expected, "{text}");
        };
        check("A1", "a1");
        check(" jane, english", "a1");
        check("JANE_V2", "a1");
        check("a2", "a2");
        let ids = ["a2", "a3"].map(|id| AvatarId::parse(id).unwrap());
        assert_eq!(all.find("Tom"), Err(LookupError::Ambiguous(ids.into())));
        let nearest = Some("Jane, English".to_owned());
        assert_eq!(all.find("Jane, Enlish"), Err(LookupError::Unknown { nearest }));
        assert_eq!(all.find("Zoë"), Err(LookupError::Unknown { nearest: None }));
    }

    #[test]
    fn an_avatar_is_named_with_its_id_only_where_the_name_is_not_enough() {
        let all = names(&[("a1", &["Jane"]), ("a2", &["Tom"]), ("a3", &["tom"]), ("a4", &[" "])]);
        let label = |id: &str| all.label(&AvatarId::parse(id).unwrap());
        assert_eq!(["a1", "a2", "a3", "a4"].map(label), ["Jane", "Tom (a2)", "tom (a3)", "a4"]);
        assert_eq!(label("gone"), "gone");
    }
}
