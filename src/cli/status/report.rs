//! The overview: what the database tells of the daemon, the avatars, the channels and the
//! conditions that hold, as it is shown, printed as JSON and judged.
//!
//! What always holds: what is watched is what the daemon has in force, as it keeps it with the
//! database; the file can only add what is wrong with it, and hides nothing. Where no daemon has
//! kept anything yet, the file is all there is.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error as _;
use std::time::Duration;

use crate::cli::paths::Locations;
use crate::cli::status::readiness_probe;
use crate::config::active;
use crate::config::environment::Environment;
use crate::config::error::ConfigError;
use crate::config::file::{PartialConfig, RegisteredAvatar};
use crate::config::snapshot::ConfigSnapshot;
use crate::daemon::load_config;
use crate::domain::avatar::AvatarId;
use crate::domain::polling::watch::Watch;
use crate::domain::time::timestamp::Timestamp;
use crate::store::error::StoreError;
use crate::store::reader::Reader;
use crate::store::sqlite::lock::DatabaseLock;
use crate::web::reader_cache::CachedRows;
use crate::web::status::{self, DaemonView, Parts, StatusView};
use crate::web::views::{AvatarContext, AvatarView, ChannelView};

/// The status, and what else the tables for people show.
#[derive(Debug)]
pub struct StatusReport {
    /// The status, with the avatars in it.
    pub status: StatusView,
    /// Whether a daemon has kept its active config; else the file is all that is known.
    pub is_in_force: bool,
    /// Whether it is known which avatars are watched.
    pub knows_avatars: bool,
    /// The avatars that the config file names, and the active config does not.
    pub awaiting_reload: BTreeSet<String>,
    /// Whether it is of everything, and not of one avatar.
    pub is_whole: bool,
}

impl StatusReport {
    /// What the database and the config tell; of one avatar, or of all. A message is late when it
    /// is older than `late_after`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn read(
        found: &Locations,
        id: Option<&str>,
        late_after: Duration,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let read = |reader: &Reader| Ok((reader.active_config()?, CachedRows::read(reader)?));
        let (in_force, rows) = Reader::snapshot(&found.database, read)?;
        let in_force = in_force.as_deref().and_then(ConfigSnapshot::from_text);
        let kinds = in_force.as_ref().map(ConfigSnapshot::channel_kinds).unwrap_or_default();
        let known = in_force.as_ref().map(|snapshot| active::outline(&found.outline, snapshot));
        let page = known.as_ref().map_or(found.page, |known| known.page);
        let known = &known.unwrap_or_else(|| found.outline.clone());
        let named = known.avatars.iter().chain(&found.outline.avatars).flat_map(BTreeMap::keys);
        let unwritten = named.filter(|id| !rows.watches.contains_key(id));
        let unwritten: BTreeMap<&AvatarId, Watch> =
            unwritten.map(|id| (id, Watch::new(id.clone()))).collect();
        let filed = |id: &AvatarId| found.outline.avatars.as_ref()?.get(id);
        let registered = |id: &AvatarId| known.avatars.as_ref()?.get(id);
        let view = |watch: &Watch| avatar_view(watch, known, filed(&watch.id), &rows, now);
        let mut avatars: Vec<AvatarView> =
            rows.watches.values().chain(unwritten.values()).map(view).collect();
        avatars.sort_by(|one, other| one.id.cmp(&other.id));
        let (accounts, knows_avatars) = (known.accounts.as_deref(), known.avatars.is_some());
        let wanted = |subject: &str| id.is_none_or(|id| subject.eq_ignore_ascii_case(id));
        let mut conditions = status::conditions(
            &rows.conditions,
            &avatars,
            accounts,
            knows_avatars,
            known.discovers,
        );
        conditions.retain(|condition| wanted(&condition.subject));
        avatars.retain(|avatar| wanted(&avatar.id));
        let holder = DatabaseLock::holder(&found.database)?;
        let file = ConfigFileState::of(found, in_force.as_ref().filter(|_| holder.is_some()));
        let channels =
            rows.channels.iter().map(|row| ChannelView::new(row, kinds.get(&row.name), now));
        let shown = accounts.unwrap_or_default().iter().filter(|_| id.is_none());
        let parts = Parts {
            daemon: DaemonView {
                running: holder.is_some(),
                pid: holder.flatten(),
                not_ready_reason: holder.and_then(|_| readiness_probe::not_ready_reason(page?)),
            },
            // Its page tells whether they move.
            stuck: Vec::new(),
            config_readable: found.outline.is_whole,
            config_problems: file.problems,
            config_changes: file.changes,
            channels: id.is_none().then(|| channels.collect()),
            conditions,
            accounts: shown.map(|name| (name.clone(), None)).collect(),
            knows_avatars,
            discovers: known.discovers,
        };
        let status = StatusView::new(parts, &avatars, late_after, now);
        let in_file = found.outline.avatars.iter().flat_map(BTreeMap::keys);
        let awaiting = in_file.filter(|id| registered(id).is_none());
        Ok(Self {
            is_in_force: in_force.is_some(),
            knows_avatars,
            awaiting_reload: awaiting.map(ToString::to_string).collect(),
            is_whole: id.is_none(),
            status: StatusView { avatars: Some(avatars), ..status },
        })
    }

    /// The avatars of the config and of the database.
    pub fn avatars(&self) -> &[AvatarView] {
        self.status.avatars.as_deref().unwrap_or_default()
    }
}

/// What there is to say of the file, which is not what is in force.
#[derive(Default)]
struct ConfigFileState {
    problems: Vec<String>,
    changes: Vec<String>,
}

impl ConfigFileState {
    /// Of the file as it stands, compared with what is in force, if anything is.
    fn of(found: &Locations, in_force: Option<&ConfigSnapshot>) -> Self {
        let changes = |tell: &dyn Fn(&ConfigSnapshot) -> Vec<String>| Self {
            problems: Vec::new(),
            changes: in_force.map(tell).unwrap_or_default(),
        };
        match load_config::load(&found.config, &Environment::from_process()) {
            Ok(settings) => changes(&|old| active::unreloaded(old, &settings)),
            Err(ConfigError::Problems(problems)) => {
                let faults = problems.iter().filter(|problem| !problem.unreadable);
                let told: Vec<String> =
                    faults.map(|problem| problem.to_string().replace("\n  help: ", "; ")).collect();
                if told.is_empty() {
                    return changes(&|old| active::unreloaded_names(old, &found.outline));
                }
                Self { problems: told, changes: Vec::new() }
            }
            Err(failure @ ConfigError::Unreadable { .. }) => {
                let why = failure.source().map(|source| format!(": {source}"));
                let problem = format!("{failure}{}", why.unwrap_or_default());
                Self { problems: vec![problem], changes: Vec::new() }
            }
        }
    }
}

fn avatar_view(
    watch: &Watch,
    known: &PartialConfig,
    filed: Option<&RegisteredAvatar>,
    rows: &CachedRows,
    now: Timestamp,
) -> AvatarView {
    let avatars = known.avatars.as_ref();
    let registered = avatars.and_then(|avatars| avatars.get(&watch.id));
    let discovered = rows.discovered.get(&watch.id);
    let context = AvatarContext {
        names: [
            filed.and_then(|it| it.name.as_ref()),
            registered.and_then(|it| it.name.as_ref()),
            watch.name.as_ref(),
        ],
        account: registered.map(|it| &it.account).or(discovered),
        configured: avatars.map(|_| registered.is_some()),
        discovered: discovered.is_some(),
        seen_at: None,
        usual: rows.usual.get(&watch.model).copied().flatten(),
        counts: rows.counts.get(&watch.id).copied().unwrap_or_default(),
    };
    AvatarView::new(watch, &context, now)
}
