//! The overview: what the database tells of the daemon, the avatars, the channels and the
//! conditions that hold, as it is shown, printed as JSON and judged.
//!
//! What always holds: what is watched is what the daemon has in force, as it keeps it with the
//! database; the file can only add what is wrong with it, and hides nothing. Where no daemon has
//! kept anything yet, the file is all there is.

use std::collections::BTreeMap;
use std::error::Error as _;

use serde::Serialize;

use crate::cli::alive;
use crate::cli::channels::ChannelView;
use crate::cli::config_path::Whereabouts;
use crate::config::environment::Environment;
use crate::config::error::ConfigError;
use crate::config::file::{Outline, Registered};
use crate::config::in_force;
use crate::config::snapshot::Snapshot;
use crate::daemon::checked;
use crate::domain::account::AccountName;
use crate::domain::avatar::AvatarId;
use crate::domain::foreign_text::is_blank;
use crate::domain::timestamp::Timestamp;
use crate::domain::watch::Watch;
use crate::store::error::StoreError;
use crate::store::lock::DatabaseLock;
use crate::store::reader::{ChannelRow, ConditionRow, DeliveryCounts, Reader};
use crate::web::view::{ConditionView, TroubleView};

/// What is known of everything.
#[derive(Debug, Serialize)]
pub struct Overview {
    /// The daemon.
    pub daemon: DaemonView,
    /// Whether the config file can be read from end to end.
    pub config_readable: bool,
    /// What is wrong with the config file, whoever reads it; secrets that are out of this process's
    /// reach are not.
    pub config_problems: Vec<String>,
    /// What a reload would change, while the daemon runs with something else in force. Secrets are
    /// not compared.
    pub config_changes: Vec<String>,
    /// Whether a daemon has kept what it has in force; else the file is all that is known.
    #[serde(skip)]
    pub is_in_force: bool,
    /// Whether it is known which avatars are watched.
    #[serde(skip)]
    pub knows_avatars: bool,
    /// Whether lists are searched for avatars.
    #[serde(skip)]
    pub discovers: bool,
    /// The avatars of the config and of the database.
    pub avatars: Vec<AvatarView>,
    /// The channels that were ever registered; none where one avatar was asked for.
    pub channels: Vec<ChannelView>,
    /// When the oldest message was made that was not delivered yet.
    pub oldest_under_way_at: Option<String>,
    /// The conditions that were told and hold.
    pub conditions: Vec<ConditionView>,
    /// Whether it is of everything, and not of one avatar.
    #[serde(skip)]
    pub is_whole: bool,
}

/// The daemon.
#[derive(Debug, Serialize)]
pub struct DaemonView {
    /// Whether one holds the database.
    pub running: bool,
    /// Its process, if it names itself.
    pub pid: Option<u32>,
    /// What keeps it from its work, as far as its page tells.
    pub hindrance: Option<String>,
}

/// An avatar.
#[derive(Debug, Serialize)]
pub struct AvatarView {
    /// Its id.
    pub id: String,
    /// The name that it has in the config, or else at Argil.
    pub name: Option<String>,
    /// The account that it is watched with.
    pub account: Option<String>,
    /// Whether the config in force names it; `None` when that is not known.
    pub configured: Option<bool>,
    /// Whether a list showed it.
    pub discovered: bool,
    /// Whether the config file names it, and what is in force does not.
    #[serde(skip)]
    pub awaits_reload: bool,
    /// Its status when it was last seen.
    pub status: Option<String>,
    /// Since when it has it.
    pub since: Option<String>,
    /// Why it cannot be seen just now.
    pub trouble: Option<TroubleView>,
    /// Messages about it that wait or are being sent.
    pub deliveries_under_way: u64,
    /// Dead letters about it that were not sent again since.
    pub deliveries_failed: u64,
}

impl Overview {
    /// What the database and the config tell; of one avatar, or of all.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn read(found: &Whereabouts, id: Option<&str>, now: Timestamp) -> Result<Self, StoreError> {
        let rows = Reader::snapshot(&found.database, |reader| Rows::read(reader, id.is_none()))?;
        let Rows { in_force, watches, counts, discovered, conditions, channels } = rows;
        let in_force = in_force.as_deref().and_then(Snapshot::from_text);
        let known = in_force.as_ref().map(|snapshot| in_force::outline(&found.outline, snapshot));
        let page = known.as_ref().map_or(found.page, |known| known.page);
        let known = &known.unwrap_or_else(|| found.outline.clone());
        let mut watches: BTreeMap<AvatarId, Watch> =
            watches.into_iter().map(|watch| (watch.id.clone(), watch)).collect();
        let named = known.avatars.iter().chain(&found.outline.avatars);
        for avatar in named.flat_map(BTreeMap::keys) {
            watches.entry(avatar.clone()).or_insert_with(|| Watch::new(avatar.clone()));
        }
        let wanted = |subject: &str| id.is_none_or(|id| subject.eq_ignore_ascii_case(id));
        let avatars = watches.values().filter(|watch| wanted(watch.id.as_str())).map(|watch| {
            let counts = counts.get(&watch.id).copied().unwrap_or_default();
            avatar_view(watch, known, &found.outline, discovered.get(&watch.id), counts)
        });
        let watched = |subject: &str| is_watched(subject, known, &discovered);
        let conditions =
            conditions.into_iter().filter(|row| wanted(&row.subject) && watched(&row.subject));
        let conditions = conditions.map(|row| ConditionView {
            kind: row.kind,
            subject: row.subject,
            since: row.since.to_string(),
            cause: row.cause,
            reason: row.reason,
        });
        let holder = DatabaseLock::holder(&found.database)?;
        let file = FileState::of(found, in_force.as_ref().filter(|_| holder.is_some()));
        let oldest_at = channels.iter().filter_map(|channel| channel.oldest_at).min();
        Ok(Self {
            config_readable: found.outline.is_whole,
            config_problems: file.problems,
            config_changes: file.changes,
            is_in_force: in_force.is_some(),
            knows_avatars: known.avatars.is_some(),
            discovers: known.discovers,
            daemon: DaemonView {
                running: holder.is_some(),
                pid: holder.flatten(),
                hindrance: holder.and_then(|_| alive::hindrance(page?)),
            },
            avatars: avatars.collect(),
            channels: channels.iter().map(|channel| ChannelView::new(channel, now)).collect(),
            oldest_under_way_at: oldest_at.map(|at| at.to_string()),
            conditions: conditions.collect(),
            is_whole: id.is_none(),
        })
    }

    /// The avatars that are watched, as far as that is known.
    pub fn watched(&self) -> impl Iterator<Item = &AvatarView> {
        self.avatars.iter().filter(|avatar| avatar.configured != Some(false) || avatar.discovered)
    }
}

/// What the tables tell.
struct Rows {
    in_force: Option<String>,
    watches: Vec<Watch>,
    counts: BTreeMap<AvatarId, DeliveryCounts>,
    discovered: BTreeMap<AvatarId, AccountName>,
    conditions: Vec<ConditionRow>,
    channels: Vec<ChannelRow>,
}

impl Rows {
    fn read(reader: &Reader, is_whole: bool) -> Result<Self, StoreError> {
        Ok(Self {
            in_force: reader.in_force()?,
            watches: reader.watches()?,
            counts: reader.delivery_counts()?,
            discovered: reader.discovered()?,
            conditions: reader.conditions()?,
            channels: if is_whole { reader.channels()? } else { Vec::new() },
        })
    }
}

/// Whether a condition is about something that is watched. What was taken out of the config is
/// not looked at, so that nobody can say whether its conditions still hold.
fn is_watched(
    subject: &str,
    outline: &Outline,
    discovered: &BTreeMap<AvatarId, AccountName>,
) -> bool {
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

/// What there is to say of the file, which is not what is in force.
#[derive(Default)]
struct FileState {
    problems: Vec<String>,
    changes: Vec<String>,
}

impl FileState {
    /// Of the file as it stands, compared with what is in force, if anything is.
    fn of(found: &Whereabouts, in_force: Option<&Snapshot>) -> Self {
        let changes = |tell: &dyn Fn(&Snapshot) -> Vec<String>| Self {
            problems: Vec::new(),
            changes: in_force.map(tell).unwrap_or_default(),
        };
        match checked::load(&found.config, &Environment::from_process()) {
            Ok(settings) => changes(&|old| in_force::unreloaded(old, &settings)),
            Err(ConfigError::Problems(problems)) => {
                let faults = problems.iter().filter(|problem| !problem.out_of_reach);
                let told: Vec<String> =
                    faults.map(|problem| problem.to_string().replace("\n  help: ", "; ")).collect();
                if told.is_empty() {
                    return changes(&|old| in_force::unreloaded_names(old, &found.outline));
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
    known: &Outline,
    file: &Outline,
    discovered: Option<&AccountName>,
    counts: DeliveryCounts,
) -> AvatarView {
    let avatars = known.avatars.as_ref();
    let registered = avatars.and_then(|avatars| avatars.get(&watch.id));
    let filed = file.avatars.as_ref().and_then(|avatars| avatars.get(&watch.id));
    let given = |it: Option<&'_ Registered>| it.and_then(|it| it.name.clone());
    let names = [given(filed), given(registered), watch.name.clone()];
    let sight = watch.sight.as_ref();
    AvatarView {
        id: watch.id.to_string(),
        name: names.into_iter().flatten().find(|name| !is_blank(name)),
        account: registered.map(|it| &it.account).or(discovered).map(ToString::to_string),
        configured: avatars.map(|_| registered.is_some()),
        discovered: discovered.is_some(),
        awaits_reload: filed.is_some() && registered.is_none(),
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
