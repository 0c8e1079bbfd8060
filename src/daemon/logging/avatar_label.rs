//! How a log line names an avatar: by its name, else by its id, which is a field of the line.

use crate::daemon::config::runtime_config::WatchedAvatar;
use crate::domain::avatar::AvatarId;
use crate::domain::polling::watch::Watch;
use crate::domain::status_report::NAME_CHARS_MAX;
use crate::text::sanitize::{is_blank, sanitize_line};

/// By the name in the config, else by that in the API.
pub(in crate::daemon) fn avatar_label(watched: &WatchedAvatar, watch: &Watch) -> String {
    labelled(&watch.id, [watched.label.as_deref(), watch.name.as_deref()])
}

fn labelled(id: &AvatarId, names: [Option<&str>; 2]) -> String {
    match names.into_iter().flatten().find(|name| !is_blank(name)) {
        Some(name) => format!("avatar \"{}\"", sanitize_line(name, NAME_CHARS_MAX)),
        None => format!("avatar `{id}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_avatar_without_a_visible_name_is_labelled_by_its_id() {
        let id = AvatarId::parse("a1").unwrap();
        let check = |names, expected: &str| assert_eq!(labelled(&id, names), expected);
        check([Some("Jane"), Some("jane_v2")], "avatar \"Jane\"");
        check([None, Some("Jane\u{202e}\n2")], "avatar \"Jane 2\"");
        check([Some(" "), None], "avatar `a1`");
    }
}
