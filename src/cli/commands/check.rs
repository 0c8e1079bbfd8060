//! `avatar-watch check`: prints every problem of the config; with `--diff`, what a reload would
//! change; with `--online`, tests the API key, the avatars and the channels.

use std::io::ErrorKind;
use std::path::Path;

use crate::argil::client::Client;
use crate::cli::advice;
use crate::cli::args::CheckArgs;
use crate::cli::command_line::command_line;
use crate::cli::exit::Exit;
use crate::cli::locations::{config_path, daemon_database_path};
use crate::cli::output::{
    failed, line, print_error, print_failure, print_help, print_result, print_store_error,
    store_help,
};
use crate::cli::runtime::block_on;
use crate::config::change::active::emptied;
use crate::config::change::diff::diff as compare;
use crate::config::change::snapshot::ConfigSnapshot;
use crate::config::config_file_trust::ConfigFile;
use crate::config::environment::Environment;
use crate::config::error::{ConfigError, Problem, first};
use crate::config::settings::{AvatarSettings, Settings};
use crate::daemon::clock::SystemClock;
use crate::daemon::config::load_config;
use crate::daemon::config::wiring;
use crate::daemon::error::DaemonError;
use crate::daemon::ports::Clock as _;
use crate::domain::account::AccountName;
use crate::domain::delivery::{AT_PROXY, Outcome, OutcomeClass};
use crate::domain::polling::list_observation::ListObservation;
use crate::domain::polling::observation::{Denial, Observation, PollError};
use crate::domain::status_report::NAME_CHARS_MAX;
use crate::store::error::StoreError;
use crate::store::files::location;
use crate::store::reader::Reader;
use crate::text::plural::counted;
use crate::text::sanitize::{is_blank, sanitize, sanitize_line};

pub(crate) fn check(config: Option<&Path>, args: &CheckArgs) -> Exit {
    let found = config_path(config);
    let path = found.path.as_path();
    let Some(settings) = load_or_print(&found) else { return Exit::Problems };
    if let Err(error) = can_be_read_by_daemon(&settings.store_path) {
        print_error(&format!("{}: `store.path` is not a usable database: {error}", path.display()));
        let help = match &error {
            StoreError::Altered { .. } | StoreError::Damaged { .. } => store_help(&error),
            _ => Some("set another path; the daemon creates a new database there"),
        };
        help.into_iter().for_each(print_help);
        return Exit::Problems;
    }
    if !is_database_location_valid(&settings.store_path, path) {
        // A user without write access can still see what a reload would change.
        if args.diff {
            diff(&settings);
        }
        return Exit::Problems;
    }
    let warnings = first(&settings.warnings, Problem::to_string);
    warnings.iter().for_each(|warning| print_error(&format!("warning: {warning}")));
    let built = wiring::build(&settings, None)
        .and_then(|config| Ok((config, wiring::build_background(&settings)?)))
        .map(|(config, background)| wiring::obstacles(&settings, &config, &background));
    match built {
        Ok(missing) => missing.iter().for_each(|it| print_error(&format!("warning: {it}"))),
        Err(error) => return failed(&error, Exit::Problems),
    }
    line(&format!(
        "`{}` is valid: {}, {}, database `{}`",
        sanitize(&path.to_string_lossy()),
        counted(settings.avatars.len(), "avatar"),
        counted(settings.channels.len(), "channel"),
        sanitize(&settings.store_path.to_string_lossy())
    ));
    if args.diff {
        match diff(&settings) {
            Exit::Ok => {}
            failed => return failed,
        }
    }
    if args.online {
        return online(config, &settings);
    }
    if args.diff {
        return Exit::Ok;
    }
    let next = command_line(config, "check --online");
    line(&format!("Next: `{next}` tests the API key, the avatars and the channels."));
    Exit::Ok
}

/// Prints what a reload would change, and whether the daemon would reject it.
fn diff(settings: &Settings) -> Exit {
    let active = match active_config(&settings.store_path) {
        Ok(active) => active,
        Err(error) => return print_store_error(&error),
    };
    let old = active.as_deref().and_then(ConfigSnapshot::from_text);
    changes(active.is_some(), old.as_ref(), settings).iter().for_each(|text| line(text));
    match old.and_then(|old| emptied(&old, settings)) {
        Some(what) => {
            print_error(&format!("avatar-watch: a reload would reject this config: {what}"));
            Exit::Problems
        }
        None => Exit::Ok,
    }
}

/// Whether a daemon of this user can use the path of the database; prints the reason if not.
fn is_database_location_valid(store_path: &Path, config: &Path) -> bool {
    let path = daemon_database_path(store_path);
    let Err(error) = path.map_or(Ok(()), |path| location::check_location(&path)) else {
        return true;
    };
    let (config, shown) = (config.display(), store_path.display());
    print_error(&format!("{config}: `store.path` is `{shown}`: {error}"));
    store_help(&error).into_iter().for_each(print_help);
    false
}

/// Loads a config; prints its problems.
pub(crate) fn load_or_print(config: &ConfigFile) -> Option<Settings> {
    let loaded = load_config::load(config, &Environment::from_process());
    loaded.map_err(|error| print_problems(&error)).ok()
}

pub(crate) fn print_problems(error: &ConfigError) {
    match error {
        ConfigError::Problems(problems) => {
            first(problems, Problem::to_string).iter().for_each(|problem| print_error(problem));
            print_error(&format!(
                "avatar-watch: {} in the config",
                counted(problems.len(), "problem")
            ));
        }
        ConfigError::Unreadable { source, .. } => {
            print_failure(error);
            if source.kind() == ErrorKind::NotFound {
                print_help(
                    "create one with `avatar-watch init`, or name another with `--config PATH`",
                );
            }
        }
    }
}

/// Fails when the file exists and is not a usable database.
fn can_be_read_by_daemon(store_path: &Path) -> Result<(), StoreError> {
    match Reader::snapshot(store_path, |_| Ok(())) {
        Err(
            failure @ (StoreError::ForeignFile { .. }
            | StoreError::Damaged { .. }
            | StoreError::Altered { .. }
            | StoreError::Newer { .. }),
        ) => Err(failure),
        // Other errors concern access by this user at this time, not the file.
        Ok(_) | Err(_) => Ok(()),
    }
}

/// The active config, which the daemon stores in the database; `None` before its first start.
fn active_config(store_path: &Path) -> Result<Option<String>, StoreError> {
    match Reader::snapshot(store_path, Reader::active_config) {
        Err(StoreError::NotFound { .. } | StoreError::Empty { .. }) => Ok(None),
        read => read,
    }
}

fn changes(is_stored: bool, old: Option<&ConfigSnapshot>, settings: &Settings) -> Vec<String> {
    let first = match (is_stored, old) {
        (false, _) => Some("no daemon has used this database yet: everything is new"),
        (true, None) => {
            Some("the active config was stored by a version with another format: everything is new")
        }
        (true, Some(_)) => None,
    };
    let nothing = ConfigSnapshot::default();
    let changes = compare(old.unwrap_or(&nothing), &ConfigSnapshot::of(settings));
    let mut lines: Vec<String> = first.into_iter().map(str::to_owned).collect();
    lines.extend(changes.iter().map(|change| sanitize(&change.diff_line())));
    if changes.is_empty() {
        lines.push("nothing would change".to_owned());
    }
    lines.push("secrets are not compared".to_owned());
    lines
}

fn online(config: Option<&Path>, settings: &Settings) -> Exit {
    match block_on(test_everything(settings)) {
        Ok(Ok(Tally { checks, failed: 0 })) => {
            line(&format!("{} passed", counted(checks, "check")));
            line(&next_step(config, settings));
            Exit::Ok
        }
        Ok(Ok(Tally { checks, failed })) => {
            line(&format!("{failed} of {} failed", counted(checks, "check")));
            Exit::Problems
        }
        Ok(Err(error)) => failed(&error, Exit::Problems),
        Err(error) => failed(&error, Exit::Problems),
    }
}

fn next_step(config: Option<&Path>, settings: &Settings) -> String {
    match settings.channels.keys().next() {
        Some(channel) => {
            let next = command_line(config, &format!("test {channel}"));
            format!("Next: `{next}` sends a test message.")
        }
        None => format!("Next: {}; no channel is configured yet.", run_hint(config)),
    }
}

pub(crate) fn run_hint(config: Option<&Path>) -> String {
    let run = command_line(config, "run");
    format!("`{run}` starts the daemon; as a service: `sudo systemctl enable --now avatar-watch`")
}

/// The number of checks, and of those that failed.
#[derive(Clone, Copy, Default)]
struct Tally {
    checks: usize,
    failed: usize,
}

impl Tally {
    /// Prints a result and counts it.
    fn print(&mut self, what: &str, fine: bool, text: &str, help: Option<&str>) {
        self.checks += 1;
        self.failed += usize::from(!print_result(what, fine, text, help));
    }
}

/// Polls the avatars and connects to every channel.
async fn test_everything(settings: &Settings) -> Result<Tally, DaemonError> {
    let mut tally = Tally::default();
    for (name, account) in &settings.accounts {
        let avatars = settings.avatars.iter().filter(|avatar| avatar.account == *name);
        let mut avatars = avatars.peekable();
        let client = wiring::client(account)?;
        match avatars.peek() {
            Some(_) => poll_all(&client, avatars, &mut tally).await,
            None => test_api_key(&client, name, &mut tally).await,
        }
    }
    let context = wiring::message_context(settings);
    for settings in settings.channels.values() {
        let outcome = wiring::channel(settings, &context)?.probe().await;
        let fine = outcome.class == OutcomeClass::Delivered;
        let help = (!fine).then(|| advice::for_channel(&outcome));
        let what = format!("channel `{}`", settings.name);
        tally.print(&what, fine, &connection(&outcome), help);
    }
    Ok(tally)
}

/// Polls the avatars of an account, at most `POLLS_MAX`; stops at a failure that concerns the
/// whole account.
async fn poll_all<'a>(
    client: &Client,
    mut avatars: impl Iterator<Item = &'a AvatarSettings>,
    tally: &mut Tally,
) {
    let (mut polled, mut missing) = (0, 0);
    for avatar in avatars.by_ref().take(POLLS_MAX) {
        let seen = client.get_avatar(&avatar.id, SystemClock.now()).await;
        let (fine, text, help) = advice::for_poll(&seen);
        tally.print(&described(avatar, &seen), fine, &text, help);
        if is_account_wide(&seen) {
            line("  other avatars of the account were not polled: this failure affects them too");
            return;
        }
        polled += 1;
        missing += usize::from(matches!(seen, Observation::Missing { .. }));
    }
    if missing == polled && polled > 0 {
        line("     no avatar was found: is `base_url` right?");
    }
    match avatars.count() {
        0 => {}
        more => line(&format!("     {} more not polled", counted(more, "avatar"))),
    }
}

/// An avatar by the name in the config or in the response, with its id.
fn described(avatar: &AvatarSettings, seen: &Observation) -> String {
    let listed = match seen {
        Observation::Seen(avatar) => avatar.name.as_ref(),
        _ => None,
    };
    match avatar.name.as_ref().or(listed).filter(|name| !is_blank(name)) {
        Some(name) => {
            format!("avatar \"{}\" (`{}`)", sanitize_line(name, NAME_CHARS_MAX), avatar.id)
        }
        None => format!("avatar `{}`", avatar.id),
    }
}

fn is_account_wide(seen: &Observation) -> bool {
    match seen {
        Observation::Denied { denial: Denial::Key, .. } | Observation::Throttled { .. } => true,
        Observation::Seen(_)
        | Observation::Missing { .. }
        | Observation::Denied { denial: Denial::Avatar, .. } => false,
        Observation::Failed { fault, .. } => match fault {
            PollError::Unresolved
            | PollError::Unreachable
            | PollError::Misrouted
            | PollError::Local => true,
            PollError::InvalidResponse
            | PollError::UnknownEncoding
            | PollError::RequestRejected => false,
        },
    }
}

async fn test_api_key(client: &Client, name: &AccountName, tally: &mut Tally) {
    let (fine, text, help) = match client.list_avatars(SystemClock.now()).await {
        ListObservation::Listed { avatars, .. } => {
            let count = counted(avatars.len(), "avatar");
            (true, format!("the API key works and lists {count}"), None)
        }
        ListObservation::Failed(seen) => advice::for_list(&seen),
    };
    tally.print(&format!("account `{name}`"), fine, &text, help);
}

fn connection(outcome: &Outcome) -> String {
    match &outcome.error {
        None if outcome.phase == AT_PROXY => {
            "proxy reachable; only a message would test the connection beyond it".to_owned()
        }
        None if outcome.phase == "tls" => "reachable, certificate trusted".to_owned(),
        None => "reachable".to_owned(),
        Some(_) => format!("failed at `{}`: {}", outcome.phase, sanitize(&outcome.summary())),
    }
}

/// The maximum of avatars to poll per account; each costs a request.
const POLLS_MAX: usize = 20;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const CONFIG: &str = "argil.api_key = 'key'\n[[avatars]]\nid = 'a1'\nname = 'Jane'\n";

    fn settings(text: &str) -> Settings {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        std::fs::write(&path, format!("store.path = '/var/a.db'\n{text}")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        load_config::load(&ConfigFile::named(path), &Environment::default()).unwrap()
    }

    #[test]
    fn a_diff_lists_what_a_reload_would_change() {
        let kept = ConfigSnapshot::text_of(&settings(CONFIG));
        let check = |kept: Option<&str>, text: &str, expected: &[&str]| {
            let old = kept.and_then(ConfigSnapshot::from_text);
            let mut lines = changes(kept.is_some(), old.as_ref(), &settings(text));
            assert_eq!(lines.pop().as_deref(), Some("secrets are not compared"));
            assert_eq!(lines, expected);
        };
        check(Some(&kept), CONFIG, &["nothing would change"]);
        check(Some(&kept), &CONFIG.replace("'key'", "'another'"), &["nothing would change"]);
        check(
            Some(&kept),
            &CONFIG.replace("a1", "a2").replace("argil", "poll.missing = '1m'\nargil"),
            &[
                "- avatar `a1` \"Jane\"",
                "+ avatar `a2` \"Jane\"",
                "~ the polling: `missing` from `15m` to `1m`",
            ],
        );
        let all = [
            "+ account `argil`",
            "+ avatar `a1` \"Jane\"",
            "+ the events",
            "+ the polling",
            "+ the store",
            "+ the web",
        ];
        let none = "no daemon has used this database yet: everything is new";
        let other =
            "the active config was stored by a version with another format: everything is new";
        check(None, CONFIG, &[&[none], all.as_slice()].concat());
        check(Some("{}"), CONFIG, &[&[other], all.as_slice()].concat());
    }
}
