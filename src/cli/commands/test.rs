//! `avatar-watch test`: sends a `test.ping` through a channel, on the same path as events.

use std::path::Path;

use crate::cli::advice;
use crate::cli::args::TestArgs;
use crate::cli::commands::check::{load_or_print, run_hint};
use crate::cli::exit::Exit;
use crate::cli::locations::config_path;
use crate::cli::output::{failed, line, print_error, print_result};
use crate::cli::runtime::block_on;
use crate::config::settings::ChannelSettings;
use crate::daemon::background::channel_test::test_messages;
use crate::daemon::clock::SystemClock;
use crate::daemon::config::wiring;
use crate::daemon::error::DaemonError;
use crate::daemon::ports::Clock as _;
use crate::daemon::rng::Rng;
use crate::domain::delivery::channel_name::ChannelName;
use crate::domain::delivery::{Outcome, OutcomeClass};
use crate::notify::message_context::MessageContext;
use crate::text::sanitize::sanitize;

pub(crate) fn test(config: Option<&Path>, args: &TestArgs) -> Exit {
    let Some(settings) = load_or_print(&config_path(config)) else { return Exit::Config };
    let found = ChannelName::parse(&args.channel).ok();
    let Some(channel) = found.and_then(|name| settings.channels.get(&name)) else {
        let known: Vec<&str> = settings.channels.keys().map(ChannelName::as_str).collect();
        let (name, known) = (sanitize(&args.channel), known.join("`, `"));
        print_error(&format!("avatar-watch: no channel `{name}`; known channels: `{known}`"));
        return Exit::Problems;
    };
    let sent = block_on(ping(channel, &wiring::message_context(&settings)))
        .map_err(|source| DaemonError::System { doing: "starting", source })
        .flatten();
    match sent {
        Ok(Exit::Ok) => {
            line(&format!("Next: {}.", run_hint(config)));
            Exit::Ok
        }
        Ok(exit) => exit,
        Err(error) => failed(&error, Exit::Failed),
    }
}

async fn ping(settings: &ChannelSettings, context: &MessageContext) -> Result<Exit, DaemonError> {
    let rng = Rng::from_entropy()
        .map_err(|source| DaemonError::System { doing: "asking for entropy", source })?;
    let channel = wiring::channel(settings, context)?;
    let mut exit = Exit::Ok;
    for message in test_messages(&channel, &settings.name, SystemClock.now(), &rng) {
        let started = SystemClock.monotonic();
        let outcome = channel.deliver(&message, SystemClock.now()).await;
        let latency = SystemClock.monotonic().since(started).as_millis();
        let to = if message.recipient.is_empty() {
            settings.name.to_string()
        } else {
            format!("{} ({})", settings.name, message.recipient)
        };
        if outcome.class == OutcomeClass::Delivered {
            let text = format!("delivered {} in {latency} ms", message.event_id);
            print_result(&to, true, &text, None);
        } else {
            print_result(&to, false, &failure(&outcome), Some(advice::for_channel(&outcome)));
            exit = Exit::Failed;
        }
    }
    Ok(exit)
}

fn failure(outcome: &Outcome) -> String {
    let code = outcome.code.map(|code| format!(" ({code})")).unwrap_or_default();
    format!("at `{}`{code}: {}", outcome.phase, sanitize(&outcome.summary()))
}
