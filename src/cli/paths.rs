//! Paths: finds the config and the database.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::cli::output::print_error;
use crate::config::environment::Environment;
use crate::config::file::{self, PartialConfig};
use crate::config::location::ConfigFile;
use crate::files::open::open_for_reading;
use crate::text::sanitize::sanitize;

/// The config that the user named, or the first default path that exists; the first default path
/// when none exists, so that the error names it.
pub(crate) fn config_path(named: Option<&Path>) -> ConfigFile {
    let [in_working_folder, of_service] = SEARCH_PATHS.map(Path::new);
    match named {
        Some(path) => ConfigFile::named(path),
        // A dangling link counts as existing.
        None if in_working_folder.symlink_metadata().is_err() && of_service.exists() => {
            ConfigFile::named(of_service)
        }
        None => ConfigFile::found(in_working_folder),
    }
}

/// The command line of another command with the same config, to copy.
pub(crate) fn command_line(config: Option<&Path>, what: &str) -> String {
    // The option stays even for the default name: the trust rules of a config that is named and
    // of one that is found differ.
    let Some(path) = config.filter(|path| *path != Path::new(SEARCH_PATHS[1])) else {
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

/// Paths for the reading commands. Works with an unreadable or invalid config: the database is
/// then searched at its default paths.
#[derive(Clone, Debug, Default)]
pub(crate) struct Locations {
    /// The config; it may not exist.
    pub(crate) config: ConfigFile,
    pub(crate) database: PathBuf,
    /// Whether the command line or a readable config names the database.
    pub(crate) is_database_known: bool,
    /// The listen address of the daemon of that database, if known.
    pub(crate) page: Option<SocketAddr>,
    pub(crate) outline: PartialConfig,
}

/// Finds the database: the named one, else that of the config, else that in the state directory
/// of the service. Prints a warning when the config cannot be read or is not trusted, because it
/// may name another database.
pub(crate) fn locations(config: Option<&Path>, database: Option<&Path>) -> Locations {
    let found = config_path(config);
    let outline = file::partial(&found, &Environment::from_process());
    if let (Some(problem), None) = (&outline.refused, database) {
        print_error(&problem.to_string());
        print_error("avatar-watch: the config is not used; searching the default database path");
    }
    if let (Some(named), None, Err(error)) = (config, database, open_for_reading(&found.path)) {
        let named = sanitize(&named.to_string_lossy());
        print_error(&format!(
            "avatar-watch: the config `{named}` cannot be read ({error}); searching the default \
             database path"
        ));
    }
    let is_database_known = database.is_some() || outline.is_whole;
    let database = match database {
        Some(database) => database.to_owned(),
        None if outline.store_path.exists() => outline.store_path.clone(),
        None => {
            let name = outline.store_path.file_name().unwrap_or_default();
            let in_service = Path::new(STATE_DIRECTORY).join(name);
            if in_service.exists() { in_service } else { outline.store_path.clone() }
        }
    };
    let page = outline.page.filter(|_| database == outline.store_path);
    Locations { config: found, database, is_database_known, page, outline }
}

/// The database path of a daemon with this config. The service keeps its database in the state
/// directory instead of beside its config; `None` when that does not exist yet.
pub(crate) fn daemon_database_path(store_path: &Path) -> Option<PathBuf> {
    if store_path.parent() != Path::new(SEARCH_PATHS[1]).parent() {
        return Some(store_path.to_owned());
    }
    let in_service = Path::new(STATE_DIRECTORY).join(store_path.file_name()?);
    in_service.exists().then_some(in_service)
}

const SEARCH_PATHS: [&str; 2] = ["avatar-watch.toml", "/etc/avatar-watch/config.toml"];
const STATE_DIRECTORY: &str = "/var/lib/avatar-watch";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_has_its_database_in_its_state_directory() {
        let check = |path: &str| daemon_database_path(Path::new(path));
        assert_eq!(check("/srv/a.db"), Some(PathBuf::from("/srv/a.db")));
        assert_eq!(check("a.db"), Some(PathBuf::from("a.db")));
        assert_eq!(check("/etc/avatar-watch/no-such-database.db"), None);
    }

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
