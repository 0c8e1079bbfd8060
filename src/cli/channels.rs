//! `avatar-watch channels`: how each channel is doing; pause, resume, enable.

use std::path::Path;

use serde::Serialize;

use crate::cli::config_path::whereabouts;
use crate::cli::exit::Exit;
use crate::cli::hand_args::{ChannelsAction, ChannelsArgs, DatabaseArgs, SwitchArgs};
use crate::cli::output::{complain, complain_of, complain_of_store, json, line, table};
use crate::daemon::clock::SystemClock;
use crate::daemon::ports::Clock as _;
use crate::domain::channel::ChannelName;
use crate::domain::health::ChannelState;
use crate::domain::span::rough;
use crate::domain::timestamp::Timestamp;
use crate::domain::verdict::obstacle;
use crate::store::error::StoreError;
use crate::store::hands::Hands;
use crate::store::reader::{ChannelRow, FailingRecipient, Reader};
use crate::store::switches::ChannelHandled;

/// A channel, as programs get it.
#[derive(Debug, Serialize)]
pub struct ChannelView {
    /// Its name.
    pub name: String,
    /// Whether it is in the config that a daemon last took.
    pub configured: bool,
    /// `active`, `paused` or `disabled`.
    pub state: &'static str,
    /// Since when it is not told, because it is paused, disabled or not in the config.
    pub parked_since: Option<String>,
    /// Since when operators have to know that it takes nothing.
    pub failing_since: Option<String>,
    /// What went wrong last, for people.
    pub reason: Option<String>,
    /// Its recipients that get nothing, though others may get theirs.
    pub failing_recipients: Vec<RecipientView>,
    /// It is not told before then.
    pub not_before: Option<String>,
    /// Messages that wait or are being sent.
    pub under_way: u64,
    /// The oldest of them was made then.
    pub oldest_under_way_at: Option<String>,
    /// Dead letters that were not sent again since.
    pub failed: u64,
    /// When it last took something.
    pub delivered_at: Option<String>,
}

/// A recipient that gets nothing, as programs get it.
#[derive(Debug, Serialize)]
pub struct RecipientView {
    /// Its address.
    pub recipient: String,
    /// Since when.
    pub failing_since: String,
    /// Why, for people.
    pub reason: Option<String>,
}

impl RecipientView {
    fn new(failing: &FailingRecipient) -> Self {
        Self {
            recipient: failing.address.clone(),
            failing_since: failing.since.to_string(),
            reason: failing.reason.clone(),
        }
    }
}

impl ChannelView {
    /// How a channel is doing at `now`.
    pub fn new(channel: &ChannelRow, now: Timestamp) -> Self {
        let text = |at: Option<Timestamp>| at.map(|at| at.to_string());
        let health = &channel.health;
        Self {
            name: channel.name.to_string(),
            configured: channel.configured,
            state: health.state.name(),
            parked_since: text(channel.parked_since),
            failing_since: text(channel.failing_since()),
            reason: channel.reason(),
            failing_recipients: channel.recipients.iter().map(RecipientView::new).collect(),
            not_before: text(health.ready_at().filter(|at| *at > now)),
            under_way: channel.under_way,
            oldest_under_way_at: text(channel.oldest_at),
            failed: channel.failed,
            delivered_at: text(channel.delivered_at),
        }
    }

    /// What keeps it from being told, in a word, and since when; `None` for one that does well, or
    /// is not in the config and waited for by nothing.
    pub fn trouble(&self) -> Option<(&'static str, Option<&str>)> {
        let state = ChannelState::from_name(self.state).unwrap_or_default();
        let failing = self.failing_since.is_some();
        let word = obstacle(self.configured, state, failing, self.under_way)?;
        Some((word, self.parked_since.as_deref().or(self.failing_since.as_deref())))
    }
}

/// Does what was asked with the channels.
pub fn channels(config: Option<&Path>, args: &ChannelsArgs) -> Exit {
    let done = match &args.action {
        None => list(config, &args.database),
        Some(ChannelsAction::List { database }) => list(config, database),
        Some(ChannelsAction::Pause(args)) => switch(config, args, Switch::Pause),
        Some(ChannelsAction::Resume(args)) => switch(config, args, Switch::Resume),
        Some(ChannelsAction::Enable(args)) => switch(config, args, Switch::Enable),
    };
    done.unwrap_or_else(|error| complain_of_store(&error))
}

/// What can be done to a channel.
#[derive(Clone, Copy)]
enum Switch {
    Pause,
    Resume,
    Enable,
}

fn list(config: Option<&Path>, database: &DatabaseArgs) -> Result<Exit, StoreError> {
    let path = whereabouts(config, database.database.as_deref()).database;
    let channels = Reader::snapshot(&path, Reader::channels)?;
    let now = SystemClock.now();
    if database.json {
        let views: Vec<ChannelView> =
            channels.iter().map(|channel| ChannelView::new(channel, now)).collect();
        json(&views);
    } else {
        let header = ["channel", "state", "waiting", "oldest", "dead", "last took", "trouble"];
        let rows = channels.iter().map(|channel| row(channel, now)).collect();
        table(&header, rows, "No channels yet: a daemon registers them when it starts.");
    }
    Ok(Exit::Good)
}

fn switch(config: Option<&Path>, args: &SwitchArgs, switch: Switch) -> Result<Exit, StoreError> {
    let Ok(name) = ChannelName::parse(&args.channel).map_err(|error| complain_of(&error)) else {
        return Ok(Exit::Problems);
    };
    let path = whereabouts(config, args.database.database.as_deref()).database;
    let (mut hands, now) = (Hands::open(&path)?, SystemClock.now());
    let (handled, done, already) = match switch {
        Switch::Pause => (hands.pause(&name, now)?, "paused", "paused already"),
        Switch::Resume => (hands.resume(&name, now)?, "resumed", "not paused"),
        Switch::Enable => (hands.enable(&name, now)?, "enabled", "well already"),
    };
    drop(hands);
    match handled {
        ChannelHandled::Done | ChannelHandled::Already if args.database.json => {
            let channels = Reader::snapshot(&path, Reader::channels)?;
            let channel = channels.iter().find(|channel| channel.name == name);
            json(&channel.map(|channel| ChannelView::new(channel, now)));
        }
        ChannelHandled::Done => line(&format!("{name}: {done}")),
        ChannelHandled::Already => line(&format!("{name}: {already}")),
        ChannelHandled::NotNow(state) => {
            let mend = match state {
                ChannelState::Paused => "resume",
                ChannelState::Active | ChannelState::Disabled => "enable",
            };
            complain(&format!(
                "avatar-watch: `{name}` is {}\n  help: run `avatar-watch channels {mend} {name}`",
                state.name()
            ));
            return Ok(Exit::Bad);
        }
        ChannelHandled::Unknown => {
            let channels = Reader::snapshot(&path, Reader::channels)?;
            let known: Vec<String> =
                channels.iter().map(|channel| format!("`{}`", channel.name)).collect();
            complain(&format!(
                "avatar-watch: there is no channel `{name}`\n  help: there are {}",
                if known.is_empty() { "none yet".to_owned() } else { known.join(", ") }
            ));
            return Ok(Exit::Bad);
        }
    }
    Ok(Exit::Good)
}

fn row(channel: &ChannelRow, now: Timestamp) -> Vec<String> {
    let ago = |at: Option<Timestamp>| at.map(|at| rough(now.since(at))).unwrap_or_default();
    let health = &channel.health;
    let state = match (channel.configured, health.state) {
        (false, _) => "not in the config",
        (true, ChannelState::Active) if channel.failing_since().is_some() => "FAILING",
        (true, ChannelState::Disabled) => "DISABLED",
        (true, state) => state.name(),
    };
    let waits = health.ready_at().filter(|at| *at > now);
    let waits = waits.map(|at| format!("; not before {at}")).unwrap_or_default();
    let took = channel.delivered_at.map(|at| format!("{} ago", rough(now.since(at))));
    vec![
        channel.name.to_string(),
        state.to_owned(),
        channel.under_way.to_string(),
        ago(channel.oldest_at),
        channel.failed.to_string(),
        took.unwrap_or_else(|| "never".to_owned()),
        format!("{}{waits}", channel.reason().unwrap_or_default()),
    ]
}
