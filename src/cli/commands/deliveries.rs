//! `avatar-watch deliveries`: lists and shows deliveries; retries or cancels them.

use std::path::Path;
use std::time::Duration;

use crate::cli::args::admin::{DatabaseArgs, DeliveriesAction, DeliveriesArgs, ListArgs};
use crate::cli::args::name;
use crate::cli::exit::Exit;
use crate::cli::locations::{database_path, find_and_warn};
use crate::cli::output::{
    failed, json, line, print_error, print_failure, print_store_error, table,
};
use crate::daemon::clock::SystemClock;
use crate::daemon::ports::Clock as _;
use crate::daemon::rng::Rng;
use crate::domain::delivery::DeliveryId;
use crate::domain::delivery::channel_name::ChannelName;
use crate::domain::time::timestamp::Timestamp;
use crate::store::admin::deliveries::{AdminResult, DeliveryAdmin, FailedFilter, RetryAs};
use crate::store::error::StoreError;
use crate::store::reader::{DeliveryFilter, Reader};
use crate::text::sanitize::sanitize;
use crate::web::views::{AttemptView, DeliveryView, DeliveryWithAttempts};

pub(crate) fn deliveries(config: Option<&Path>, args: &DeliveriesArgs) -> Exit {
    let done = match &args.action {
        None => list(config, &args.list),
        Some(DeliveriesAction::List(args)) => list(config, args),
        Some(DeliveriesAction::Show { id, database }) => show(config, id, database),
        Some(DeliveriesAction::Retry { id: Some(id), database, as_new, .. }) => {
            change(config, database, id, |admin, id, now, rng| {
                admin.retry(id, retry_as(*as_new), now, rng.next_bits())
            })
        }
        Some(DeliveriesAction::Retry { id: None, since, channel, database, as_new, .. }) => {
            retry_failed(config, *since, channel.as_deref(), retry_as(*as_new), database)
        }
        Some(DeliveriesAction::Cancel { id, database }) => {
            change(config, database, id, |admin, id, now, _| admin.cancel(id, now))
        }
    };
    done.unwrap_or_else(|error| print_store_error(&error))
}

fn list(config: Option<&Path>, args: &ListArgs) -> Result<Exit, StoreError> {
    let found = find_and_warn(config, args.database.database.as_deref());
    let filter = DeliveryFilter {
        state: args.state.as_ref().map(name),
        channel: args.channel.clone(),
        avatar: args.avatar.clone(),
        limit: Some(args.limit),
    };
    let rows = Reader::snapshot(&found.database, |reader| reader.deliveries(&filter))?;
    let views: Vec<DeliveryView> = rows.iter().map(DeliveryView::from).collect();
    if args.database.json {
        json(&views);
    } else {
        let header = ["delivery", "event", "avatar", "channel", "state", "attempts", "updated at"];
        table(&header, views.iter().map(row).collect(), "No deliveries.");
    }
    Ok(Exit::Ok)
}

fn show(config: Option<&Path>, id: &str, database: &DatabaseArgs) -> Result<Exit, StoreError> {
    let path = database_path(config, database.database.as_deref());
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
        return Ok(Exit::Ok);
    }
    let DeliveryView { id, event_id, event_type, subject, channel, recipient, state, .. } =
        &full.delivery;
    let to = recipient.as_ref().map(|recipient| format!(" to {recipient}")).unwrap_or_default();
    line(&sanitize(&format!("{id}: {state}")));
    let of = if full.delivery.avatar_id.is_none() { "of" } else { "of avatar" };
    line(&sanitize(&format!("  {event_type} ({event_id}) {of} {subject}")));
    line(&sanitize(&format!("  channel {channel}{to}, created at {}", full.delivery.created_at)));
    if let Some(reason) = &full.delivery.final_reason {
        line(&sanitize(&format!("  ended: {reason}")));
    }
    if let Some(fallback) = &full.delivery.fallback {
        line(&sanitize(&format!("  sent in the standard format: {fallback}")));
    }
    if let Some(next) = &full.delivery.next_attempt_at {
        line(&format!("  next attempt at {next}"));
    }
    line("");
    let header = ["attempt", "started at", "outcome", "phase", "code", "latency", "response"];
    let rows = full.attempt_log.iter().map(attempt_row).collect();
    table(&header, rows, "No attempts yet.");
    line("\nMessage:\n");
    full.message.iter().flat_map(|text| text.lines()).for_each(|text| line(&sanitize(text)));
    Ok(Exit::Ok)
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
    let Ok(rng) = Rng::from_entropy().map_err(|error| print_failure(&error)) else {
        return Ok(Exit::Disk);
    };
    let mut admin = DeliveryAdmin::open(&database_path(config, database.database.as_deref()))?;
    let result = act(&mut admin, &id, SystemClock.now(), &rng)?;
    Ok(report(&id, result, database.json))
}

const fn retry_as(as_new: bool) -> RetryAs {
    if as_new { RetryAs::NewId } else { RetryAs::SameId }
}

fn retry_failed(
    config: Option<&Path>,
    since: Option<Duration>,
    channel: Option<&str>,
    retry_as: RetryAs,
    database: &DatabaseArgs,
) -> Result<Exit, StoreError> {
    let channel = match channel.map(ChannelName::parse).transpose() {
        Ok(channel) => channel,
        Err(error) => return Ok(failed(&error, Exit::Failed)),
    };
    let Ok(rng) = Rng::from_entropy().map_err(|error| print_failure(&error)) else {
        return Ok(Exit::Disk);
    };
    let now = SystemClock.now();
    let since = since.map(|ago| {
        let millis = i64::try_from(ago.as_millis()).unwrap_or(i64::MAX);
        Timestamp::from_millis(now.as_millis().saturating_sub(millis))
    });
    let mut admin = DeliveryAdmin::open(&database_path(config, database.database.as_deref()))?;
    let ids = admin.failed(&FailedFilter { since, channel })?;
    let mut fresh = Vec::new();
    for id in &ids {
        if let AdminResult::Done(new) = admin.retry(id, retry_as, now, rng.next_bits())? {
            fresh.push(new.to_string());
        }
    }
    if database.json {
        json(&fresh);
    } else {
        line(&format!("retrying {} of {} failed deliveries", fresh.len(), ids.len()));
    }
    Ok(Exit::Ok)
}

fn report(id: &DeliveryId, result: AdminResult, as_json: bool) -> Exit {
    match result {
        AdminResult::Done(done) if as_json => json(&[done.to_string()]),
        AdminResult::Done(done) if done == *id => line(&format!("{id}: done")),
        AdminResult::Done(done) => line(&format!("{id}: retried as {done}")),
        AdminResult::NotFound => return print_not_found(id.as_str()),
        AdminResult::InvalidState(state) => {
            print_error(&format!("avatar-watch: {id} cannot be changed: it is {state}"));
            return Exit::Failed;
        }
    }
    Exit::Ok
}

fn print_not_found(id: &str) -> Exit {
    print_error(&format!("avatar-watch: no delivery `{}`", sanitize(id)));
    Exit::Failed
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
    let response = match (error, snippet) {
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
        view.latency_ms.map(|latency| format!("{latency} ms")).unwrap_or_default(),
        response.unwrap_or_default(),
    ]
}
