//! `avatar-watch deliveries`: lists and shows deliveries; sends them again or cancels them.

use std::collections::BTreeMap;
use std::path::Path;

use crate::cli::args::admin::{DatabaseArgs, DeliveriesAction, DeliveriesArgs, ListArgs};
use crate::cli::args::name;
use crate::cli::avatar_names::AvatarNames;
use crate::cli::exit::Exit;
use crate::cli::local_time::{LocalTime, Since};
use crate::cli::locations::{Locations, find_and_warn, print_read_error};
use crate::cli::message_text::{raw, readable};
use crate::cli::output::{
    json, known_or_print, line, print_count, print_error, print_failure, print_help,
};
use crate::cli::table::{Column, table};
use crate::daemon::clock::SystemClock;
use crate::daemon::ports::Clock as _;
use crate::daemon::rng::Rng;
use crate::domain::delivery::DeliveryId;
use crate::domain::delivery::channel_name::ChannelName;
use crate::domain::event::EventKind;
use crate::domain::time::timestamp::Timestamp;
use crate::store::admin::deliveries::{AdminResult, DeadLetterFilter, DeliveryAdmin, RetryAs};
use crate::store::error::StoreError;
use crate::store::reader::{ChannelRow, DeliveryFilter, DeliveryRow, Reader};
use crate::text::plural::counted;
use crate::text::sanitize::sanitize;
use crate::web::delivery_views::{AttemptView, DeliveryView, DeliveryWithAttempts};

pub(crate) fn deliveries(config: Option<&Path>, args: &DeliveriesArgs) -> Exit {
    match &args.action {
        None => list(config, &args.list),
        Some(DeliveriesAction::List(args)) => list(config, args),
        Some(DeliveriesAction::Show { id, raw, database }) => {
            let form = if *raw { MessageForm::Raw } else { MessageForm::Readable };
            show(config, id, form, database)
        }
        Some(DeliveriesAction::Retry { id: None, dead: false, .. }) => {
            print_error("avatar-watch: nothing says what to send again");
            print_help(
                "give the id of a delivery (`avatar-watch deliveries --state dead` lists them), or \
                 `--dead` for all dead letters",
            );
            Exit::Problems
        }
        Some(DeliveriesAction::Retry { id: Some(id), database, as_new, .. }) => {
            change(config, database, id, |admin, id, now, rng| {
                admin.retry(id, retry_as(*as_new), now, rng.next_bits())
            })
        }
        Some(DeliveriesAction::Retry { id: None, since, channel, database, as_new, .. }) => {
            let found = find_and_warn(config, database.database.as_deref());
            retry_dead(&found, *since, channel.as_deref(), retry_as(*as_new), database)
                .unwrap_or_else(|error| print_read_error(&found, &error))
        }
        Some(DeliveriesAction::Cancel { id, database }) => {
            change(config, database, id, |admin, id, now, _| admin.cancel(id, now))
        }
    }
}

fn list(config: Option<&Path>, args: &ListArgs) -> Exit {
    let found = find_and_warn(config, args.database.database.as_deref());
    let now = SystemClock.now();
    let read = Reader::snapshot(&found.database, |reader| {
        let names = AvatarNames::read(&found, reader)?;
        let filter = match filter(args, &names, &known_channels(&found, reader)?) {
            Ok(filter) => filter,
            Err(exit) => return Ok(Err(exit)),
        };
        let channels = reader.channels()?;
        let rows = reader.deliveries(&filter)?;
        let views = rows.iter().map(|row| view(row, &names, &channels, now)).collect();
        Ok(Ok((views, reader.delivery_count(&filter)?)))
    });
    let (views, total): (Vec<DeliveryView>, u64) = match read {
        Ok(Ok(listed)) => listed,
        Ok(Err(exit)) => return exit,
        Err(error) => return print_read_error(&found, &error),
    };
    if args.database.json {
        json(&views);
        return Exit::Ok;
    }
    let time = LocalTime::new(args.database.utc);
    let rows: Vec<_> = views.iter().map(|view| row(view, &time)).collect();
    table(&COLUMNS, &rows, "No deliveries, or none that these options select.");
    if !rows.is_empty() {
        print_count(rows.len(), total, "newest", "delivery");
    }
    Exit::Ok
}

fn filter(
    args: &ListArgs,
    names: &AvatarNames,
    channels: &[String],
) -> Result<DeliveryFilter, Exit> {
    let known: Vec<&str> = channels.iter().map(String::as_str).collect();
    let types = [&EventKind::SELECTABLE[..], &EventKind::OPERATIONAL[..]].concat();
    let types: Vec<&str> = types.into_iter().map(EventKind::name).collect();
    let channel = args.channel.as_deref().map(|word| known_or_print("channel", word, &known));
    let event = args.event.as_deref().map(|word| known_or_print("type of event", word, &types));
    let avatar = args.avatar.as_deref().map(|text| names.find_or_print(text));
    Ok(DeliveryFilter {
        state: args.state.as_ref().map(name),
        channel: channel.transpose()?,
        avatar: avatar.transpose()?.map(|id| id.to_string()),
        event_type: event.transpose()?,
        limit: Some(args.limit),
    })
}

/// The channels of the config and of the database.
fn known_channels(found: &Locations, reader: &Reader) -> Result<Vec<String>, StoreError> {
    let stored = reader.channels()?.into_iter().map(|channel| channel.name.to_string());
    let mut all: Vec<String> =
        found.partial.channels.iter().flatten().cloned().chain(stored).collect();
    all.sort();
    all.dedup();
    Ok(all)
}

fn view(
    row: &DeliveryRow,
    names: &AvatarNames,
    channels: &[ChannelRow],
    now: Timestamp,
) -> DeliveryView {
    let name = row.ordering_key.avatar_id().and_then(|id| names.name(id));
    DeliveryView::new(row, name, channels, now)
}

/// How messages are shown.
#[derive(Clone, Copy, Debug)]
enum MessageForm {
    /// As a person reads them.
    Readable,
    /// As they are sent.
    Raw,
}

/// A delivery, and its message as it is shown.
struct Shown {
    full: DeliveryWithAttempts,
    message: String,
}

fn show(config: Option<&Path>, id: &str, form: MessageForm, database: &DatabaseArgs) -> Exit {
    let found = find_and_warn(config, database.database.as_deref());
    let read = Reader::snapshot(&found.database, |reader| {
        let names = AvatarNames::read(&found, reader)?;
        let (rows, channels, now) =
            (reader.deliveries_of(id)?, reader.channels()?, SystemClock.now());
        let shown = |row| read_shown(reader, row, view(row, &names, &channels, now), form);
        rows.iter().map(shown).collect::<Result<Vec<_>, _>>()
    });
    let all = match read {
        Ok(all) => all,
        Err(error) => return print_read_error(&found, &error),
    };
    let Some(first) = all.first() else { return print_not_found(id) };
    match (database.json, first.full.delivery.id == id) {
        (true, true) => json(&first.full),
        (true, false) => json(&all.iter().map(|it| &it.full).collect::<Vec<_>>()),
        (false, _) => print_event(&all, &LocalTime::new(database.utc)),
    }
    Exit::Ok
}

fn read_shown(
    reader: &Reader,
    row: &DeliveryRow,
    delivery: DeliveryView,
    form: MessageForm,
) -> Result<Shown, StoreError> {
    let attempts = reader.attempts(&row.id)?;
    let (content_type, body) = reader.message(&row.id)?.unwrap_or_default();
    let message = match form {
        MessageForm::Readable => readable(&content_type, &body),
        MessageForm::Raw => raw(&body),
    };
    let full = DeliveryWithAttempts {
        delivery,
        attempt_log: attempts.iter().map(AttemptView::from).collect(),
        message: Some(raw(&body)),
    };
    Ok(Shown { full, message })
}

/// Prints the event, and each of its deliveries.
fn print_event(all: &[Shown], time: &LocalTime) {
    let Some(Shown { full, .. }) = all.first() else { return };
    let DeliveryView { event_id, event_type, title, subject, avatar_name, .. } = &full.delivery;
    let about = match avatar_name {
        Some(name) => format!("{name} ({subject})"),
        None => subject.clone(),
    };
    line(&format!("{}\n{event_type} about {}, {event_id}", sanitize(title), sanitize(&about)));
    for Shown { full, message } in all {
        line(&format!("\n{}", sanitize(&sentence(&full.delivery, time))));
        line(&format!("created at {}", time.show(&full.delivery.created_at)));
        if let Some(fallback) = &full.delivery.fallback {
            line(&sanitize(&format!("sent in the standard format: {fallback}")));
        }
        let rows: Vec<_> = full.attempt_log.iter().map(|it| attempt_row(it, time)).collect();
        table(&ATTEMPT_COLUMNS, &rows, "No attempts yet.");
        line("\nMessage:\n");
        line(message);
    }
}

/// What became of a delivery: `dlv_… to ops: dead, no attempts left: …`.
fn sentence(delivery: &DeliveryView, time: &LocalTime) -> String {
    let recipient = delivery.recipient.as_ref().map(|to| format!(" ({to})")).unwrap_or_default();
    let next = delivery.next_attempt.map(|next| next.text(|at| time.show_time(at)));
    let next = next.map(|next| format!(", next attempt {next}")).unwrap_or_default();
    let details = details(delivery);
    let details = if details.is_empty() { details } else { format!(", {details}") };
    let DeliveryView { id, channel, state, .. } = delivery;
    format!("{id} to {channel}{recipient}: {state}{next}{details}")
}

/// What is to be known about its state: its successor, or why it is not delivered.
fn details(delivery: &DeliveryView) -> String {
    let DeliveryView { resent_as, resent_state, final_reason, last_error, .. } = delivery;
    match (resent_as, resent_state, delivery.state.as_str()) {
        (Some(id), Some(state), _) => format!("sent again as {id} ({state})"),
        (_, _, "delivered") => String::new(),
        (..) => final_reason.clone().or_else(|| last_error.clone()).unwrap_or_default(),
    }
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
) -> Exit {
    let Ok(id) = DeliveryId::parse(id).map_err(|error| print_failure(&error)) else {
        return Exit::Problems;
    };
    let Ok(rng) = Rng::from_entropy().map_err(|error| print_failure(&error)) else {
        return Exit::Disk;
    };
    let found = find_and_warn(config, database.database.as_deref());
    let path = &found.database;
    let done = DeliveryAdmin::open(path).and_then(|mut admin| {
        let result = act(&mut admin, &id, SystemClock.now(), &rng)?;
        let waits = match &result {
            AdminResult::Done(done) => waiting_for(path, std::slice::from_ref(done), database.utc)?,
            _ => BTreeMap::new(),
        };
        Ok((result, waits))
    });
    match done {
        Ok((result, waits)) => {
            report(&id, result, waits.into_keys().next().as_deref(), database.json)
        }
        Err(error) => print_read_error(&found, &error),
    }
}

/// What keeps the deliveries from being sent now, with the number of those that it keeps.
fn waiting_for(
    path: &Path,
    ids: &[DeliveryId],
    utc: bool,
) -> Result<BTreeMap<String, usize>, StoreError> {
    let (time, now) = (LocalTime::new(utc), SystemClock.now());
    Reader::snapshot(path, |reader| {
        let (channels, mut found) = (reader.channels()?, BTreeMap::new());
        for id in ids {
            let row = reader.delivery(id.as_str())?;
            let view = row.map(|row| DeliveryView::new(&row, None, &channels, now));
            let obstacle = view.and_then(|view| {
                view.next_attempt?.obstacle(&view.channel, |at| time.show_time(at))
            });
            if let Some(obstacle) = obstacle {
                *found.entry(obstacle).or_default() += 1;
            }
        }
        Ok(found)
    })
}

const fn retry_as(as_new: bool) -> RetryAs {
    if as_new { RetryAs::NewId } else { RetryAs::SameId }
}

fn retry_dead(
    found: &Locations,
    since: Option<Since>,
    channel: Option<&str>,
    retry_as: RetryAs,
    database: &DatabaseArgs,
) -> Result<Exit, StoreError> {
    let channels = Reader::snapshot(&found.database, |reader| known_channels(found, reader))?;
    let channels: Vec<&str> = channels.iter().map(String::as_str).collect();
    let channel = match channel.map(|word| known_or_print("channel", word, &channels)).transpose() {
        Ok(channel) => channel.and_then(|name| ChannelName::parse(&name).ok()),
        Err(exit) => return Ok(exit),
    };
    let Ok(rng) = Rng::from_entropy().map_err(|error| print_failure(&error)) else {
        return Ok(Exit::Disk);
    };
    let now = SystemClock.now();
    let zone = LocalTime::new(database.utc);
    let since = since.map(|since| since.at(now, &zone));
    let mut admin = DeliveryAdmin::open(&found.database)?;
    let ids = admin.dead_letters(&DeadLetterFilter { since, channel })?;
    let mut fresh = Vec::new();
    for id in &ids {
        if let AdminResult::Done(new) = admin.retry(id, retry_as, now, rng.next_bits())? {
            fresh.push(new);
        }
    }
    if database.json {
        json(&fresh.iter().map(DeliveryId::as_str).collect::<Vec<_>>());
    } else {
        let waits = waiting_for(&found.database, &fresh, database.utc)?;
        resent_lines(fresh.len(), ids.len(), &waits).iter().for_each(|it| line(it));
    }
    Ok(Exit::Ok)
}

fn resent_lines(resent: usize, all: usize, waits: &BTreeMap<String, usize>) -> Vec<String> {
    if all == 0 {
        return vec!["there are no dead letters, so nothing is sent again".to_owned()];
    }
    let waiting: usize = waits.values().sum();
    let (letters, are) = (counted(all, "dead letter"), if all == 1 { "is" } else { "are" });
    let done = match resent.saturating_sub(waiting) {
        0 if waiting > 0 => format!("{resent} of {letters} {are} pending again"),
        sent => format!("{sent} of {letters} {are} sent again"),
    };
    let first = format!("{done}; `avatar-watch deliveries` shows the result");
    let wait = |(why, count): (&String, &usize)| {
        let verb = if *count == 1 { "waits" } else { "wait" };
        format!("  {count} {verb}: {}", sanitize(why))
    };
    std::iter::once(first).chain(waits.iter().map(wait)).collect()
}

fn report(id: &DeliveryId, result: AdminResult, waits: Option<&str>, as_json: bool) -> Exit {
    let waits = waits.map(|why| format!("; it waits: {}", sanitize(why)));
    match result {
        AdminResult::Done(done) if as_json => json(&[done.to_string()]),
        AdminResult::Cancelled(done) if as_json => json(&[done.to_string()]),
        AdminResult::Cancelled(done) => line(&format!("{done}: cancelled, it is not sent")),
        AdminResult::Done(done) if done == *id => {
            let next = waits.unwrap_or_else(|| ", its next attempt is made now".to_owned());
            line(&format!("{id}: pending already{next}"));
        }
        AdminResult::Done(done) => match waits {
            Some(waits) => line(&format!("{id}: pending again as {done}{waits}")),
            None => line(&format!("{id}: sent again as {done}")),
        },
        AdminResult::NotFound => return print_not_found(id.as_str()),
        AdminResult::Resent(successor, state) => {
            print_error(&format!("avatar-watch: {id} was sent again as {successor} ({state})"));
            return Exit::Failed;
        }
        AdminResult::InvalidState(state) => {
            print_error(&format!("avatar-watch: {id} cannot be changed: it is {state}"));
            return Exit::Failed;
        }
    }
    Exit::Ok
}

fn print_not_found(id: &str) -> Exit {
    print_error(&format!("avatar-watch: no delivery and no event `{}`", sanitize(id)));
    Exit::Failed
}

fn row(view: &DeliveryView, time: &LocalTime) -> Vec<String> {
    vec![
        view.title.clone(),
        view.channel.clone(),
        view.recipient.clone().unwrap_or_default(),
        view.state.clone(),
        view.attempts.to_string(),
        view.next_attempt.map(|next| next.text(|at| time.show_time(at))).unwrap_or_default(),
        details(view),
        time.show(&view.updated_at),
        view.id.clone(),
    ]
}

fn attempt_row(view: &AttemptView, time: &LocalTime) -> Vec<String> {
    let (error, snippet) = (view.error.as_deref(), view.response.as_deref());
    let response = match (error, snippet) {
        (Some(error), Some(snippet)) if !error.contains(snippet) => {
            Some(format!("{error}: `{snippet}`"))
        }
        _ => error.or(snippet).map(str::to_owned),
    };
    vec![
        view.number.to_string(),
        time.show(&view.started_at),
        view.outcome.clone().unwrap_or_else(|| "in flight".to_owned()),
        view.phase.clone().unwrap_or_default(),
        view.code.map(|code| code.to_string()).unwrap_or_default(),
        view.latency_ms.map(|latency| format!("{latency} ms")).unwrap_or_default(),
        response.unwrap_or_default(),
    ]
}

const COLUMNS: [Column; 9] = [
    Column::cut("message", 16),
    Column::cut("channel", 8),
    Column::cut("recipient", 16).rank(3),
    Column::text("state"),
    Column::number("attempts").rank(5),
    Column::text("next attempt").rank(1),
    Column::cut("details", 12),
    Column::text("updated at").rank(4),
    Column::text("delivery").rank(2),
];
const ATTEMPT_COLUMNS: [Column; 7] = [
    Column::number("attempt"),
    Column::text("started at"),
    Column::text("outcome"),
    Column::text("phase").rank(2),
    Column::number("code"),
    Column::number("latency").rank(1),
    Column::cut("response", 16),
];
