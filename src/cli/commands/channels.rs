//! `avatar-watch channels`: lists channels and their state; pauses, resumes, enables one.

use std::path::Path;
use std::time::Duration;

use crate::cli::args::admin::{ChannelsAction, ChannelsArgs, DatabaseArgs, PauseArgs, SwitchArgs};
use crate::cli::command_line::command_line;
use crate::cli::exit::Exit;
use crate::cli::local_time::LocalTime;
use crate::cli::locations::{find_and_warn, print_read_error};
use crate::cli::output::{age, json, known_or_print, line, print_error, print_failure};
use crate::cli::table::{Column, table};
use crate::config::change::active_routing;
use crate::config::change::snapshot::ConfigSnapshot;
use crate::daemon::clock::SystemClock;
use crate::daemon::ports::Clock as _;
use crate::domain::delivery::channel_health::{ChannelState, Pause};
use crate::domain::delivery::channel_name::ChannelName;
use crate::domain::time::timestamp::Timestamp;
use crate::store::admin::channels::{ChannelAdminResult, ChannelSwitch};
use crate::store::admin::deliveries::DeliveryAdmin;
use crate::store::error::StoreError;
use crate::store::reader::{ChannelRow, Reader};
use crate::text::sanitize::sanitize_line;
use crate::web::routes::with_only;
use crate::web::views::ChannelView;

pub(crate) fn channels(config: Option<&Path>, args: &ChannelsArgs) -> Exit {
    let database = match &args.action {
        None => &args.database,
        Some(ChannelsAction::List { database }) => database,
        Some(ChannelsAction::Pause(PauseArgs { switch, .. })) => &switch.database,
        Some(ChannelsAction::Resume(switch) | ChannelsAction::Enable(switch)) => &switch.database,
    };
    let found = find_and_warn(config, database.database.as_deref());
    let path = found.database.as_path();
    let done = match &args.action {
        None | Some(ChannelsAction::List { .. }) => list(path, database),
        Some(ChannelsAction::Pause(args)) => pause(config, path, args),
        Some(ChannelsAction::Resume(args)) => switch(config, path, args, &ChannelSwitch::Resume),
        Some(ChannelsAction::Enable(args)) => switch(config, path, args, &ChannelSwitch::Enable),
    };
    done.unwrap_or_else(|error| print_read_error(&found, &error))
}

fn list(path: &Path, database: &DatabaseArgs) -> Result<Exit, StoreError> {
    let now = SystemClock.now();
    let channels = read(path, now)?;
    if database.json {
        json(&channels);
    } else {
        let time = LocalTime::new(database.utc);
        let mut columns = COLUMNS.to_vec();
        let has_only = channels.iter().any(|channel| channel.only.is_some());
        if has_only {
            columns.insert(1, Column::cut("only", 12).rank(3));
        }
        let rows = channels.iter().map(|channel| {
            let mut row = row(channel, now, &time);
            if has_only {
                row.insert(1, channel.only.clone().unwrap_or_else(|| "every avatar".to_owned()));
            }
            row
        });
        let empty = "No channels yet: the daemon registers them when it starts.";
        table(&columns, &rows.collect::<Vec<_>>(), empty);
    }
    Ok(Exit::Ok)
}

fn pause(config: Option<&Path>, path: &Path, args: &PauseArgs) -> Result<Exit, StoreError> {
    let now = SystemClock.now();
    if args.lasting.is_some_and(|lasting| lasting > PAUSE_MAX) {
        print_error(
            "avatar-watch: `--for` is too long: at most a year\n  help: without it, the pause \
             lasts until `avatar-watch channels resume`",
        );
        return Ok(Exit::Problems);
    }
    let time = LocalTime::new(args.switch.database.utc);
    let until = args.until.map(|until| until.at(&time));
    let until = until.or_else(|| args.lasting.map(|lasting| now.plus(lasting)));
    if let Some(until) = until.filter(|until| *until <= now) {
        let until = LocalTime::new(args.switch.database.utc).show_time(until);
        print_error(&format!(
            "avatar-watch: `{until}` is in the past\n  help: write a later time, or `--for 8h`"
        ));
        return Ok(Exit::Problems);
    }
    let reason = args.reason.as_deref().map(|it| sanitize_line(it, REASON_CHARS_MAX));
    let pause = Pause { until, reason: reason.filter(|it| !it.is_empty()) };
    switch(config, path, &args.switch, &ChannelSwitch::Pause(pause))
}

fn switch(
    config: Option<&Path>,
    path: &Path,
    args: &SwitchArgs,
    switch: &ChannelSwitch,
) -> Result<Exit, StoreError> {
    let Ok(name) = ChannelName::parse(&args.channel).map_err(|error| print_failure(&error)) else {
        return Ok(Exit::Problems);
    };
    let (mut admin, now) = (DeliveryAdmin::open(path)?, SystemClock.now());
    let result = admin.switch(switch, &name, now)?;
    let (done, already) = match switch {
        ChannelSwitch::Pause(pause) => {
            let zone = LocalTime::new(args.database.utc).zone();
            let end = match pause.until {
                Some(_) => String::new(),
                None => {
                    let resume = command_line(config, &format!("channels resume {name}"));
                    format!(" until `{resume}`")
                }
            };
            (format!("paused{end}{}", pause.text(&zone, now)), "already paused")
        }
        ChannelSwitch::Resume => ("resumed".to_owned(), "not paused"),
        ChannelSwitch::Enable => {
            ("is used again: one message first, then the others".to_owned(), "works already")
        }
    };
    drop(admin);
    match result {
        ChannelAdminResult::Done | ChannelAdminResult::Already if args.database.json => {
            json(&read(path, now)?.iter().find(|channel| channel.name == name.as_str()));
        }
        ChannelAdminResult::Done => line(&format!("{name}: {done}")),
        ChannelAdminResult::Already => line(&format!("{name}: {already}")),
        ChannelAdminResult::InvalidState(state) => {
            let action = match state {
                ChannelState::Paused => "resume",
                ChannelState::Active | ChannelState::Disabled => "enable",
            };
            print_error(&format!(
                "avatar-watch: channel `{name}` is {}\n  help: run `avatar-watch channels {action} \
                 {name}`",
                state.name()
            ));
            return Ok(Exit::Failed);
        }
        ChannelAdminResult::NotFound => {
            let channels = Reader::snapshot(path, Reader::channels)?;
            let known: Vec<&str> = channels.iter().map(|channel| channel.name.as_str()).collect();
            return Ok(known_or_print("channel", name.as_str(), &known)
                .map_or_else(|exit| exit, |_| Exit::Failed));
        }
    }
    Ok(Exit::Ok)
}

fn read(path: &Path, now: Timestamp) -> Result<Vec<ChannelView>, StoreError> {
    Reader::snapshot(path, |reader| {
        let active = reader.active_config()?.as_deref().and_then(ConfigSnapshot::from_text);
        let (kinds, table) = active
            .map(|active| (active.channel_kinds(), active_routing::table(&active)))
            .unwrap_or_default();
        let view = |row: &ChannelRow| {
            let only = table.channels.get(&row.name).map(|it| &it.only);
            with_only(ChannelView::new(row, kinds.get(&row.name), now), only)
        };
        Ok(reader.channels()?.iter().map(view).collect())
    })
}

fn row(channel: &ChannelView, now: Timestamp, time: &LocalTime) -> Vec<String> {
    let state = match (channel.configured, channel.state) {
        (false, _) => "not in the config",
        (true, "active") if channel.failing_since.is_some() => "FAILING",
        (true, "disabled") => "DISABLED",
        (true, state) => state,
    };
    let not_before = channel.not_before.as_ref();
    let not_before =
        not_before.map(|at| format!("; not before {}", time.show(at))).unwrap_or_default();
    let delivered = channel.delivered_at.as_deref().map(|at| format!("{} ago", age(at, now)));
    let pause = channel.pause().text(&time.zone(), now);
    let pause = pause.trim_start();
    let pause = match &channel.reason {
        Some(_) if !pause.is_empty() => format!("{pause}; "),
        Some(_) | None => pause.to_owned(),
    };
    vec![
        channel.name.clone(),
        state.to_owned(),
        channel.in_flight.to_string(),
        channel.oldest_in_flight_at.as_deref().map(|at| age(at, now)).unwrap_or_default(),
        channel.dead_letters.to_string(),
        delivered.unwrap_or_else(|| "never".to_owned()),
        format!("{pause}{}{not_before}", channel.reason.as_deref().unwrap_or_default()),
    ]
}

const COLUMNS: [Column; 7] = [
    Column::text("channel"),
    Column::text("state"),
    Column::number("waiting"),
    Column::text("oldest").rank(2),
    Column::number("dead letters"),
    Column::text("last delivery").rank(1),
    Column::cut("details", 20),
];
const REASON_CHARS_MAX: usize = 200;
/// A longer pause is most likely a mistake.
const PAUSE_MAX: Duration = Duration::from_hours(366 * 24);
