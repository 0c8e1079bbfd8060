//! `avatar-watch channels`: how each channel is doing; pause, resume, enable.

use std::path::Path;

use crate::cli::args::admin::{ChannelsAction, ChannelsArgs, DatabaseArgs, SwitchArgs};
use crate::cli::exit::Exit;
use crate::cli::output::{age, json, line, print_error, print_failure, print_store_error, table};
use crate::cli::paths::locations;
use crate::config::snapshot::ConfigSnapshot;
use crate::daemon::clock::SystemClock;
use crate::daemon::ports::Clock as _;
use crate::domain::delivery::channel::ChannelName;
use crate::domain::delivery::channel_health::ChannelState;
use crate::domain::time::timestamp::Timestamp;
use crate::store::admin::channels::ChannelAdminResult;
use crate::store::admin::deliveries::DeliveryAdmin;
use crate::store::error::StoreError;
use crate::store::reader::{ChannelRow, Reader};
use crate::web::views::ChannelView;

/// Does what was asked with the channels.
pub fn channels(config: Option<&Path>, args: &ChannelsArgs) -> Exit {
    let done = match &args.action {
        None => list(config, &args.database),
        Some(ChannelsAction::List { database }) => list(config, database),
        Some(ChannelsAction::Pause(args)) => switch(config, args, Switch::Pause),
        Some(ChannelsAction::Resume(args)) => switch(config, args, Switch::Resume),
        Some(ChannelsAction::Enable(args)) => switch(config, args, Switch::Enable),
    };
    done.unwrap_or_else(|error| print_store_error(&error))
}

/// What can be done to a channel.
#[derive(Clone, Copy)]
enum Switch {
    Pause,
    Resume,
    Enable,
}

fn list(config: Option<&Path>, database: &DatabaseArgs) -> Result<Exit, StoreError> {
    let path = locations(config, database.database.as_deref()).database;
    let now = SystemClock.now();
    let channels = read(&path, now)?;
    if database.json {
        json(&channels);
    } else {
        let header = ["channel", "state", "waiting", "oldest", "dead", "last took", "trouble"];
        let rows = channels.iter().map(|channel| row(channel, now)).collect();
        table(&header, rows, "No channels yet: a daemon registers them when it starts.");
    }
    Ok(Exit::Good)
}

fn switch(config: Option<&Path>, args: &SwitchArgs, switch: Switch) -> Result<Exit, StoreError> {
    let Ok(name) = ChannelName::parse(&args.channel).map_err(|error| print_failure(&error)) else {
        return Ok(Exit::Problems);
    };
    let path = locations(config, args.database.database.as_deref()).database;
    let (mut hands, now) = (DeliveryAdmin::open(&path)?, SystemClock.now());
    let (handled, done, already) = match switch {
        Switch::Pause => (hands.pause(&name, now)?, "paused", "paused already"),
        Switch::Resume => (hands.resume(&name, now)?, "resumed", "not paused"),
        Switch::Enable => (hands.enable(&name, now)?, "enabled", "well already"),
    };
    drop(hands);
    match handled {
        ChannelAdminResult::Done | ChannelAdminResult::Already if args.database.json => {
            json(&read(&path, now)?.iter().find(|channel| channel.name == name.as_str()));
        }
        ChannelAdminResult::Done => line(&format!("{name}: {done}")),
        ChannelAdminResult::Already => line(&format!("{name}: {already}")),
        ChannelAdminResult::InvalidState(state) => {
            let mend = match state {
                ChannelState::Paused => "resume",
                ChannelState::Active | ChannelState::Disabled => "enable",
            };
            print_error(&format!(
                "avatar-watch: `{name}` is {}\n  help: run `avatar-watch channels {mend} {name}`",
                state.name()
            ));
            return Ok(Exit::Bad);
        }
        ChannelAdminResult::NotFound => {
            let channels = Reader::snapshot(&path, Reader::channels)?;
            let known: Vec<String> =
                channels.iter().map(|channel| format!("`{}`", channel.name)).collect();
            print_error(&format!(
                "avatar-watch: there is no channel `{name}`\n  help: there are {}",
                if known.is_empty() { "none yet".to_owned() } else { known.join(", ") }
            ));
            return Ok(Exit::Bad);
        }
    }
    Ok(Exit::Good)
}

/// Every channel at `now`.
fn read(path: &Path, now: Timestamp) -> Result<Vec<ChannelView>, StoreError> {
    Reader::snapshot(path, |reader| {
        let active = reader.active_config()?.as_deref().and_then(ConfigSnapshot::from_text);
        let kinds = active.map(|active| active.channel_kinds()).unwrap_or_default();
        let view = |row: &ChannelRow| ChannelView::new(row, kinds.get(&row.name), now);
        Ok(reader.channels()?.iter().map(view).collect())
    })
}

fn row(channel: &ChannelView, now: Timestamp) -> Vec<String> {
    let state = match (channel.configured, channel.state) {
        (false, _) => "not in the config",
        (true, "active") if channel.failing_since.is_some() => "FAILING",
        (true, "disabled") => "DISABLED",
        (true, state) => state,
    };
    let waits = channel.not_before.as_ref();
    let waits = waits.map(|at| format!("; not before {at}")).unwrap_or_default();
    let took = channel.delivered_at.as_deref().map(|at| format!("{} ago", age(at, now)));
    vec![
        channel.name.clone(),
        state.to_owned(),
        channel.in_flight.to_string(),
        channel.oldest_in_flight_at.as_deref().map(|at| age(at, now)).unwrap_or_default(),
        channel.failed.to_string(),
        took.unwrap_or_else(|| "never".to_owned()),
        format!("{}{waits}", channel.reason.as_deref().unwrap_or_default()),
    ]
}
