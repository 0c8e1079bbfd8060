//! Locations: finds the config and the database.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::cli::exit::Exit;
use crate::cli::output::{print_error, print_failure, print_help, print_store_error, store_exit};
use crate::config::config_file_trust::ConfigFile;
use crate::config::environment::Environment;
use crate::config::file::{self, PartialConfig};
use crate::files::open::open_for_reading;
use crate::store::error::StoreError;
use crate::text::sanitize::sanitize;

/// The config that the user named, or the first default path that exists; the first default path
/// when none exists, so that the error names it.
pub(crate) fn config_path(named: Option<&Path>) -> ConfigFile {
    let (in_working_folder, of_service) = (Path::new(WORKING_CONFIG), Path::new(SERVICE_CONFIG));
    match named {
        Some(path) => ConfigFile::named(path),
        // A dangling link counts as existing.
        None if in_working_folder.symlink_metadata().is_err() && of_service.exists() => {
            ConfigFile::named(of_service)
        }
        None => ConfigFile::found(in_working_folder),
    }
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
    pub(crate) listen_address: Option<SocketAddr>,
    pub(crate) partial: PartialConfig,
}

impl Locations {
    /// Whether there is no config at the path that would be used.
    pub(crate) fn is_config_missing(&self) -> bool {
        self.config.path.symlink_metadata().is_err()
    }

    /// What to do when there is no database because no config names one.
    pub(crate) fn help_without_config(&self, error: &StoreError) -> Option<&'static str> {
        let is_lost = matches!(error, StoreError::NotFound { .. }) && !self.is_database_known;
        (is_lost && self.is_config_missing()).then_some(
            "no config is here or in /etc/avatar-watch; `avatar-watch init` writes one, and \
             `--config` or `--database` names another place",
        )
    }
}

/// Prints why a database cannot be read; without a config that is the cause.
pub(crate) fn print_read_error(found: &Locations, error: &StoreError) -> Exit {
    let Some(help) = found.help_without_config(error) else { return print_store_error(error) };
    print_failure(error);
    print_help(help);
    store_exit(error)
}

/// Finds the database: the named one, else that of the config, else that in the state directory
/// of the service. Prints a warning when the config cannot be read or is not trusted, because it
/// may name another database.
pub(crate) fn find_and_warn(config: Option<&Path>, database: Option<&Path>) -> Locations {
    let found = config_path(config);
    let partial = file::partial(&found, &Environment::from_process());
    if let (Some(problem), None) = (&partial.refused, database) {
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
    let is_database_known = database.is_some() || partial.is_readable;
    let database = match database {
        Some(database) => database.to_owned(),
        None if partial.store_path.exists() => partial.store_path.clone(),
        None => in_state_directory(&partial.store_path).unwrap_or(partial.store_path.clone()),
    };
    let listen_address = partial.listen_address.filter(|_| database == partial.store_path);
    Locations { config: found, database, is_database_known, listen_address, partial }
}

/// The database alone.
pub(crate) fn database_path(config: Option<&Path>, database: Option<&Path>) -> PathBuf {
    find_and_warn(config, database).database
}

/// The database path of a daemon with this config. The service keeps its database in the state
/// directory instead of beside its config; `None` when that does not exist yet.
pub(crate) fn daemon_database_path(store_path: &Path) -> Option<PathBuf> {
    if store_path.parent() != Path::new(SERVICE_CONFIG).parent() {
        return Some(store_path.to_owned());
    }
    in_state_directory(store_path)
}

/// The existing file of the same name in the state directory of the service.
fn in_state_directory(store_path: &Path) -> Option<PathBuf> {
    let path = Path::new(STATE_DIRECTORY).join(store_path.file_name()?);
    path.exists().then_some(path)
}

const WORKING_CONFIG: &str = "avatar-watch.toml";
/// The config of the service.
pub(crate) const SERVICE_CONFIG: &str = "/etc/avatar-watch/config.toml";
/// The state directory of the service.
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
}
