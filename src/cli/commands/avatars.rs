//! `avatar-watch avatars`: lists the avatars of each account, and which of them are watched.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use crate::cli::advice;
use crate::cli::args::AvatarsArgs;
use crate::cli::commands::check::load_or_print;
use crate::cli::exit::Exit;
use crate::cli::locations::config_path;
use crate::cli::output::{failed, json, line, print_error, print_help};
use crate::cli::runtime::block_on;
use crate::cli::table::{Column, table};
use crate::config::settings::{AvatarSettings, Settings};
use crate::daemon::clock::SystemClock;
use crate::daemon::config::wiring;
use crate::daemon::error::DaemonError;
use crate::daemon::ports::Clock as _;
use crate::domain::account::AccountName;
use crate::domain::avatar::Avatar;
use crate::domain::polling::list_observation::ListObservation;
use crate::domain::status_report::NAME_CHARS_MAX;
use crate::text::plural::counted;
use crate::text::sanitize::sanitize_line;

/// An avatar of an account.
#[derive(Debug, PartialEq, Serialize)]
struct AccountAvatar {
    account: String,
    id: String,
    name: Option<String>,
    model: Option<String>,
    /// The status in the list; null if the list lacks the avatar.
    status: Option<String>,
    /// `config` or `discovered`; null if it is not watched.
    watched: Option<&'static str>,
}

pub(crate) fn avatars(config: Option<&Path>, args: &AvatarsArgs) -> Exit {
    let Some(settings) = load_or_print(&config_path(config)) else { return Exit::Problems };
    let lists = match block_on(list_all(&settings)) {
        Ok(Ok(lists)) => lists,
        Ok(Err(error)) => return failed(&error, Exit::Problems),
        Err(error) => return failed(&error, Exit::Problems),
    };
    let (mut avatars, mut complete) = (Vec::new(), true);
    for (name, list) in lists {
        match list {
            ListObservation::Listed { avatars: listed, unreadable, .. } => {
                avatars.extend(merged(name, listed, &settings));
                if unreadable > 0 {
                    let count = counted(unreadable, "avatar");
                    print_error(&format!("warning: {count} of account `{name}` cannot be read"));
                }
            }
            ListObservation::Failed(observation) => {
                let (_, text, help) = advice::for_list(&observation);
                print_error(&format!("FAIL account `{name}`: {text}"));
                help.into_iter().for_each(print_help);
                complete = false;
            }
        }
    }
    if args.json {
        json(&avatars);
    } else if complete || !avatars.is_empty() {
        let watched = avatars.iter().filter(|avatar| avatar.watched.is_some()).count();
        let count = counted(avatars.len(), "avatar");
        let rows: Vec<_> = avatars.iter().map(row).collect();
        table(&COLUMNS, &rows, "The account has no avatars.");
        line(&format!("{count}, {watched} watched"));
    }
    if complete { Exit::Ok } else { Exit::Failed }
}

async fn list_all(
    settings: &Settings,
) -> Result<Vec<(&AccountName, ListObservation)>, DaemonError> {
    let mut lists = Vec::new();
    for (name, account) in &settings.accounts {
        let client = wiring::client(account)?;
        lists.push((name, client.list_avatars(SystemClock.now()).await));
    }
    Ok(lists)
}

/// The listed avatars of an account, and those that only the config has.
fn merged(name: &AccountName, listed: Vec<Avatar>, settings: &Settings) -> Vec<AccountAvatar> {
    let configured = settings.avatars.iter().filter(|avatar| avatar.account == *name);
    let mut configured: BTreeMap<String, &AvatarSettings> =
        configured.map(|avatar| (avatar.id.as_str().to_ascii_lowercase(), avatar)).collect();
    let discovers = settings.discover.as_ref().is_some_and(|it| it.accounts.contains(name));
    let mut avatars: Vec<AccountAvatar> = listed
        .into_iter()
        .map(|avatar| {
            let known = configured.remove(&avatar.id.as_str().to_ascii_lowercase());
            AccountAvatar {
                account: name.to_string(),
                id: avatar.id.to_string(),
                name: known.and_then(|it| it.name.clone()).or(avatar.name),
                model: avatar.model,
                status: Some(avatar.status.to_string()),
                watched: match known {
                    Some(_) => Some("config"),
                    None => discovers.then_some("discovered"),
                },
            }
        })
        .collect();
    avatars.extend(configured.into_values().map(|avatar| AccountAvatar {
        account: name.to_string(),
        id: avatar.id.to_string(),
        name: avatar.name.clone(),
        model: None,
        status: None,
        watched: Some("config"),
    }));
    avatars.sort_by_cached_key(|it| (it.name.is_none(), it.name.clone(), it.id.clone()));
    avatars
}

fn row(avatar: &AccountAvatar) -> Vec<String> {
    vec![
        sanitize_line(avatar.name.as_deref().unwrap_or_default(), NAME_CHARS_MAX),
        avatar.id.clone(),
        avatar.account.clone(),
        avatar.model.clone().unwrap_or_default(),
        avatar.status.clone().unwrap_or_else(|| "not listed".to_owned()),
        avatar.watched.unwrap_or("no").to_owned(),
    ]
}

const COLUMNS: [Column; 6] = [
    Column::cut("name", 16),
    Column::text("id"),
    Column::cut("account", 8).rank(2),
    Column::text("model").rank(3),
    Column::cut("status", 12),
    Column::text("watched").rank(1),
];
