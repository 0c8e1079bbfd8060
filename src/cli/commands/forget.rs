//! `avatar-watch avatars forget`: forgets an avatar that is no longer watched.

use std::io;
use std::path::Path;

use crate::cli::args::ForgetArgs;
use crate::cli::avatar_names::{AvatarNames, Suggest, print_lookup_error};
use crate::cli::exit::Exit;
use crate::cli::locations::{Locations, find_and_warn, print_read_error};
use crate::cli::output::{failed, json, line, print_error, print_help, print_store_error};
use crate::cli::prompt::{Prompter, is_interactive};
use crate::config::change::active;
use crate::config::change::snapshot::ConfigSnapshot;
use crate::config::file::PartialConfig;
use crate::daemon::clock::SystemClock;
use crate::daemon::ports::Clock as _;
use crate::domain::avatar::AvatarId;
use crate::store::admin::avatars::{AvatarRecords, ForgetResult, ForgetScope};
use crate::store::admin::deliveries::DeliveryAdmin;
use crate::store::error::StoreError;
use crate::store::reader::Reader;
use crate::store::sqlite::lock::DatabaseLock;
use crate::text::plural::counted;

/// The avatar, as it is named in the output.
struct Forgettable {
    id: AvatarId,
    label: String,
}

pub(crate) fn forget(config: Option<&Path>, args: &ForgetArgs) -> Exit {
    let found = find_and_warn(config, args.database.database.as_deref());
    let read = Reader::snapshot(&found.database, |reader| forgettable(reader, &found, args));
    let avatar = match read {
        Ok(Ok(avatar)) => avatar,
        Ok(Err(exit)) => return exit,
        Err(error) => return print_read_error(&found, &error),
    };
    let done = forget_in(&found, &avatar, args);
    done.unwrap_or_else(|error| print_store_error(&error))
}

/// The avatar, unless it is watched; prints why not.
fn forgettable(
    reader: &Reader,
    found: &Locations,
    args: &ForgetArgs,
) -> Result<Result<Forgettable, Exit>, StoreError> {
    let names = AvatarNames::read(found, reader)?;
    let id = match names.find(&args.avatar) {
        Ok(id) => id,
        // No other avatar is suggested: its history would be lost.
        Err(error) => return Ok(Err(print_lookup_error(&args.avatar, error, Suggest::Nothing))),
    };
    let label = match names.name(&id) {
        Some(_) => format!("\"{}\" ({id})", names.label(&id).trim_end_matches(&format!(" ({id})"))),
        None => format!("`{id}`"),
    };
    // Without a daemon, the file decides what the next one watches.
    let is_running = DatabaseLock::holder(&found.database)?.is_some();
    let active = reader.active_config()?.filter(|_| is_running);
    let active = active.as_deref().and_then(ConfigSnapshot::from_text);
    let active = active.map(|snapshot| active::partial(&found.partial, &snapshot));
    let has = |config: &PartialConfig| {
        config.avatars.iter().flatten().any(|(known, _)| known.matches(id.as_str()))
    };
    let refused = |why: &str, help: &str| {
        print_error(&format!("avatar-watch: {label} is not forgotten: {why}"));
        print_help(help);
        Ok(Err(Exit::Failed))
    };
    if !found.partial.is_readable && active.is_none() {
        return refused(
            "it may be watched, because the config cannot be read",
            "repair the config",
        );
    }
    if has(&found.partial) {
        let help = match is_running {
            true => "remove it there, and reload the daemon",
            false => "remove it there",
        };
        return refused("it is in the config", help);
    }
    if active.as_ref().is_some_and(has) {
        return refused("the daemon watches it", "reload the daemon, which has an older config");
    }
    let discovers = active.as_ref().map_or(found.partial.discovers, |active| active.discovers);
    if discovers && reader.discovered()?.contains_key(&id) {
        let help = "remove the avatar at Argil, or its account from `discover.accounts`";
        return refused("it was discovered, and `[discover]` of the config watches it", help);
    }
    Ok(Ok(Forgettable { id, label }))
}

fn forget_in(
    found: &Locations,
    avatar: &Forgettable,
    args: &ForgetArgs,
) -> Result<Exit, StoreError> {
    let Forgettable { id, label } = avatar;
    let scope = if args.history { ForgetScope::History } else { ForgetScope::Listing };
    let mut admin = DeliveryAdmin::open(&found.database)?;
    let Some(records) = admin.records(id)? else {
        print_error(&format!("avatar-watch: nothing is recorded of {label}"));
        return Ok(Exit::Failed);
    };
    if scope == ForgetScope::History && !args.yes {
        match confirmed(&question(label, &records)) {
            Ok(true) => {}
            Ok(false) => return Ok(Exit::Failed),
            Err(error) => return Ok(failed(&error, Exit::Failed)),
        }
    }
    match admin.forget(id, scope, SystemClock.now())? {
        ForgetResult::Done(_) if args.database.json => json(&[id.as_str()]),
        ForgetResult::Done(records) => line(&match scope {
            ForgetScope::Listing => {
                format!("{label} is forgotten; its history stays (`--history` removes it)")
            }
            ForgetScope::History => format!("{label} is forgotten, with {}", all(&records)),
        }),
        ForgetResult::NotFound => {
            print_error(&format!("avatar-watch: nothing is recorded of {label}"));
            return Ok(Exit::Failed);
        }
        ForgetResult::Sending => {
            print_error(&format!("avatar-watch: a message about {label} is being sent"));
            print_help("try again when it has ended");
            return Ok(Exit::TempFail);
        }
    }
    Ok(Exit::Ok)
}

fn question(label: &str, records: &AvatarRecords) -> String {
    let unsent = match records.unsent {
        0 => String::new(),
        unsent => format!("; {} of them not delivered, and lost then", counted(unsent, "message")),
    };
    format!("This removes {} of {label}{unsent}", all(records))
}

fn all(records: &AvatarRecords) -> String {
    let transitions = counted(records.transitions, "change");
    format!("{transitions} and {}", counted(records.deliveries, "delivery"))
}

/// Asks on a terminal; elsewhere prints what to do.
fn confirmed(text: &str) -> io::Result<bool> {
    if !is_interactive() {
        print_error(&format!("avatar-watch: {text}"));
        print_help("add `--yes` to do it");
        return Ok(false);
    }
    let prompter = Prompter::new()?;
    prompter.say(&format!("{text}.\n"))?;
    let answer = prompter.ask("Continue? [y/N]", |_| Ok(()))?;
    Ok(["y", "yes"].contains(&answer.to_lowercase().as_str()))
}
