//! Read model: views of the database and of the last polls, for one response.

use crate::domain::avatar::AvatarId;
use crate::domain::avatar::status::Status;
use crate::domain::status_report::{LATE_AFTER, unwritable};
use crate::domain::time::timestamp::Timestamp;
use crate::runtime::metrics::{ChannelSnapshot, MetricsSnapshot};
use crate::store::error::StoreError;
use crate::store::files::location;
use crate::store::pagination::{History, NumberedTransition};
use crate::store::reader::{ChannelRow, DeliveryFilter, DeliveryRow};
use crate::text::sanitize::is_blank;
use crate::web::cursor::Cursor;
use crate::web::delivery_views::{AttemptView, DeliveryView, DeliveryWithAttempts};
use crate::web::reader_cache::CachedReader;
use crate::web::routes::{unreached, with_only, with_routes};
use crate::web::state::{AppState, ConfigView, Now};
use crate::web::status::{self, DaemonView, Parts, StatusView};
use crate::web::views::{
    AvatarContext, AvatarView, ChannelView, ConditionView, TrainingView, TransitionView,
};

/// The read model of one request. Its methods block.
#[derive(Debug)]
pub(super) struct ReadModel<'d> {
    state: &'d AppState,
    reader: &'d CachedReader,
    config: std::sync::Arc<ConfigView>,
    now: Now,
}

impl<'d> ReadModel<'d> {
    pub(super) fn read<T>(
        state: &AppState,
        work: impl FnOnce(&ReadModel<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        state.reader_cache.read(&state.database, |reader| {
            work(&ReadModel { state, reader, config: state.config(), now: state.now() })
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

    /// All avatars that are or were watched, by id.
    pub(super) fn avatars(&self) -> Result<Vec<AvatarView>, StoreError> {
        let rows = self.reader.rows()?;
        Ok(rows.avatars(self.config.avatars.keys(), |watch| {
            let configured = self.config.avatars.get(&watch.id);
            let context = AvatarContext {
                names: [configured.and_then(|it| it.label.as_ref()), watch.name.as_ref(), None],
                account: configured.map(|it| &it.routing.account),
                configured: Some(configured.is_some()),
                seen_at: self.state.last_seen.of(&watch.id).map(|it| it.seen_at),
                next_poll_at: self.state.last_seen.next_poll_at(&watch.id),
            };
            AvatarView::new(watch, rows, &context, self.now.now)
        }))
    }

    /// An avatar that is or was watched, with the channels that it reaches.
    pub(super) fn avatar(&self, id: &AvatarId) -> Result<Option<AvatarView>, StoreError> {
        let found = self.avatars()?.into_iter().find(|avatar| id.matches(&avatar.id));
        let Some(found) = found else { return Ok(None) };
        // The request may have another case than the config.
        let id = AvatarId::parse(&found.id).ok();
        let configured = id.as_ref().and_then(|id| self.config.avatars.get(id));
        let avatar = with_routes(found, configured.map(|it| &it.routing), &self.config.routing);
        let last = id.map(|id| self.reader.uncached.last_training(&id)).transpose()?.flatten();
        Ok(Some(AvatarView { last_training: last.as_ref().map(TrainingView::from), ..avatar }))
    }

    /// The `https` URL of an avatar's picture, if a poll since the start returned one.
    pub(super) fn thumbnail(&self, id: &AvatarId) -> Option<String> {
        let thumbnail = self.state.last_seen.of(id)?.thumbnail?;
        let url = url::Url::parse(&thumbnail).ok()?;
        (url.scheme() == "https" && url.has_host()).then(|| url.to_string())
    }

    pub(super) fn status(&self) -> Result<StatusView, StoreError> {
        self.status_of(&self.avatars()?)
    }

    /// The same, for avatars that were already read.
    pub(super) fn status_of(&self, avatars: &[AvatarView]) -> Result<StatusView, StoreError> {
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
            unreached: unreached(
                avatars,
                |id| self.config.avatars.get(id).map(|it| &it.routing),
                &self.config.routing,
            ),
            conditions: self.conditions(avatars)?,
            accounts: accounts.map(|name| (name.to_string(), last_success(name))).collect(),
            knows_avatars: true,
            discovers: self.config.discovers,
            ..Parts::default()
        };
        Ok(StatusView::new(parts, avatars, LATE_AFTER, self.now.now))
    }

    /// Whether a channel is notified when polling or a channel fails.
    pub(super) fn has_operator(&self) -> bool {
        self.config.has_operator
    }

    /// All channels that were ever registered, by name.
    pub(super) fn channels(&self) -> Result<Vec<ChannelView>, StoreError> {
        let rows = &self.reader.rows()?.channels;
        let view = |row: &ChannelRow| {
            let only = self.config.routing.channels.get(&row.name).map(|it| &it.only);
            with_only(
                ChannelView::new(row, self.config.channels.get(&row.name), self.now.now),
                only,
            )
        };
        Ok(rows.iter().map(view).collect())
    }

    /// The active conditions of watched subjects.
    fn conditions(&self, avatars: &[AvatarView]) -> Result<Vec<ConditionView>, StoreError> {
        let (rows, discovers) = (&self.reader.rows()?.conditions, self.config.discovers);
        let accounts: Vec<String> = self.config.accounts.iter().map(ToString::to_string).collect();
        Ok(status::conditions(rows, avatars, Some(&accounts), true, discovers))
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
        let rows = self.reader.uncached.deliveries_before(filter, before)?;
        rows.iter().map(|row| self.delivery_view(row)).collect()
    }

    pub(super) fn delivery(&self, id: &str) -> Result<Option<DeliveryWithAttempts>, StoreError> {
        let Some(row) = self.reader.uncached.delivery(id)? else { return Ok(None) };
        Ok(Some(self.with_attempts(&row)?))
    }

    fn with_attempts(&self, row: &DeliveryRow) -> Result<DeliveryWithAttempts, StoreError> {
        let attempts = self.reader.uncached.attempts(&row.id)?;
        let attempt_log = attempts.iter().map(AttemptView::from).collect();
        let delivery = self.delivery_view(row)?;
        Ok(DeliveryWithAttempts { delivery, attempt_log, message: None })
    }

    fn views(&self, rows: &[NumberedTransition]) -> Result<Vec<TransitionView>, StoreError> {
        let view = |(seq, transition): &NumberedTransition| {
            let name = self.name(&transition.avatar_id)?;
            Ok(TransitionView::new(*seq, transition, name))
        };
        rows.iter().map(view).collect()
    }

    fn delivery_view(&self, row: &DeliveryRow) -> Result<DeliveryView, StoreError> {
        let avatar = row.ordering_key.avatar_id();
        let name = avatar.map(|id| self.name(id)).transpose()?.flatten();
        Ok(DeliveryView::new(row, name, &self.reader.rows()?.channels, self.now.now))
    }

    /// The name of an avatar: that in the config, else that in the API.
    fn name(&self, id: &AvatarId) -> Result<Option<&str>, StoreError> {
        let configured = self.config.avatars.get(id).and_then(|it| it.label.as_deref());
        let watch = self.reader.rows()?.watch(id);
        let names = [configured, watch.and_then(|watch| watch.name.as_deref())];
        Ok(names.into_iter().flatten().find(|name| !is_blank(name)))
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
        let rows = self.reader.uncached.deliveries_before(&filter, None)?;
        rows.iter().map(|row| self.with_attempts(row)).collect()
    }

    /// The gauges of `/metrics`.
    pub(super) fn metrics_snapshot(&self) -> Result<MetricsSnapshot, StoreError> {
        let Now { now, monotonic, .. } = self.now;
        let views = self.avatars()?;
        let watched: Vec<&AvatarView> = views.iter().filter(|it| it.is_watched()).collect();
        let statuses = watched.iter().map(|it| it.status.as_deref().map(Status::from_name));
        let conditions = self.conditions(&views)?.into_iter().map(|it| it.kind);
        let channels = self.reader.rows()?.channels.iter().map(|row| ChannelSnapshot {
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
            avatars: statuses.collect(),
            failing: watched.iter().filter(|it| it.failure.is_some()).count() as u64,
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
