//! The book: what the tables and the last looks tell, read for one answer.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::domain::account::AccountName;
use crate::domain::avatar::AvatarId;
use crate::domain::foreign_text::{is_blank, plain};
use crate::domain::status::Status;
use crate::domain::timestamp::Timestamp;
use crate::domain::verdict::{Facts, Finding, LATE_AFTER, Level, StatusFacts, UNWRITABLE, judge};
use crate::domain::watch::Watch;
use crate::live::metrics::{Measured, MeasuredChannel};
use crate::store::error::StoreError;
use crate::store::pages::{self, History, Placed};
use crate::store::reader::{ConditionRow, DeliveryCounts, DeliveryFilter, DeliveryRow};
use crate::web::cursor::Cursor;
use crate::web::desk::{Desk, Register, Tick};
use crate::web::shelf::{Kept, Rows};
use crate::web::view::{
    AccountView, AttemptView, AvatarView, ChannelView, ConditionView, DeliveryView, FindingView,
    StatusView, TransitionView, TroubleView, shown, text,
};

/// An open book. It blocks while it reads.
#[derive(Debug)]
pub struct Book<'d> {
    desk: &'d Desk,
    kept: &'d Kept,
    register: std::sync::Arc<Register>,
    tick: Tick,
}

impl<'d> Book<'d> {
    /// Has `work` read in the book of a desk.
    ///
    /// # Errors
    /// When the database cannot be read, or `work` fails.
    pub fn read<T>(
        desk: &Desk,
        work: impl FnOnce(&Book<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        desk.shelf.read(&desk.database, |kept| {
            work(&Book { desk, kept, register: desk.register(), tick: desk.tick() })
        })
    }

    /// The moment of this answer.
    pub fn now(&self) -> Timestamp {
        self.tick.now
    }

    /// What the config in force says.
    pub fn register(&self) -> &Register {
        &self.register
    }

    /// Every avatar that is or was watched, by id.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn avatars(&self) -> Result<Vec<AvatarView>, StoreError> {
        let Rows { watches, discovered, counts, usual, .. } = self.kept.rows()?;
        let unwritten = self.register.avatars.keys().filter(|id| !watches.contains_key(id));
        let unwritten: Vec<Watch> = unwritten.map(|id| Watch::new(id.clone())).collect();
        let view = |watch: &Watch| {
            let counts = counts.get(&watch.id).copied().unwrap_or_default();
            let usual = usual.get(&watch.model).copied().flatten();
            self.avatar(watch, discovered.get(&watch.id), counts, usual)
        };
        let mut avatars: Vec<AvatarView> = watches.values().chain(&unwritten).map(view).collect();
        avatars.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(avatars)
    }

    fn avatar(
        &self,
        watch: &Watch,
        found: Option<&AccountName>,
        counts: DeliveryCounts,
        usual: Option<Duration>,
    ) -> AvatarView {
        let registered = self.register.avatars.get(&watch.id);
        let names = [registered.and_then(|it| it.label.as_ref()), watch.name.as_ref()];
        let name = names.into_iter().flatten().find(|name| !is_blank(name));
        let sight = watch.sight.as_ref();
        let is_training = sight.is_some_and(|sight| sight.status == Status::Training);
        let training = watch.training_since().filter(|_| is_training);
        let now = self.tick.now;
        let seen_live = self.desk.sights.of(&watch.id).map(|it| it.seen_at);
        AvatarView {
            id: watch.id.to_string(),
            name: name.map(|name| plain(name)),
            account: registered.map(|it| &it.account).or(found).map(ToString::to_string),
            model: watch.model.as_deref().map(plain),
            configured: registered.is_some(),
            discovered: registered.is_none() && found.is_some(),
            status: sight.map(|sight| shown(&sight.status)),
            since: sight.map(|sight| sight.since.to_string()),
            last_seen_at: text(seen_live.max(sight.map(|sight| sight.last_seen_at))),
            training_seconds: training.map(|since| now.since(since).as_secs()),
            usual_training_seconds: usual.map(|usual| usual.as_secs()),
            trouble: TroubleView::of(watch),
            deliveries_under_way: counts.under_way,
            deliveries_failed: counts.failed,
        }
    }

    /// The picture of an avatar, if a look since the start showed one: an `https` address.
    pub fn thumbnail(&self, id: &AvatarId) -> Option<String> {
        let address = self.desk.sights.of(id)?.thumbnail?;
        let url = url::Url::parse(&address).ok()?;
        (url.scheme() == "https" && url.has_host()).then(|| url.to_string())
    }

    /// All at a glance.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn status(&self) -> Result<StatusView, StoreError> {
        self.status_of(&self.avatars()?)
    }

    /// The same, when the avatars were read already.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn status_of(&self, avatars: &[AvatarView]) -> Result<StatusView, StoreError> {
        let watched: Vec<&AvatarView> = avatars.iter().filter(|it| it.is_watched()).collect();
        let conditions = self.conditions(&watched)?;
        let channels = self.channels()?;
        let findings = self.findings(&watched, &conditions, &channels);
        let level = Level::of(&findings);
        let sum = |of: fn(&ChannelView) -> u64| channels.iter().map(of).sum();
        let (under_way, failed) = (sum(|it| it.under_way), sum(|it| it.failed));
        Ok(StatusView {
            version: env!("CARGO_PKG_VERSION"),
            now: self.tick.now.to_string(),
            well: level.is_well(),
            verdict: level.name(),
            headline: level.headline(),
            findings: findings.iter().map(FindingView::from).collect(),
            avatars: watched.len() as u64,
            training: watched.iter().filter(|it| it.training_seconds.is_some()).count() as u64,
            deliveries_under_way: under_way,
            deliveries_failed: failed,
            oldest_undelivered_at: channels
                .iter()
                .filter_map(|channel| channel.oldest_under_way_at.clone())
                .min(),
            accounts: self.accounts(&conditions),
            channels,
            conditions,
        })
    }

    /// What is wrong, or worth knowing, in the words of the command line.
    fn findings(
        &self,
        watched: &[&AvatarView],
        conditions: &[ConditionView],
        channels: &[ChannelView],
    ) -> Vec<Finding> {
        let moving = (self.desk.progress)(self.tick.moment);
        let unseen = watched.iter().filter_map(|avatar| {
            Some(avatar.trouble.as_ref()?.facts(&avatar.id, avatar.account.as_deref()))
        });
        let unrecognized = watched.iter().filter_map(|avatar| {
            let since = avatar.since.as_deref().and_then(Timestamp::parse_rfc3339);
            StatusFacts::of(&avatar.id, avatar.status.as_deref()?, since)
        });
        let facts = Facts {
            running: true,
            hindrance: (!(self.desk.writes)()).then_some(UNWRITABLE),
            stuck: moving.iter().filter(|it| it.stuck).map(|it| it.name).collect(),
            // One that cannot be read is not taken, and that is a condition.
            config_readable: true,
            config_problems: &[],
            config_changes: &[],
            watched: (!self.register.discovers).then_some(watched.len()),
            conditions: conditions.iter().map(ConditionView::facts).collect(),
            channels: Some(channels.iter().map(ChannelView::facts).collect()),
            unseen: unseen.collect(),
            unrecognized: unrecognized.collect(),
        };
        judge(&facts, LATE_AFTER, self.tick.now)
    }

    fn accounts(&self, conditions: &[ConditionView]) -> Vec<AccountView> {
        let view = |name: &AccountName| {
            let subject = format!("account {name}");
            let answered_at = self.desk.sights.answered_at(name).map(|(at, _)| at);
            AccountView {
                name: name.to_string(),
                answered_at: text(answered_at),
                blind: conditions.iter().find(|it| it.subject == subject).cloned(),
            }
        };
        self.register.accounts.iter().map(view).collect()
    }

    /// Every channel that was ever registered, by name.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn channels(&self) -> Result<Vec<ChannelView>, StoreError> {
        let rows = &self.kept.rows()?.channels;
        let kind = |name| self.register.channels.get(name);
        Ok(rows.iter().map(|row| ChannelView::new(row, kind(&row.name), self.tick.now)).collect())
    }

    /// The conditions that hold, of what is watched. Of anything else nobody can say whether they
    /// still do.
    fn conditions(&self, watched: &[&AvatarView]) -> Result<Vec<ConditionView>, StoreError> {
        let holds = |row: &&ConditionRow| match row.subject.split_once(' ') {
            Some(("account", name)) => {
                let exists = self.register.accounts.iter().any(|it| it.as_str() == name);
                let is_used = watched.iter().any(|it| it.account.as_deref() == Some(name));
                exists && (is_used || self.register.discovers)
            }
            Some(_) => true,
            None => watched.iter().any(|avatar| avatar.id == row.subject),
        };
        Ok(self.kept.rows()?.conditions.iter().filter(holds).map(ConditionView::from).collect())
    }

    /// The newest transitions of an avatar, or of all.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn transitions(
        &self,
        avatar: Option<&AvatarId>,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<TransitionView>, StoreError> {
        Ok(views(&self.kept.reader.transitions_before(avatar, before, limit)?))
    }

    /// The transitions after a place, oldest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn transitions_after(
        &self,
        place: i64,
        limit: u32,
    ) -> Result<Vec<TransitionView>, StoreError> {
        Ok(views(&self.kept.reader.transitions_after(place, limit)?))
    }

    /// Where a stream goes on that ended at `asked`, if it can go on there: in this history, with
    /// all that came after it still there. Of a sequence number alone nobody can say more than
    /// whether there is such a number.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn resume(&self, asked: Cursor) -> Result<Option<Cursor>, StoreError> {
        let History { id, pruned_up_to } = self.kept.reader.history()?;
        let is_of_this = match asked.history_id {
            Some(given) => given == id && asked.seq >= pruned_up_to,
            None => true,
        };
        let can_go_on = is_of_this && asked.seq <= self.last_place()?;
        Ok(can_go_on.then_some(Cursor { seq: asked.seq, history_id: Some(id) }))
    }

    /// The cursor of the last transition.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn newest(&self) -> Result<Cursor, StoreError> {
        let history_id = Some(self.kept.reader.history()?.id);
        Ok(Cursor { seq: self.last_place()?, history_id })
    }

    /// The place of the last transition.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn last_place(&self) -> Result<i64, StoreError> {
        self.kept.reader.last_place()
    }

    /// The newest deliveries that fit.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn deliveries(
        &self,
        filter: &DeliveryFilter,
        before: Option<&str>,
    ) -> Result<Vec<DeliveryView>, StoreError> {
        let rows = self.kept.reader.deliveries_before(filter, before)?;
        Ok(rows.iter().map(DeliveryView::from).collect())
    }

    /// A delivery with its attempts.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn delivery(
        &self,
        id: &str,
    ) -> Result<Option<(DeliveryView, Vec<AttemptView>)>, StoreError> {
        let Some(row) = self.kept.reader.delivery(id)? else { return Ok(None) };
        Ok(Some((DeliveryView::from(&row), self.attempts(&row)?)))
    }

    fn attempts(&self, row: &DeliveryRow) -> Result<Vec<AttemptView>, StoreError> {
        let attempts = self.kept.reader.attempts(&row.id)?;
        Ok(attempts.iter().map(AttemptView::from).collect())
    }

    /// The newest deliveries about an avatar, each with its attempts.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn deliveries_of(
        &self,
        id: &AvatarId,
        limit: u32,
    ) -> Result<Vec<(DeliveryView, Vec<AttemptView>)>, StoreError> {
        let filter =
            DeliveryFilter { avatar: Some(id.to_string()), limit, ..DeliveryFilter::default() };
        let rows = self.kept.reader.deliveries_before(&filter, None)?;
        rows.iter().map(|row| Ok((DeliveryView::from(row), self.attempts(row)?))).collect()
    }

    /// What is measured when somebody asks for the numbers.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn measure(&self) -> Result<Measured, StoreError> {
        let Tick { now, moment, .. } = self.tick;
        let views = self.avatars()?;
        let watched: Vec<&AvatarView> = views.iter().filter(|it| it.is_watched()).collect();
        let mut avatars: BTreeMap<Option<&str>, u64> = BTreeMap::new();
        for avatar in &watched {
            *avatars.entry(avatar.status.as_deref()).or_default() += 1;
        }
        let mut conditions: BTreeMap<String, u64> = BTreeMap::new();
        for condition in self.conditions(&watched)? {
            *conditions.entry(condition.kind).or_default() += 1;
        }
        let channels = self.kept.rows()?.channels.iter().map(|row| MeasuredChannel {
            state: row.health.state,
            pending: row.under_way,
            dead: row.failed,
            oldest: row.oldest_at.map(|at| now.since(at)),
            failing_recipients: row.recipients.len() as u64,
            name: row.name.clone(),
        });
        let accounts = self.register.accounts.iter().map(|name| {
            let answered = self.desk.sights.answered_at(name).map(|(_, moment)| moment);
            (name.clone(), moment.since(answered.unwrap_or(self.desk.started_at)))
        });
        let loops = (self.desk.progress)(moment);
        Ok(Measured {
            avatars: avatars
                .into_iter()
                .map(|(status, count)| (status.map(Status::from_name), count))
                .collect(),
            troubled: watched.iter().filter(|it| it.trouble.is_some()).count() as u64,
            conditions: conditions.into_iter().collect(),
            channels: channels.collect(),
            accounts: accounts.collect(),
            loops: loops.iter().map(|it| (it.name, it.age)).collect(),
            database_size: pages::size(&self.desk.database),
            database_writable: (self.desk.writes)(),
            dropped: (self.desk.dropped)(),
        })
    }
}

fn views(placed: &[Placed]) -> Vec<TransitionView> {
    placed.iter().map(|(place, transition)| TransitionView::new(*place, transition)).collect()
}
