//! `avatar-watch history`: lists the observed changes of status.

use std::path::Path;

use crate::cli::args::HistoryArgs;
use crate::cli::exit::Exit;
use crate::cli::locations::find_and_warn;
use crate::cli::output::{failed, json, print_store_error, print_unknown_avatar, table};
use crate::domain::avatar::AvatarId;
use crate::domain::avatar::status::Status;
use crate::store::error::StoreError;
use crate::store::pagination::NumberedTransition;
use crate::store::reader::Reader;
use crate::web::views::TransitionView;

pub(crate) fn history(config: Option<&Path>, args: &HistoryArgs) -> Exit {
    let avatar = match args.id.as_deref().map(AvatarId::parse).transpose() {
        Ok(avatar) => avatar,
        Err(error) => return failed(&error, Exit::Problems),
    };
    let found = find_and_warn(config, args.database.database.as_deref());
    let registered = |id| found.partial.avatars.as_ref().is_some_and(|all| all.contains_key(id));
    let read = |reader: &Reader| -> Result<Option<Vec<NumberedTransition>>, StoreError> {
        if let Some(id) = avatar.as_ref().filter(|id| !registered(id))
            && !reader.watches()?.iter().any(|watch| watch.id == *id)
        {
            return Ok(None);
        }
        reader.transitions_before(avatar.as_ref(), None, args.limit).map(Some)
    };
    let views: Vec<TransitionView> = match Reader::snapshot(&found.database, read) {
        // The oldest first.
        Ok(Some(rows)) => {
            rows.iter().rev().map(|(seq, row)| TransitionView::new(*seq, row)).collect()
        }
        Ok(None) => return print_unknown_avatar(args.id.as_deref().unwrap_or_default()),
        Err(error) => return print_store_error(&error),
    };
    if args.database.json {
        json(&views);
    } else {
        let header = [
            "detected at",
            "avatar",
            "sequence",
            "from",
            "to",
            "training took",
            "previous last seen at",
        ];
        table(&header, views.iter().map(row).collect(), "No status was observed yet.");
    }
    Exit::Ok
}

fn row(view: &TransitionView) -> Vec<String> {
    let shown = |status: &str| Status::from_name(status).display().into_owned();
    let from = match (view.previous_status.as_deref().map(shown), view.previous_assumed) {
        (None, _) => "(first poll)".to_owned(),
        (Some(status), true) => format!("{status} (assumed)"),
        (Some(status), false) => status,
    };
    vec![
        view.detected_at.clone(),
        view.avatar_id.clone(),
        view.sequence.to_string(),
        from,
        shown(&view.status),
        view.training.as_ref().map(|it| it.text.clone()).unwrap_or_default(),
        view.last_seen_previous_at.clone().unwrap_or_default(),
    ]
}
