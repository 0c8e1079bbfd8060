//! Status report: daemon, avatars, channels and active conditions, read from the database; the
//! base of all output formats of `status`.
//!
//! The report shows the active config, which the daemon stores in the database. From the config
//! file it adds problems and differences. Before the first start of a daemon it uses the file.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::cli::avatar_names::AvatarNames;
use crate::cli::local_time::LocalTime;
use crate::cli::locations::Locations;
use crate::cli::output::causes;
use crate::cli::status::readiness_probe;
use crate::config::change::active;
use crate::config::change::snapshot::ConfigSnapshot;
use crate::config::environment::Environment;
use crate::config::error::{ConfigError, Problem};
use crate::config::file::{PartialConfig, RegisteredAvatar};
use crate::daemon::config::load_config;
use crate::domain::account::AccountName;
use crate::domain::avatar::AvatarId;
use crate::domain::avatar::status::Status;
use crate::domain::polling::interval::PollIntervals;
use crate::domain::polling::watch::Watch;
use crate::domain::status_report::unwritable;
use crate::domain::time::humanize::humanize;
use crate::domain::time::timestamp::Timestamp;
use crate::domain::unreached_avatars::UnreachedAvatars;
use crate::store::avatar_rows::RecordedAvatar;
use crate::store::error::StoreError;
use crate::store::reader::{ChannelRow, ConditionRow, Reader};
use crate::store::sqlite::lock::DatabaseLock;
use crate::web::routes::{unreached, with_only, with_routes};
use crate::web::status::{ConditionScope, DaemonView, Parts, StatusView, WatchedAvatars};
use crate::web::view_rows::ViewRows;
use crate::web::views::{AvatarContext, AvatarView, ChannelView, ConditionView, TrainingView};

#[derive(Debug)]
pub(crate) struct StatusReport {
    pub(crate) status: StatusView,
    /// Whether the database contains an active config; if not, the report uses the file.
    pub(crate) has_active_config: bool,
    /// Whether the list of watched avatars is known.
    pub(crate) knows_avatars: bool,
    /// Avatars of the config file that are not in the active config.
    pub(crate) awaiting_reload: BTreeSet<String>,
    /// The names of the avatars.
    pub(crate) names: AvatarNames,
    /// How often each avatar is polled now, for people, if the config of the daemon is known.
    pub(crate) poll_intervals: BTreeMap<String, String>,
    /// Whether the report covers everything, as opposed to one avatar.
    pub(crate) covers_all: bool,
}

impl StatusReport {
    /// Reads the report of one avatar or of everything. A message is late when it is older than
    /// `late_after`.
    pub(crate) fn read(
        found: &Locations,
        id: Option<&AvatarId>,
        late_after: Duration,
        time: &LocalTime,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let read = |reader: &Reader| {
            let names = AvatarNames::read(found, reader)?;
            let last = id.map(|id| reader.last_training(id)).transpose()?.flatten();
            Ok((names, reader.active_config()?, StatusRows::read(reader)?, last))
        };
        let (names, snapshot, rows, last_training) = Reader::snapshot(&found.database, read)?;
        let snapshot = snapshot.as_deref().and_then(ConfigSnapshot::from_text);
        let kinds = snapshot.as_ref().map(ConfigSnapshot::channel_kinds).unwrap_or_default();
        let known = snapshot.as_ref().map(|snapshot| active::partial(&found.partial, snapshot));
        let listen_address =
            known.as_ref().map_or(found.listen_address, |known| known.listen_address);
        let known = &known.unwrap_or_else(|| found.partial.clone());
        let holder = DatabaseLock::holder(&found.database)?;
        let named = known.avatars.iter().chain(&found.partial.avatars).flat_map(BTreeMap::keys);
        let in_file = |id: &AvatarId| found.partial.avatars.as_ref()?.get(id);
        let configured = |id: &AvatarId| known.avatars.as_ref()?.get(id);
        // What the last daemon watched can be forgotten once it has ended.
        let is_left =
            |id: &&AvatarId| holder.is_none() && in_file(id).is_none() && rows.is_forgotten(id);
        let named = named.filter(|id| !is_left(id));
        let mut avatars =
            rows.avatars(named, |watch| avatar_view(watch, known, in_file(&watch.id), &rows, now));
        let (accounts, knows_avatars) = (known.accounts.as_deref(), known.avatars.is_some());
        let wanted = |subject: &str| id.is_none_or(|id| id.matches(subject));
        let conditions = {
            let all = || avatars.iter().filter(|avatar| avatar.is_watched());
            let used: BTreeSet<&str> = all().filter_map(|it| it.account.as_deref()).collect();
            let watched: BTreeSet<&str> = all().map(|avatar| avatar.id.as_str()).collect();
            let scope = ConditionScope {
                accounts,
                knows_avatars,
                discovers: known.discovers,
                is_used: &|account| used.contains(account),
                is_watched: &|id| watched.contains(id),
            };
            let included = rows.conditions.iter().filter(|row| scope.includes(row));
            let view = |row: &ConditionRow| {
                let id = AvatarId::parse(&row.subject).ok();
                let name = id.and_then(|id| names.name(&id).map(str::to_owned));
                ConditionView { name, ..ConditionView::from(row) }
            };
            included.filter(|row| wanted(&row.subject)).map(view).collect()
        };
        avatars.retain(|avatar| wanted(&avatar.id));
        if id.is_some() {
            let routed = |avatar: AvatarView| {
                let registered = AvatarId::parse(&avatar.id).ok().and_then(|id| configured(&id));
                let avatar = with_routes(avatar, registered.map(|it| &it.routing), &known.routing);
                let last_training = last_training.as_ref().map(TrainingView::from);
                AvatarView { last_training, ..avatar }
            };
            avatars = avatars.into_iter().map(routed).collect();
        }
        let file = ConfigFileState::of(found, snapshot.as_ref().filter(|_| holder.is_some()));
        let channels = rows.channels.iter().map(|row| {
            let only = known.routing.channels.get(&row.name).map(|it| &it.only);
            with_only(ChannelView::new(row, kinds.get(&row.name), now), only)
        });
        let shown = accounts.unwrap_or_default().iter().filter(|_| id.is_none());
        let routing_of = |id: &str| Some(&known.avatars.as_ref()?.get(id)?.routing);
        let counts = avatars.iter().map(|it| (it.deliveries_in_flight, it.dead_letters));
        let parts = Parts {
            deliveries: counts.fold((0, 0), |sum, it| (sum.0 + it.0, sum.1 + it.1)),
            daemon: DaemonView {
                running: holder.is_some(),
                pid: holder.flatten(),
                not_ready_reason: holder.and_then(|_| {
                    let failure = DatabaseLock::write_failure(&found.database);
                    let unwritable = failure.map(|failure| unwritable(&failure));
                    unwritable.or_else(|| readiness_probe::not_ready_reason(listen_address?))
                }),
            },
            // Included in `not_ready_reason`.
            stalled: Vec::new(),
            config_readable: found.partial.is_readable,
            config_problems: file.problems,
            config_changes: file.changes,
            channels: id.is_none().then(|| channels.collect()),
            unreached: match id {
                Some(_) => UnreachedAvatars::default(),
                None => unreached(&avatars, routing_of, &known.routing),
            },
            conditions,
            accounts: shown.map(|name| (name.clone(), None)).collect(),
            knows_avatars,
            discovers: known.discovers,
            time_zone: time.zone(),
        };
        let status = StatusView::new(parts, WatchedAvatars::among(&avatars), late_after, now);
        let file_ids = found.partial.avatars.iter().flat_map(BTreeMap::keys);
        let awaiting = file_ids.filter(|id| configured(id).is_none());
        Ok(Self {
            has_active_config: snapshot.is_some(),
            knows_avatars,
            awaiting_reload: awaiting.map(ToString::to_string).collect(),
            names,
            poll_intervals: file
                .intervals
                .map(|all| polled(&avatars, &all, now))
                .unwrap_or_default(),
            covers_all: id.is_none(),
            status: StatusView { avatars: Some(avatars), ..status },
        })
    }

    pub(crate) fn avatars(&self) -> &[AvatarView] {
        self.status.avatars.as_deref().unwrap_or_default()
    }
}

/// The rows that the report consists of.
struct StatusRows {
    avatars: BTreeMap<AvatarId, RecordedAvatar>,
    discovered: BTreeMap<AvatarId, AccountName>,
    view_rows: ViewRows,
    channels: Vec<ChannelRow>,
    conditions: Vec<ConditionRow>,
}

impl StatusRows {
    fn read(reader: &Reader) -> Result<Self, StoreError> {
        let avatars = reader.recorded_avatars()?.into_iter();
        Ok(Self {
            avatars: avatars.map(|it| (it.watch.id.clone(), it)).collect(),
            discovered: reader.discovered()?,
            view_rows: ViewRows::read(reader)?,
            channels: reader.channels()?,
            conditions: reader.conditions()?,
        })
    }

    fn is_forgotten(&self, id: &AvatarId) -> bool {
        self.avatars.get(id).is_some_and(|it| it.is_forgotten)
    }

    /// Views of all avatars, by id: of those with a row, and of those of `configured` without one.
    /// A forgotten row counts for those of `configured` only.
    fn avatars<'i>(
        &'i self,
        configured: impl Iterator<Item = &'i AvatarId>,
        view: impl Fn(&Watch) -> AvatarView,
    ) -> Vec<AvatarView> {
        let recorded = self.avatars.iter().filter(|(_, it)| !it.is_forgotten).map(|(id, _)| id);
        let ids: BTreeSet<&AvatarId> = recorded.chain(configured).collect();
        let of = |id: &AvatarId| match self.avatars.get(id) {
            Some(recorded) => view(&recorded.watch),
            None => view(&Watch::new(id.clone())),
        };
        ids.into_iter().map(of).collect()
    }
}

#[derive(Default)]
struct ConfigFileState {
    problems: Vec<String>,
    changes: Vec<String>,
    /// Those of the file, if it has the active config.
    intervals: Option<PollIntervals>,
}

impl ConfigFileState {
    fn of(found: &Locations, snapshot: Option<&ConfigSnapshot>) -> Self {
        let changes = |compare: &dyn Fn(&ConfigSnapshot) -> Vec<String>| Self {
            problems: Vec::new(),
            changes: snapshot.map(compare).unwrap_or_default(),
            intervals: None,
        };
        match load_config::load(&found.config, &Environment::from_process()) {
            Ok(settings) => {
                let state = changes(&|old| active::unreloaded(old, &settings));
                let intervals = state.changes.is_empty().then_some(settings.intervals);
                Self { intervals, ..state }
            }
            Err(ConfigError::Problems(problems)) => {
                let problems = problems.iter().filter(|problem| !problem.unreadable);
                let problems: Vec<String> = problems.map(Problem::one_line).collect();
                if problems.is_empty() {
                    return changes(&|old| active::unreloaded_names(old, &found.partial));
                }
                Self { problems, ..Self::default() }
            }
            Err(failure @ ConfigError::Unreadable { .. }) => {
                let problem = causes(&failure).join(": ");
                Self { problems: vec![problem], ..Self::default() }
            }
        }
    }
}

/// How often each watched avatar is polled at its age, unless a poll failed.
fn polled(
    avatars: &[AvatarView],
    intervals: &PollIntervals,
    now: Timestamp,
) -> BTreeMap<String, String> {
    let watched = avatars.iter().filter(|avatar| avatar.is_watched() && avatar.failure.is_none());
    let interval = |avatar: &AvatarView| {
        let status = Status::from_name(avatar.status.as_deref()?);
        let since = Timestamp::parse_rfc3339(avatar.since.as_deref()?)?;
        let every = intervals.delay(&status, now.since(since));
        let every =
            every.map_or_else(|| "never".to_owned(), |it| format!("every {}", humanize(it)));
        Some((avatar.id.clone(), every))
    };
    watched.filter_map(interval).collect()
}

fn avatar_view(
    watch: &Watch,
    known: &PartialConfig,
    in_file: Option<&RegisteredAvatar>,
    rows: &StatusRows,
    now: Timestamp,
) -> AvatarView {
    let avatars = known.avatars.as_ref();
    let configured = avatars.and_then(|avatars| avatars.get(&watch.id));
    let context = AvatarContext {
        names: [
            in_file.and_then(|it| it.name.as_ref()),
            configured.and_then(|it| it.name.as_ref()),
            watch.name.as_ref(),
        ],
        account: configured.map(|it| &it.routing.account),
        configured: avatars.map(|_| configured.is_some()),
        discovered: rows.discovered.get(&watch.id),
        seen_at: None,
        next_poll_at: None,
    };
    AvatarView::new(watch, &rows.view_rows, &context, now)
}
