//! `avatar-watch status`: what each avatar was last seen as.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use crate::cli::args::StatusArgs;
use crate::cli::config_path::{Whereabouts, whereabouts};
use crate::cli::exit::Exit;
use crate::cli::output::{complain, complain_of_store, json, line, table};
use crate::daemon::clock::SystemClock;
use crate::daemon::ports::Clock as _;
use crate::domain::avatar::AvatarId;
use crate::domain::timestamp::Timestamp;
use crate::domain::watch::Watch;
use crate::store::error::StoreError;
use crate::store::lock::DatabaseLock;
use crate::store::reader::{DeliveryCounts, Reader};

#[derive(Debug, Serialize)]
struct View {
    daemon: DaemonView,
    avatars: Vec<AvatarView>,
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
    configured: Option<bool>,
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

/// Shows the watches.
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
    for avatar in found.outline.avatars.iter().flatten().map(|(id, _)| id) {
        watches.entry(avatar.clone()).or_insert_with(|| Watch::new(avatar.clone()));
    }
    let counts = reader.delivery_counts()?;
    let wanted = |watch: &&Watch| id.is_none_or(|id| watch.id.matches(id));
    let avatars = watches
        .values()
        .filter(wanted)
        .map(|watch| avatar_view(watch, found, counts.get(&watch.id).copied().unwrap_or_default()));
    let holder = DatabaseLock::holder(&found.database);
    Ok(View {
        daemon: DaemonView { running: holder.is_some(), pid: holder.flatten() },
        avatars: avatars.collect(),
    })
}

fn avatar_view(watch: &Watch, found: &Whereabouts, counts: DeliveryCounts) -> AvatarView {
    let avatars = found.outline.avatars.as_ref();
    let registered = avatars.and_then(|avatars| avatars.get(&watch.id));
    let sight = watch.sight.as_ref();
    AvatarView {
        id: watch.id.to_string(),
        name: registered.cloned().flatten().or_else(|| watch.name.clone()),
        configured: avatars.map(|_| registered.is_some()),
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
    let rows = view.avatars.iter().map(|avatar| row(avatar, now)).collect();
    let header = ["avatar", "name", "status", "for", "deliveries", "trouble"];
    table(&header, rows, "No avatars yet: register one under `[[avatars]]` in the config.");
    if view.avatars.iter().any(|avatar| avatar.configured.is_none()) {
        line("\nThe config cannot be read, so nothing of it is shown.");
    }
    match (view.daemon.running, view.daemon.pid) {
        (true, Some(pid)) => line(&format!("\nThe daemon is running (process {pid}).")),
        (true, None) => line("\nThe daemon is running."),
        (false, _) => line("\nThe daemon is not running: this is what it last wrote."),
    }
}

fn row(avatar: &AvatarView, now: Timestamp) -> Vec<String> {
    let age = |since: &str| {
        Timestamp::parse_rfc3339(since).map(|since| {
            let seconds = now.since(since).as_secs();
            let rough = if seconds >= 3600 { seconds - seconds % 60 } else { seconds };
            humantime::format_duration(std::time::Duration::from_secs(rough)).to_string()
        })
    };
    let trouble = avatar.trouble.as_ref().map(|trouble| {
        let since = age(&trouble.since).unwrap_or_default();
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
        Some(false) => format!("{name} (not in the config)"),
        Some(true) | None => name,
    };
    vec![
        avatar.id.clone(),
        name.trim().to_owned(),
        avatar.status.clone().unwrap_or_else(|| "not seen yet".to_owned()),
        avatar.since.as_deref().and_then(age).unwrap_or_default(),
        deliveries,
        trouble.unwrap_or_default(),
    ]
}
