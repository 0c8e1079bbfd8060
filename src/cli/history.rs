//! `avatar-watch history`: every change of status that was observed.

use std::path::Path;

use serde::Serialize;

use crate::cli::args::HistoryArgs;
use crate::cli::config_path::whereabouts;
use crate::cli::exit::Exit;
use crate::cli::output::{complain, complain_of_store, complain_of_stranger, json, table};
use crate::domain::avatar::AvatarId;
use crate::domain::status::Status;
use crate::domain::transition::{Previous, Transition};
use crate::store::error::StoreError;
use crate::store::reader::Reader;

#[derive(Debug, Serialize)]
struct View {
    avatar_id: String,
    sequence: u64,
    previous_status: Option<String>,
    previous_assumed: bool,
    status: String,
    training_observed: bool,
    last_seen_previous_at: Option<String>,
    detected_at: String,
    upstream_updated_at: Option<String>,
}

/// Shows the transitions.
pub fn history(config: Option<&Path>, args: &HistoryArgs) -> Exit {
    let avatar = match args.id.as_deref().map(AvatarId::parse).transpose() {
        Ok(avatar) => avatar,
        Err(error) => {
            complain(&format!("avatar-watch: {error}"));
            return Exit::Problems;
        }
    };
    let found = whereabouts(config, args.database.database.as_deref());
    let registered = |id| found.outline.avatars.as_ref().is_some_and(|all| all.contains_key(id));
    let read = |reader: &Reader| -> Result<Option<Vec<Transition>>, StoreError> {
        if let Some(id) = avatar.as_ref().filter(|id| !registered(id))
            && !reader.watches()?.iter().any(|watch| watch.id == *id)
        {
            return Ok(None);
        }
        reader.transitions(avatar.as_ref(), args.limit).map(Some)
    };
    let views: Vec<View> = match Reader::snapshot(&found.database, read) {
        Ok(Some(transitions)) => transitions.iter().map(view).collect(),
        Ok(None) => return complain_of_stranger(args.id.as_deref().unwrap_or_default()),
        Err(error) => return complain_of_store(&error),
    };
    if args.database.json {
        json(&views);
    } else {
        let header = ["detected at", "avatar", "nr", "from", "to", "last seen before at"];
        table(&header, views.iter().map(row).collect(), "Nothing was observed yet.");
    }
    Exit::Good
}

fn view(transition: &Transition) -> View {
    View {
        avatar_id: transition.avatar_id.to_string(),
        sequence: transition.sequence,
        previous_status: transition.previous.status().map(ToString::to_string),
        previous_assumed: matches!(transition.previous, Previous::Assumed(_)),
        status: transition.status.to_string(),
        training_observed: transition.training_observed(),
        last_seen_previous_at: transition.last_seen_previous_at().map(|at| at.to_string()),
        detected_at: transition.detected_at.to_string(),
        upstream_updated_at: transition.upstream_updated_at.clone(),
    }
}

fn row(view: &View) -> Vec<String> {
    let shown = |status: &str| Status::from_name(status).shown().into_owned();
    let from = match (view.previous_status.as_deref().map(shown), view.previous_assumed) {
        (None, _) => "(first sight)".to_owned(),
        (Some(status), true) => format!("{status} (assumed)"),
        (Some(status), false) => status,
    };
    vec![
        view.detected_at.clone(),
        view.avatar_id.clone(),
        view.sequence.to_string(),
        from,
        shown(&view.status),
        view.last_seen_previous_at.clone().unwrap_or_default(),
    ]
}
