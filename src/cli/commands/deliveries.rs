//! `avatar-watch deliveries`: what was told and what was not; send again, cancel.

use std::path::Path;
use std::time::Duration;

use crate::cli::args::admin::{DatabaseArgs, DeliveriesAction, DeliveriesArgs, ListArgs};
use crate::cli::exit::Exit;
use crate::cli::output::{json, line, print_error, print_failure, print_store_error, table};
use crate::cli::paths::locations;
use crate::daemon::clock::SystemClock;
use crate::daemon::ports::Clock as _;
use crate::daemon::rng::Rng;
use crate::domain::delivery::DeliveryId;
use crate::domain::delivery::channel::ChannelName;
use crate::domain::time::timestamp::Timestamp;
use crate::store::admin::deliveries::{AdminResult, DeliveryAdmin, FailedFilter, RetryAs};
use crate::store::error::StoreError;
use crate::store::reader::{DeliveryFilter, Reader};
use crate::text::sanitize::sanitize;
use crate::web::views::{AttemptView, DeliveryView, DeliveryWithAttempts};

/// Does what was asked with the deliveries.
pub fn deliveries(config: Option<&Path>, args: &DeliveriesArgs) -> Exit {
    let done = match &args.action {
        None => list(config, &args.list),
        Some(DeliveriesAction::List(args)) => list(config, args),
        Some(DeliveriesAction::Show { id, database }) => show(config, id, database),
        Some(DeliveriesAction::Retry { id: Some(id), database, as_new, .. }) => {
            change(config, database, id, |hands, id, now, chance| {
                hands.retry(id, retry_as(*as_new), now, chance.next_bits())
            })
        }
        Some(DeliveriesAction::Retry { id: None, since, channel, database, as_new, .. }) => {
            let which = RetryFilter { since: *since, channel: channel.as_deref(), as_new: *as_new };
            retry_failed(config, &which, database)
        }
        Some(DeliveriesAction::Cancel { id, database }) => {
            change(config, database, id, |hands, id, now, _| hands.cancel(id, now))
        }
    };
    done.unwrap_or_else(|error| print_store_error(&error))
}

fn list(config: Option<&Path>, args: &ListArgs) -> Result<Exit, StoreError> {
    let found = locations(config, args.database.database.as_deref());
    let filter = DeliveryFilter {
        state: args.state.map(|state| state.name().to_owned()),
        channel: args.channel.clone(),
        avatar: args.avatar.clone(),
        limit: args.limit,
    };
    let rows = Reader::snapshot(&found.database, |reader| reader.deliveries(&filter))?;
    let views: Vec<DeliveryView> = rows.iter().map(DeliveryView::from).collect();
    if args.database.json {
        json(&views);
    } else {
        let header = ["delivery", "event", "avatar", "channel", "state", "attempts", "updated at"];
        table(&header, views.iter().map(row).collect(), "No deliveries.");
    }
    Ok(Exit::Good)
}

fn show(config: Option<&Path>, id: &str, database: &DatabaseArgs) -> Result<Exit, StoreError> {
    let path = locations(config, database.database.as_deref()).database;
    let found = Reader::snapshot(&path, |reader| {
        let Some(delivery) = reader.delivery(id)? else { return Ok(None) };
        let attempts = reader.attempts(&delivery.id)?;
        let body = reader.body(&delivery.id)?.unwrap_or_default();
        Ok(Some(DeliveryWithAttempts {
            delivery: DeliveryView::from(&delivery),
            attempt_log: attempts.iter().map(AttemptView::from).collect(),
            message: Some(String::from_utf8_lossy(&body).into_owned()),
        }))
    })?;
    let Some(full) = found else { return Ok(print_not_found(id)) };
    if database.json {
        json(&full);
        return Ok(Exit::Good);
    }
    let DeliveryView { id, event_id, event_type, subject, channel, recipient, state, .. } =
        &full.delivery;
    let to = recipient.as_ref().map(|recipient| format!(" to {recipient}")).unwrap_or_default();
    line(&sanitize(&format!("{id}: {state}")));
    let of = if full.delivery.avatar_id.is_none() { "of" } else { "of avatar" };
    line(&sanitize(&format!("  {event_type} ({event_id}) {of} {subject}")));
    line(&sanitize(&format!("  over channel {channel}{to}, made at {}", full.delivery.created_at)));
    if let Some(reason) = &full.delivery.final_reason {
        line(&sanitize(&format!("  ended: {reason}")));
    }
    if let Some(fallback) = &full.delivery.fallback {
        line(&sanitize(&format!("  in the standard body, since {fallback}")));
    }
    if let Some(next) = &full.delivery.next_attempt_at {
        line(&format!("  next attempt at {next}"));
    }
    line("");
    let header = ["attempt", "began at", "outcome", "phase", "code", "took", "said"];
    let rows = full.attempt_log.iter().map(attempt_row).collect();
    table(&header, rows, "It was not tried yet.");
    line("\nThe message:\n");
    full.message.iter().flat_map(|text| text.lines()).for_each(|text| line(&sanitize(text)));
    Ok(Exit::Good)
}

fn change(
    config: Option<&Path>,
    database: &DatabaseArgs,
    id: &str,
    act: impl FnOnce(
        &mut DeliveryAdmin,
        &DeliveryId,
        Timestamp,
        &Rng,
    ) -> Result<AdminResult, StoreError>,
) -> Result<Exit, StoreError> {
    let Ok(id) = DeliveryId::parse(id).map_err(|error| print_failure(&error)) else {
        return Ok(Exit::Problems);
    };
    let Ok(chance) = Rng::from_entropy().map_err(|error| print_failure(&error)) else {
        return Ok(Exit::Disk);
    };
    let mut hands = DeliveryAdmin::open(&locations(config, database.database.as_deref()).database)?;
    let handled = act(&mut hands, &id, SystemClock.now(), &chance)?;
    Ok(report(&id, handled, database.json))
}

/// Which failed deliveries to send again, and how.
struct RetryFilter<'a> {
    since: Option<Duration>,
    channel: Option<&'a str>,
    as_new: bool,
}

const fn retry_as(as_new: bool) -> RetryAs {
    if as_new { RetryAs::NewId } else { RetryAs::SameId }
}

fn retry_failed(
    config: Option<&Path>,
    which: &RetryFilter<'_>,
    database: &DatabaseArgs,
) -> Result<Exit, StoreError> {
    let channel = match which.channel.map(ChannelName::parse).transpose() {
        Ok(channel) => channel,
        Err(error) => {
            print_error(&format!("avatar-watch: {error}"));
            return Ok(Exit::Bad);
        }
    };
    let Ok(chance) = Rng::from_entropy().map_err(|error| print_failure(&error)) else {
        return Ok(Exit::Disk);
    };
    let now = SystemClock.now();
    let since = which.since.map(|ago| {
        let millis = i64::try_from(ago.as_millis()).unwrap_or(i64::MAX);
        Timestamp::from_millis(now.as_millis().saturating_sub(millis))
    });
    let mut hands = DeliveryAdmin::open(&locations(config, database.database.as_deref()).database)?;
    let failed = hands.failed(&FailedFilter { since, channel })?;
    let mut fresh = Vec::new();
    for id in &failed {
        if let AdminResult::Done(new) =
            hands.retry(id, retry_as(which.as_new), now, chance.next_bits())?
        {
            fresh.push(new.to_string());
        }
    }
    if database.json {
        json(&fresh);
    } else {
        line(&format!("{} of {} failed deliveries are sent again", fresh.len(), failed.len()));
    }
    Ok(Exit::Good)
}

fn report(id: &DeliveryId, handled: AdminResult, as_json: bool) -> Exit {
    match handled {
        AdminResult::Done(done) if as_json => json(&[done.to_string()]),
        AdminResult::Done(done) if done == *id => line(&format!("{id}: done")),
        AdminResult::Done(done) => line(&format!("{id}: sent again as {done}")),
        AdminResult::NotFound => return print_not_found(id.as_str()),
        AdminResult::InvalidState(state) => {
            print_error(&format!("avatar-watch: {id} cannot be changed: it is {state}"));
            return Exit::Bad;
        }
    }
    Exit::Good
}

fn print_not_found(id: &str) -> Exit {
    print_error(&format!("avatar-watch: there is no delivery `{}`", sanitize(id)));
    Exit::Bad
}

fn row(view: &DeliveryView) -> Vec<String> {
    vec![
        view.id.clone(),
        view.event_type.clone(),
        view.subject.clone(),
        view.channel.clone(),
        view.state.clone(),
        view.attempts.to_string(),
        view.updated_at.clone(),
    ]
}

fn attempt_row(view: &AttemptView) -> Vec<String> {
    let (error, snippet) = (view.error.as_deref(), view.response.as_deref());
    let said = match (error, snippet) {
        (Some(error), Some(snippet)) if !error.contains(snippet) => {
            Some(format!("{error}: `{snippet}`"))
        }
        _ => error.or(snippet).map(str::to_owned),
    };
    vec![
        view.number.to_string(),
        view.started_at.clone(),
        view.outcome.clone().unwrap_or_else(|| "in flight".to_owned()),
        view.phase.clone().unwrap_or_default(),
        view.code.map(|code| code.to_string()).unwrap_or_default(),
        view.latency_ms.map(|took| format!("{took} ms")).unwrap_or_default(),
        said.unwrap_or_default(),
    ]
}
