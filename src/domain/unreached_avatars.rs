//! The avatars that reach no channel, for the status report.

use crate::text::plural::counted;
use crate::text::sanitize::{is_blank, sanitize_line};

/// The avatars that reach no channel: their number, and the first of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UnreachedAvatars {
    count: usize,
    /// The id and the name of each.
    first: Vec<(String, Option<String>)>,
    /// Whether an avatar reaches a channel.
    pub(crate) others_are_reached: bool,
    /// Whether all avatars were checked.
    pub(crate) is_complete: bool,
}

impl Default for UnreachedAvatars {
    fn default() -> Self {
        Self { count: 0, first: Vec::new(), others_are_reached: false, is_complete: true }
    }
}

impl UnreachedAvatars {
    pub(crate) fn add(&mut self, id: &str, name: Option<&str>) {
        self.count += 1;
        if self.first.len() < NAMES_MAX {
            self.first.push((id.to_owned(), name.map(str::to_owned)));
        }
    }

    /// The id of the only one.
    pub(crate) fn only(&self) -> Option<&str> {
        match self.first.as_slice() {
            [(id, _)] => Some(id),
            _ => None,
        }
    }

    /// A sentence without a full stop; `None` if there are none.
    pub(crate) fn sentence(&self) -> Option<String> {
        let names: Vec<String> = self.first.iter().map(|(id, name)| shown(id, name)).collect();
        let least = if self.is_complete { "" } else { "At least " };
        let (count, names) = (counted(self.count, "avatar"), names.join(", "));
        let verb = if self.count == 1 { "reaches" } else { "reach" };
        let more = match self.count.saturating_sub(NAMES_MAX) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        (self.count > 0).then(|| format!("{least}{count} {verb} no channel: {names}{more}"))
    }
}

fn shown(id: &str, name: &Option<String>) -> String {
    let name = name.as_deref().filter(|name| !is_blank(name));
    name.map_or_else(|| id.to_owned(), |name| sanitize_line(name, NAME_CHARS_MAX))
}

const NAMES_MAX: usize = 5;
const NAME_CHARS_MAX: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_avatars_are_one_sentence() {
        let mut found = UnreachedAvatars::default();
        assert_eq!(found.sentence(), None);
        found.add("a1", Some("Jane\n"));
        assert_eq!(found.sentence().unwrap(), "1 avatar reaches no channel: Jane");
        assert_eq!(found.only(), Some("a1"));
        (2..=10_000).for_each(|number| found.add(&format!("a{number}"), None));
        let many = "10000 avatars reach no channel: Jane, a2, a3, a4, a5 and 9995 more";
        assert_eq!((found.sentence().unwrap().as_str(), found.only()), (many, None));
        found.is_complete = false;
        assert_eq!(found.sentence().unwrap(), format!("At least {many}"));
    }
}
