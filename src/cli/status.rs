//! `avatar-watch status`: what each avatar was last seen as.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Serialize;

use crate::cli::args::StatusArgs;
use crate::cli::config_path::{Whereabouts, whereabouts};
use crate::cli::exit::Exit;
use crate::cli::output::{complain, complain_of_store, json, line, table};
use crate::daemon::clock::SystemClock;
use crate::daemon::ports::Clock as _;
use crate::domain::account::AccountName;
use crate::domain::avatar::AvatarId;
use crate::domain::foreign_text::plain;
use crate::domain::span::rough;
use crate::domain::timestamp::Timestamp;
use crate::domain::watch::Watch;
use crate::store::error::StoreError;
use crate::store::lock::DatabaseLock;
use crate::store::reader::{DeliveryCounts, Reader};

#[derive(Debug, Serialize)]
struct View {
    daemon: DaemonView,
    avatars: Vec<AvatarView>,
    conditions: Vec<ConditionView>,
}

#[derive(Debug, Serialize)]
struct DaemonView {
    running: bool,
    pid: Option<u32>,
}

#[derive(Debug, Serialize)]
struct AvatarView {
    id: String,
    name: Option<String>,
    account: Option<String>,
    configured: Option<bool>,
    discovered: bool,
    status: Option<String>,
    since: Option<String>,
    trouble: Option<TroubleView>,
    deliveries_under_way: u64,
    deliveries_failed: u64,
}

#[derive(Debug, Serialize)]
struct TroubleView {
    kind: &'static str,
    since: String,
    reason: String,
}

/// A condition that was told and holds.
#[derive(Debug, Serialize)]
struct ConditionView {
    kind: String,
    subject: String,
    since: String,
    cause: Option<String>,
    reason: Option<String>,
}

/// Shows the watches, and the conditions that hold.
pub fn status(config: Option<&Path>, args: &StatusArgs) -> Exit {
    let found = whereabouts(config, args.database.database.as_deref());
    let view = match read(&found, args.id.as_deref()) {
        Ok(view) => view,
        Err(error) => return complain_of_store(&error),
    };
    if let (Some(id), true) = (&args.id, view.avatars.is_empty()) {
        complain(&format!("avatar-watch: no avatar `{id}` in config or database"));
        return Exit::Bad;
    }
    if args.database.json {
        json(&view);
    } else {
        show(&view);
    }
    Exit::Good
}

fn read(found: &Whereabouts, id: Option<&str>) -> Result<View, StoreError> {
    let reader = Reader::open(&found.database)?;
    let mut watches: BTreeMap<AvatarId, Watch> =
        reader.watches()?.into_iter().map(|watch| (watch.id.clone(), watch)).collect();
    for avatar in found.outline.avatars.iter().flat_map(BTreeMap::keys) {
        watches.entry(avatar.clone()).or_insert_with(|| Watch::new(avatar.clone()));
    }
    let counts = reader.delivery_counts()?;
    let discovered = reader.discovered()?;
    let wanted = |subject: &str| id.is_none_or(|id| subject.eq_ignore_ascii_case(id));
    let avatars = watches.values().filter(|watch| wanted(watch.id.as_str())).map(|watch| {
        let counts = counts.get(&watch.id).copied().unwrap_or_default();
        avatar_view(watch, found, discovered.get(&watch.id), counts)
    });
    let watched = |subject: &str| is_watched(subject, found, &discovered);
    let conditions = reader.conditions()?.into_iter();
    let conditions = conditions.filter(|row| wanted(&row.subject) && watched(&row.subject));
    let conditions = conditions.map(|row| ConditionView {
        kind: row.kind,
        subject: row.subject,
        since: row.since.to_string(),
        cause: row.cause,
        reason: row.reason,
    });
    let holder = DatabaseLock::holder(&found.database);
    Ok(View {
        daemon: DaemonView { running: holder.is_some(), pid: holder.flatten() },
        avatars: avatars.collect(),
        conditions: conditions.collect(),
    })
}

/// Whether a condition is about something that is watched. What was taken out of the config is
/// not looked at, so that nobody can say whether its conditions still hold.
fn is_watched(
    subject: &str,
    found: &Whereabouts,
    discovered: &BTreeMap<AvatarId, AccountName>,
) -> bool {
    let outline = &found.outline;
    match (subject.strip_prefix("account "), AvatarId::parse(subject)) {
        (Some(account), _) => {
            let named = outline.avatars.iter().flat_map(BTreeMap::values);
            let mut used = named.map(|it| &it.account).chain(discovered.values());
            let uses = used.any(|name| name.as_str() == account);
            let accounts = outline.accounts.as_ref();
            let exists = accounts.is_none_or(|names| names.iter().any(|name| name == account));
            exists && (uses || outline.discovers || outline.avatars.is_none())
        }
        (None, Ok(id)) => {
            let registered = outline.avatars.as_ref().is_none_or(|them| them.contains_key(&id));
            registered || discovered.contains_key(&id)
        }
        (None, Err(_)) => true,
    }
}

fn avatar_view(
    watch: &Watch,
    found: &Whereabouts,
    discovered: Option<&AccountName>,
    counts: DeliveryCounts,
) -> AvatarView {
    let avatars = found.outline.avatars.as_ref();
    let registered = avatars.and_then(|avatars| avatars.get(&watch.id));
    let sight = watch.sight.as_ref();
    AvatarView {
        id: watch.id.to_string(),
        name: registered.and_then(|it| it.name.clone()).or_else(|| watch.name.clone()),
        account: registered.map(|it| &it.account).or(discovered).map(ToString::to_string),
        configured: avatars.map(|_| registered.is_some()),
        discovered: discovered.is_some(),
        status: sight.map(|sight| sight.status.to_string()),
        since: sight.map(|sight| sight.since.to_string()),
        trouble: watch.trouble.as_ref().map(|trouble| TroubleView {
            kind: trouble.kind.name(),
            since: trouble.since.to_string(),
            reason: trouble.reason.clone(),
        }),
        deliveries_under_way: counts.under_way,
        deliveries_failed: counts.failed,
    }
}

fn show(view: &View) {
    let now = SystemClock.now();
    let several = view.avatars.iter().filter_map(|avatar| avatar.account.as_ref());
    let several = several.collect::<BTreeSet<_>>().len() > 1;
    let mut header = vec!["avatar", "name", "status", "for", "deliveries", "trouble"];
    if several {
        header.insert(1, "account");
    }
    let rows = view.avatars.iter().map(|avatar| {
        let mut row = row(avatar, now);
        if several {
            row.insert(1, avatar.account.clone().unwrap_or_default());
        }
        row
    });
    let empty = "No avatars yet: register one under `[[avatars]]` in the config.";
    table(&header, rows.collect(), empty);
    if !view.conditions.is_empty() {
        line("");
    }
    for condition in &view.conditions {
        line(&plain(&condition_line(condition, now)));
    }
    if view.avatars.iter().any(|avatar| avatar.configured.is_none()) {
        line("\nThe config cannot be read, so nothing of it is shown.");
    }
    match (view.daemon.running, view.daemon.pid) {
        (true, Some(pid)) => line(&format!("\nThe daemon is running (process {pid}).")),
        (true, None) => line("\nThe daemon is running."),
        (false, _) => line("\nThe daemon is not running: this is what it last wrote."),
    }
}

fn condition_line(condition: &ConditionView, now: Timestamp) -> String {
    let ConditionView { kind, subject, since, cause, reason } = condition;
    let cause = cause.as_ref().map(|cause| format!(", {}", cause.replace('_', " ")));
    let reason = reason.as_ref().map(|reason| format!(": {reason}"));
    let (cause, reason) = (cause.unwrap_or_default(), reason.unwrap_or_default());
    format!("{kind} for `{subject}` for {}{cause}{reason}", age(since, now))
}

/// How long ago that was, for people.
fn age(since: &str, now: Timestamp) -> String {
    let since = Timestamp::parse_rfc3339(since);
    since.map(|since| rough(now.since(since))).unwrap_or_default()
}

fn row(avatar: &AvatarView, now: Timestamp) -> Vec<String> {
    let trouble = avatar.trouble.as_ref().map(|trouble| {
        let since = age(&trouble.since, now);
        format!("{} for {since}: {}", trouble.kind, trouble.reason)
    });
    let deliveries = match (avatar.deliveries_under_way, avatar.deliveries_failed) {
        (0, 0) => String::new(),
        (under_way, 0) => format!("{under_way} under way"),
        (0, failed) => format!("{failed} FAILED"),
        (under_way, failed) => format!("{under_way} under way, {failed} FAILED"),
    };
    let name = avatar.name.clone().unwrap_or_default();
    let name = match avatar.configured {
        Some(false) if avatar.discovered => format!("{name} (found in a list)"),
        Some(false) => format!("{name} (not in the config)"),
        Some(true) | None => name,
    };
    vec![
        avatar.id.clone(),
        name.trim().to_owned(),
        avatar.status.clone().unwrap_or_else(|| "not seen yet".to_owned()),
        avatar.since.as_deref().map(|since| age(since, now)).unwrap_or_default(),
        deliveries,
        trouble.unwrap_or_default(),
    ]
}
