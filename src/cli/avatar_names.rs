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
use crate::text::fold::{folded, is_same_name};
use crate::text::sanitize::{is_blank, sanitize, sanitize_line};
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
    Unknown { near: Vec<String> },
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

    /// Adds a known avatar; the first name is the preferred one.
    pub(crate) fn add(&mut self, id: &AvatarId, name: Option<&str>) {
        let names = self.avatars.entry(id.clone()).or_default();
        let Some(name) = name.filter(|name| !is_blank(name)) else { return };
        if names.is_empty() {
            *self.counts.entry(folded(name.trim())).or_default() += 1;
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
        let is_shared = self.counts.get(&folded(name.trim())).is_some_and(|count| *count > 1);
        if is_shared { format!("{shown} ({id})") } else { shown }
    }

    /// The avatar with that id, or the only one with that name, or with an id that begins so.
    pub(crate) fn find(&self, text: &str) -> Result<AvatarId, LookupError> {
        if let Some(id) = self.avatars.keys().find(|id| id.matches(text)) {
            return Ok(id.clone());
        }
        let is_named = |names: &Vec<String>| names.iter().any(|name| is_same_name(name, text));
        let named = self.avatars.iter().filter(|(_, names)| is_named(names));
        let named: Vec<AvatarId> = named.map(|(id, _)| id.clone()).collect();
        match named.as_slice() {
            [id] => Ok(id.clone()),
            [] => self.find_by_start(text),
            [_, _, ..] => Err(LookupError::Ambiguous(named)),
        }
    }

    /// The only avatar with an id that begins so, as chats show it.
    fn find_by_start(&self, text: &str) -> Result<AvatarId, LookupError> {
        let start = text.trim().trim_end_matches('…').to_ascii_lowercase();
        let begins = |id: &&AvatarId| id.as_str().to_ascii_lowercase().starts_with(&start);
        let is_long = start.len() >= ID_START_MIN;
        let found: Vec<&AvatarId> =
            self.avatars.keys().filter(|id| is_long && begins(id)).collect();
        match found.as_slice() {
            [id] => Ok((*id).clone()),
            [] => Err(LookupError::Unknown { near: self.near(text) }),
            [_, _, ..] => Err(LookupError::Ambiguous(found.into_iter().cloned().collect())),
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
            print_near(&self.near(pattern.trim_matches(wildcard::ANY)));
            return Err(Exit::Problems);
        }
        Ok(found)
    }

    /// Names and ids that begin with the text, at most `NEAR_MAX`; else the most similar one.
    pub(crate) fn near(&self, text: &str) -> Vec<String> {
        let ids = self.avatars.keys().map(AvatarId::as_str);
        let known: Vec<&str> =
            self.avatars.values().flatten().map(String::as_str).chain(ids).collect();
        let start = folded(text.trim());
        let begins = |it: &&str| start.chars().count() > 1 && folded(it).starts_with(&start);
        let mut near: Vec<&str> = known.iter().copied().filter(begins).collect();
        near.sort_unstable();
        near.dedup();
        near.truncate(NEAR_MAX);
        if near.is_empty() {
            near.extend(nearest(text, &known));
        }
        near.into_iter().map(sanitize).collect()
    }
}

/// Whether a message names the avatars that may be meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Suggest {
    Nearest,
    Nothing,
}

/// Prints why a text names no avatar.
pub(crate) fn print_lookup_error(text: &str, error: LookupError, suggest: Suggest) -> Exit {
    match (error, suggest) {
        (LookupError::Unknown { near }, Suggest::Nearest) => {
            print_unknown(text, "in config or database", &near);
        }
        (LookupError::Unknown { .. }, Suggest::Nothing) => {
            print_unknown(text, "in config or database", &[]);
        }
        (LookupError::Ambiguous(ids), _) => print_ambiguous(text, &ids),
    }
    Exit::Problems
}

/// Prints that a text names no avatar there.
pub(crate) fn print_unknown(text: &str, place: &str, near: &[String]) {
    print_error(&format!("avatar-watch: no avatar `{}` {place}", sanitize(text)));
    print_near(near);
}

fn print_near(near: &[String]) {
    let near: Vec<String> = near.iter().map(|it| format!("`{it}`")).collect();
    if !near.is_empty() {
        print_help(format!("did you mean {}?", near.join(" or ")));
    }
}

pub(crate) fn print_ambiguous(text: &str, ids: &[AvatarId]) {
    let ids: Vec<String> = ids.iter().map(|id| format!("`{id}`")).collect();
    let (text, count, ids) = (sanitize(text), ids.len(), ids.join(", "));
    print_error(&format!("avatar-watch: `{text}` fits {count} avatars: {ids}"));
    print_help("give one of these ids");
}

/// The characters of an id that are enough to name it, if they are unique.
const ID_START_MIN: usize = 8;
/// The suggestions for an unknown name.
const NEAR_MAX: usize = 3;

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
        let near = |text: &str| match all.find(text) {
            Err(LookupError::Unknown { near }) => near,
            other => panic!("{other:?}"),
        };
        assert_eq!(near("Jane, Enlish"), ["Jane, English"]);
        assert_eq!(near("jane"), ["Jane, English", "jane_v2"]);
        assert!(near("Zoë").is_empty());
    }

    #[test]
    fn the_start_of_an_id_names_the_only_avatar_that_has_it() {
        let ids = ["21636369-0001", "21636369-0002", "3c90c3cc-0003"];
        let all = names(&ids.map(|id| (id, &[] as &[&str])));
        assert_eq!(all.find("3C90C3CC…").unwrap().as_str(), ids[2]);
        assert_eq!(all.find("21636369-0002").unwrap().as_str(), ids[1]);
        let two = [ids[0], ids[1]].map(|id| AvatarId::parse(id).unwrap());
        assert_eq!(all.find("21636369"), Err(LookupError::Ambiguous(two.into())));
        assert!(matches!(all.find("3c90c3c"), Err(LookupError::Unknown { .. })), "too short");
    }

    #[test]
    fn an_avatar_is_named_with_its_id_only_where_the_name_is_not_enough() {
        let all = names(&[("a1", &["Jane"]), ("a2", &["Tom"]), ("a3", &["tom"]), ("a4", &[" "])]);
        let label = |id: &str| all.label(&AvatarId::parse(id).unwrap());
        assert_eq!(["a1", "a2", "a3", "a4"].map(label), ["Jane", "Tom (a2)", "tom (a3)", "a4"]);
        assert_eq!(label("gone"), "gone");
    }
}
