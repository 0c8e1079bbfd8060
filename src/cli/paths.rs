//! Where the config and the database are found.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::cli::output::print_error;
use crate::config::environment::Environment;
use crate::config::file::{self, PartialConfig};
use crate::config::location::ConfigFile;
use crate::files::open::open_for_reading;
use crate::text::sanitize::sanitize;

/// The config that the user named, or the first of the usual places that has one; the first
/// place when none has, so that the error names it.
pub fn config_path(named: Option<&Path>) -> ConfigFile {
    let [in_working_folder, of_service] = SEARCH_PATHS.map(Path::new);
    match named {
        Some(path) => ConfigFile::named(path),
        // A link that leads nowhere is there, too.
        None if in_working_folder.symlink_metadata().is_err() && of_service.exists() => {
            ConfigFile::named(of_service)
        }
        None => ConfigFile::found(in_working_folder),
    }
}

/// The command line that does `what` with the same config, to be typed or copied.
pub fn command_line(config: Option<&Path>, what: &str) -> String {
    // One in the working folder that was named may not be one that is obeyed where it is found.
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

/// What a reading command needs of the config, which may be unreadable or have problems: the
/// database is found all the same when it is where it usually is.
#[derive(Clone, Debug, Default)]
pub struct Locations {
    /// The config, which may not be there.
    pub config: ConfigFile,
    /// The database.
    pub database: PathBuf,
    /// Whether it was named, on the command line or by a config that can be read.
    pub is_database_known: bool,
    /// Where the page of the daemon of that database is, as far as is known.
    pub page: Option<SocketAddr>,
    /// What the config says of the avatars, as far as it can be read.
    pub outline: PartialConfig,
}

/// Finds the database: the one that was named, or else the config's, or else, when the service
/// runs the daemon, the one in its state directory. A config that was named and cannot be read, or
/// that may not be obeyed, is complained of, since it may name another one.
pub fn locations(config: Option<&Path>, database: Option<&Path>) -> Locations {
    let found = config_path(config);
    let outline = file::partial(&found, &Environment::from_process());
    if let (Some(problem), None) = (&outline.refused, database) {
        print_error(&problem.to_string());
        print_error("avatar-watch: the config is not used, so the database is where it usually is");
    }
    if let (Some(named), None, Err(error)) = (config, database, open_for_reading(&found.path)) {
        let named = sanitize(&named.to_string_lossy());
        print_error(&format!(
            "avatar-watch: the config `{named}` cannot be read ({error}), so the database is \
             looked for where it usually is"
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

/// Where a daemon with this config would have its database; `None` where only the service can say.
/// It runs with the config of its own place, and has its state elsewhere.
pub fn place_of_run(store_path: &Path) -> Option<PathBuf> {
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
    fn a_daemon_of_the_service_has_its_database_in_its_state() {
        let check = |path: &str| place_of_run(Path::new(path));
        assert_eq!(check("/srv/a.db"), Some(PathBuf::from("/srv/a.db")));
        assert_eq!(check("a.db"), Some(PathBuf::from("a.db")));
        assert_eq!(check("/etc/avatar-watch/no-such-database.db"), None);
    }

    #[test]
    fn a_command_line_names_the_config_where_it_is_not_found_by_itself() {
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
