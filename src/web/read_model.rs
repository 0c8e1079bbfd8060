//! Read model: views of the database and of the last polls, for one response.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::domain::avatar::AvatarId;
use crate::domain::avatar::status::Status;
use crate::domain::polling::watch::Watch;
use crate::domain::status_report::{LATE_AFTER, unwritable};
use crate::domain::time::timestamp::Timestamp;
use crate::runtime::metrics::{ChannelSnapshot, MetricsSnapshot};
use crate::store::avatar_rows::RecordedAvatar;
use crate::store::error::StoreError;
use crate::store::files::location;
use crate::store::pagination::{History, NumberedTransition};
use crate::store::reader::{ChannelRow, ConditionRow, DeliveryFilter, DeliveryRow};
use crate::text::sanitize::is_blank;
use crate::web::avatar_summary::each_avatar;
use crate::web::config_view::ConfigView;
use crate::web::cursor::Cursor;
use crate::web::delivery_views::{AttemptView, DeliveryView, DeliveryWithAttempts};
use crate::web::reader_cache::CachedReader;
use crate::web::routes::{with_only, with_routes};
use crate::web::state::{AppState, Now};
use crate::web::status::{ConditionScope, DaemonView, Parts, StatusView, WatchedAvatars};
use crate::web::views::{
    AvatarContext, AvatarView, ChannelView, ConditionView, TrainingView, TransitionView,
};

/// The read model of one request. Its methods block.
#[derive(Debug)]
pub(super) struct ReadModel<'d> {
    state: &'d AppState,
    reader: &'d CachedReader,
    config: Arc<ConfigView>,
    now: Now,
}

/// The views of the avatars that the home page lists, and numbers of all that are watched.
#[derive(Debug)]
pub(super) struct AvatarLists {
    /// In training, the longest first.
    pub(super) training: Vec<AvatarView>,
    /// The others by id.
    pub(super) others: Vec<AvatarView>,
    /// The number of those not in training.
    pub(super) others_count: u64,
    /// The number of those with a failed last poll.
    pub(super) failing: u64,
    /// The number of those that failed in training or were refused.
    pub(super) unusable: u64,
}

impl<'d> ReadModel<'d> {
    pub(super) fn read<T>(
        state: &AppState,
        work: impl FnOnce(&ReadModel<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let config = state.config();
        state.reader_cache.read(&state.database, &config, |reader| {
            work(&ReadModel { state, reader, config: Arc::clone(&config), now: state.now() })
        })
    }

    pub(super) fn now(&self) -> Timestamp {
        self.now.now
    }

    pub(super) fn config(&self) -> &ConfigView {
        &self.config
    }

    /// Whether pages may offer changes, which require a token.
    pub(super) fn can_change(&self) -> bool {
        self.config.rules.token.is_some()
    }

    /// At most `limit` avatars that are or were watched, with an id after `after`, by id; only
    /// those with the status `status`, if it is given.
    pub(super) fn avatars(
        &self,
        after: &str,
        status: Option<&str>,
        limit: usize,
    ) -> Result<Vec<AvatarView>, StoreError> {
        let mut ids = Vec::new();
        each_avatar(&self.reader.uncached, &self.config, after, |avatar| {
            let found = avatar.row.and_then(|row| row.status);
            if status.is_none_or(|status| found == Some(status)) {
                ids.extend(AvatarId::parse(avatar.id));
            }
            if ids.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        self.views_of(&ids)
    }

    /// The views of these avatars.
    fn views_of(&self, ids: &[AvatarId]) -> Result<Vec<AvatarView>, StoreError> {
        let rows = self.reader.view_rows()?;
        let discovered = self.reader.discovered()?;
        let recorded = self.reader.uncached.recorded_of(ids)?;
        let view = |(id, recorded): (&AvatarId, Option<RecordedAvatar>)| {
            let watch = recorded.map_or_else(|| Watch::new(id.clone()), |it| it.watch);
            let configured = self.config.avatars.get(id);
            let context = AvatarContext {
                names: [configured.and_then(|it| it.label.as_ref()), watch.name.as_ref(), None],
                account: configured.map(|it| &it.routing.account),
                configured: Some(configured.is_some()),
                discovered: discovered.get(id),
                seen_at: self.state.last_seen.seen_at(id),
                next_poll_at: self.state.last_seen.next_poll_at(id),
            };
            AvatarView::new(&watch, rows, &context, self.now.now)
        };
        Ok(ids.iter().zip(recorded).map(view).collect())
    }

    /// An avatar that is or was watched, with the channels that it reaches. The request may have
    /// another case than the config or the database.
    pub(super) fn avatar(&self, id: &AvatarId) -> Result<Option<AvatarView>, StoreError> {
        let Some(id) = self.spelling(id)? else { return Ok(None) };
        let Some(found) = self.views_of(std::slice::from_ref(&id))?.pop() else { return Ok(None) };
        let configured = self.config.avatars.get(&id);
        let avatar = with_routes(found, configured.map(|it| &*it.routing), &self.config.routing);
        let last = self.reader.uncached.last_training(&id)?;
        Ok(Some(AvatarView { last_training: last.as_ref().map(TrainingView::from), ..avatar }))
    }

    /// Whether the avatar with that id is watched.
    pub(super) fn is_watched(&self, id: &str) -> Result<bool, StoreError> {
        let is_configured = self.config.avatars.contains_key(id);
        Ok(is_configured || self.reader.discovered()?.contains_key(id))
    }

    /// How an avatar is spelled that is in the config, or in the database and not forgotten.
    fn spelling(&self, id: &AvatarId) -> Result<Option<AvatarId>, StoreError> {
        if self.config.avatars.contains_key(id) || self.is_recorded(id)? {
            return Ok(Some(id.clone()));
        }
        if let Some(configured) = self.config.avatars.keys().find(|it| id.matches(it.as_str())) {
            return Ok(Some(configured.clone()));
        }
        let Some(id) = self.reader.uncached.spelling(id)? else { return Ok(None) };
        Ok(self.is_recorded(&id)?.then_some(id))
    }

    fn is_recorded(&self, id: &AvatarId) -> Result<bool, StoreError> {
        let recorded = self.reader.uncached.recorded_of(std::slice::from_ref(id))?;
        Ok(recorded.into_iter().flatten().any(|it| !it.is_forgotten))
    }

    /// The `https` URL of an avatar's picture, if a poll since the start returned one.
    pub(super) fn thumbnail(&self, id: &AvatarId) -> Option<String> {
        let thumbnail = self.state.last_seen.thumbnail(id)?;
        let url = url::Url::parse(&thumbnail).ok()?;
        (url.scheme() == "https" && url.has_host()).then(|| url.to_string())
    }

    /// What the home page lists.
    pub(super) fn lists(&self) -> Result<AvatarLists, StoreError> {
        let summary = self.reader.summary(&self.config)?;
        Ok(AvatarLists {
            training: self.views_of(&summary.training)?,
            others: self.views_of(&summary.others)?,
            others_count: summary.watched() - summary.with_status(&[Status::Training]),
            failing: summary.failing.len() as u64,
            unusable: summary.with_status(&[Status::TrainingFailed, Status::Refused]),
        })
    }

    pub(super) fn status(&self) -> Result<StatusView, StoreError> {
        let summary = self.reader.summary(&self.config)?;
        let notable: BTreeSet<&AvatarId> =
            summary.failing.iter().chain(&summary.unrecognized).collect();
        let notable: Vec<AvatarId> = notable.into_iter().cloned().collect();
        let notable = self.views_of(&notable)?;
        let watched = WatchedAvatars {
            count: summary.watched(),
            in_training: summary.with_status(&[Status::Training]),
            notable: notable.iter().collect(),
        };
        let loops = (self.state.progress)(self.now.monotonic);
        let last_success = |name| self.state.last_seen.last_success_at(name).map(|(at, _)| at);
        let accounts = self.config.accounts.iter();
        let parts = Parts {
            daemon: DaemonView {
                running: true,
                pid: Some(std::process::id()),
                not_ready_reason: (self.state.write_failure)().as_deref().map(unwritable),
            },
            stalled: loops.iter().filter(|it| it.stalled).map(|it| it.name).collect(),
            // An unreadable file is reported as the condition `config.rejected`.
            config_readable: true,
            channels: Some(self.channels()?),
            unreached: summary.unreached.clone(),
            conditions: self.condition_views()?,
            accounts: accounts.map(|name| (name.to_string(), last_success(name))).collect(),
            knows_avatars: true,
            discovers: self.config.discovers,
            ..Parts::default()
        };
        Ok(StatusView::new(parts, watched, LATE_AFTER, self.now.now))
    }

    /// Whether a channel is notified when polling or a channel fails.
    pub(super) fn has_operator(&self) -> bool {
        self.config.has_operator
    }

    /// All channels that were ever registered, by name.
    pub(super) fn channels(&self) -> Result<Vec<ChannelView>, StoreError> {
        let view = |row: &ChannelRow| {
            let only = self.config.routing.channels.get(&row.name).map(|it| &it.only);
            with_only(
                ChannelView::new(row, self.config.channels.get(&row.name), self.now.now),
                only,
            )
        };
        Ok(self.reader.channels()?.iter().map(view).collect())
    }

    /// The active conditions of watched subjects.
    fn conditions(&self) -> Result<Vec<&'d ConditionRow>, StoreError> {
        let summary = self.reader.summary(&self.config)?;
        let discovered = self.reader.discovered()?;
        let accounts: Vec<String> = self.config.accounts.iter().map(ToString::to_string).collect();
        let scope = ConditionScope {
            accounts: Some(&accounts),
            knows_avatars: true,
            discovers: self.config.discovers,
            is_used: &|account| summary.accounts.iter().any(|it| it.as_str() == account),
            is_watched: &|id| self.config.avatars.contains_key(id) || discovered.contains_key(id),
        };
        Ok(self.reader.conditions()?.iter().filter(|row| scope.includes(row)).collect())
    }

    /// The same, with the names of the avatars.
    fn condition_views(&self) -> Result<Vec<ConditionView>, StoreError> {
        let conditions = self.conditions()?;
        let names =
            self.names(conditions.iter().filter_map(|it| AvatarId::parse(&it.subject).ok()))?;
        let view = |row: &&ConditionRow| {
            let name = names.get(row.subject.as_str()).cloned();
            ConditionView { name, ..ConditionView::from(*row) }
        };
        Ok(conditions.iter().map(view).collect())
    }

    /// The newest transitions of an avatar, or of all.
    pub(super) fn transitions(
        &self,
        avatar: Option<&AvatarId>,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<TransitionView>, StoreError> {
        self.views(&self.reader.uncached.transitions_before(avatar, before, limit)?)
    }

    /// The transitions after a seq, oldest first.
    pub(super) fn transitions_after(
        &self,
        seq: i64,
        limit: u32,
    ) -> Result<Vec<TransitionView>, StoreError> {
        self.views(&self.reader.uncached.transitions_after(seq, limit)?)
    }

    /// The cursor from which a stream resumes; `None` when it cannot resume at `cursor`, because
    /// it belongs to another history or later transitions were pruned. Without a history id only
    /// the range of the seq is checked.
    pub(super) fn resume(&self, cursor: Cursor) -> Result<Option<Cursor>, StoreError> {
        let History { id, pruned_up_to } = self.reader.uncached.history()?;
        let is_complete = match cursor.history_id {
            Some(given) => given == id && cursor.seq >= pruned_up_to,
            None => true,
        };
        let can_resume = is_complete && cursor.seq <= self.last_seq()?;
        Ok(can_resume.then_some(Cursor { seq: cursor.seq, history_id: Some(id) }))
    }

    pub(super) fn newest(&self) -> Result<Cursor, StoreError> {
        let history_id = Some(self.reader.uncached.history()?.id);
        Ok(Cursor { seq: self.last_seq()?, history_id })
    }

    pub(super) fn last_seq(&self) -> Result<i64, StoreError> {
        self.reader.uncached.last_seq()
    }

    pub(super) fn deliveries(
        &self,
        filter: &DeliveryFilter,
        before: Option<&str>,
    ) -> Result<Vec<DeliveryView>, StoreError> {
        self.delivery_views(&self.reader.uncached.deliveries_before(filter, before)?)
    }

    pub(super) fn delivery(&self, id: &str) -> Result<Option<DeliveryWithAttempts>, StoreError> {
        let row = self.reader.uncached.delivery(id)?;
        Ok(self.with_attempts(row.as_slice())?.pop())
    }

    fn with_attempts(&self, rows: &[DeliveryRow]) -> Result<Vec<DeliveryWithAttempts>, StoreError> {
        let with_attempts = |(row, delivery): (&DeliveryRow, DeliveryView)| {
            let attempts = self.reader.uncached.attempts(&row.id)?;
            let attempt_log = attempts.iter().map(AttemptView::from).collect();
            Ok(DeliveryWithAttempts { delivery, attempt_log, message: None })
        };
        rows.iter().zip(self.delivery_views(rows)?).map(with_attempts).collect()
    }

    fn views(&self, rows: &[NumberedTransition]) -> Result<Vec<TransitionView>, StoreError> {
        let names = self.names(rows.iter().map(|(_, transition)| transition.avatar_id.clone()))?;
        let view = |(seq, transition): &NumberedTransition| {
            let name = names.get(&transition.avatar_id).map(String::as_str);
            TransitionView::new(*seq, transition, name)
        };
        Ok(rows.iter().map(view).collect())
    }

    fn delivery_views(&self, rows: &[DeliveryRow]) -> Result<Vec<DeliveryView>, StoreError> {
        let channels = self.reader.channels()?;
        let avatars = rows.iter().filter_map(|row| row.ordering_key.avatar_id());
        let names = self.names(avatars.cloned())?;
        let view = |row: &DeliveryRow| {
            let name = row.ordering_key.avatar_id().and_then(|id| names.get(id));
            DeliveryView::new(row, name.map(String::as_str), channels, self.now.now)
        };
        Ok(rows.iter().map(view).collect())
    }

    /// The names of avatars that have one: that in the config, else that in the API.
    fn names(
        &self,
        ids: impl Iterator<Item = AvatarId>,
    ) -> Result<BTreeMap<AvatarId, String>, StoreError> {
        let ids: Vec<AvatarId> = ids.collect::<BTreeSet<_>>().into_iter().collect();
        let recorded = self.reader.uncached.recorded_of(&ids)?;
        let name = |(id, recorded): (AvatarId, Option<RecordedAvatar>)| {
            let configured = self.config.avatars.get(&id).and_then(|it| it.label.clone());
            let names = [configured, recorded.and_then(|it| it.watch.name)];
            let name = names.into_iter().flatten().find(|name| !is_blank(name));
            Some((id, name?))
        };
        Ok(ids.into_iter().zip(recorded).filter_map(name).collect())
    }

    /// The newest deliveries about an avatar, each with its attempts.
    pub(super) fn deliveries_of(
        &self,
        id: &AvatarId,
        limit: u32,
    ) -> Result<Vec<DeliveryWithAttempts>, StoreError> {
        let filter = DeliveryFilter {
            avatar: Some(id.to_string()),
            limit: Some(limit),
            ..DeliveryFilter::default()
        };
        self.with_attempts(&self.reader.uncached.deliveries_before(&filter, None)?)
    }

    /// The gauges of `/metrics`.
    pub(super) fn metrics_snapshot(&self) -> Result<MetricsSnapshot, StoreError> {
        let Now { now, monotonic, .. } = self.now;
        let summary = self.reader.summary(&self.config)?;
        let status = |name: &Option<String>| name.as_deref().map(Status::from_name);
        let conditions = self.conditions()?.into_iter().map(|it| it.kind.clone());
        let channels = self.reader.channels()?.iter().map(|row| ChannelSnapshot {
            state: row.health.state,
            undelivered: row.undelivered,
            dead_letters: row.dead_letters,
            oldest_age: row.oldest_at.map(|at| now.since(at)),
            failing_recipients: row.recipients.len() as u64,
            name: row.name.clone(),
        });
        let accounts = self.config.accounts.iter().map(|name| {
            let success_at = self.state.last_seen.last_success_at(name).map(|(_, at)| at);
            (name.clone(), monotonic.since(success_at.unwrap_or(self.state.started_at)))
        });
        let loops = (self.state.progress)(monotonic);
        Ok(MetricsSnapshot {
            avatars: summary.statuses.iter().map(|(name, count)| (status(name), *count)).collect(),
            failing: summary.failing.len() as u64,
            conditions: conditions.collect(),
            channels: channels.collect(),
            account_ages: accounts.collect(),
            loop_ages: loops.iter().map(|it| (it.name, it.age)).collect(),
            database_size: location::size_on_disk(&self.state.database),
            database_writable: (self.state.write_failure)().is_none(),
            dropped: (self.state.dropped)(),
        })
    }
}
