//! Command lines to copy, with quotes for the shell.

use std::path::Path;

use crate::cli::locations::SERVICE_CONFIG;
use crate::text::sanitize::sanitize;

/// The command line of another command with the same config, to copy.
pub(crate) fn command_line(config: Option<&Path>, what: &str) -> String {
    // The option stays even for the default name: the trust rules of a config that is named and
    // of one that is found differ.
    let Some(path) = config.filter(|path| *path != Path::new(SERVICE_CONFIG)) else {
        return format!("avatar-watch {what}");
    };
    let path = sanitize(&path.to_string_lossy());
    let bare = |char: char| char.is_ascii_alphanumeric() || "/._-+".contains(char);
    let path = if path.chars().all(bare) { path } else { quoted(&path) };
    format!("avatar-watch --config {path} {what}")
}

fn quoted(path: &str) -> String {
    format!("'{}'", path.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_names_a_config_that_is_not_found_by_default() {
        let check = |config: Option<&str>, expected: &str| {
            assert_eq!(command_line(config.map(Path::new), "run"), expected);
        };
        check(None, "avatar-watch run");
        check(Some("avatar-watch.toml"), "avatar-watch --config avatar-watch.toml run");
        check(Some("/etc/avatar-watch/config.toml"), "avatar-watch run");
        check(Some("/srv/a-b/x.toml"), "avatar-watch --config /srv/a-b/x.toml run");
        check(Some("it's here.toml"), "avatar-watch --config 'it'\\''s here.toml' run");
    }
}
