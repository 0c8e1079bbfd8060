//! Publishes conditions of channels, groups of avatars' conditions, dead letters and reminders to
//! operator channels.
//!
//! An event is marked as reported in the transaction that creates it, so it is published once even
//! across a crash. A channel gets no event about itself.

use std::sync::Arc;

use tracing::error;

use crate::daemon::config::runtime_config::RuntimeConfig;
use crate::daemon::context::DaemonContext;
use crate::daemon::logging::log::{log_condition, log_dead_letters};
use crate::daemon::ports::{Clock, Notifier};
use crate::domain::account::AccountName;
use crate::domain::alerts::{self, AlertGroup};
use crate::domain::avatar::AvatarId;
use crate::domain::condition::{AvatarGroup, Condition, ConditionSubject, OutageCause, Phase};
use crate::domain::delivery::dead_letter::DeadLetter;
use crate::domain::event::{Event, EventKind, Subject};
use crate::domain::id::EventId;
use crate::domain::random::RandomBits;
use crate::domain::time::timestamp::Timestamp;
use crate::notify::content::render;
use crate::notify::format::standard;
use crate::store::error::StoreError;
use crate::store::handle::NewEvent;
use crate::store::pending_alerts::{ChannelChange, Covers, NewDeadLetters, PendingAlerts};
use crate::store::reminders::Reminder;

/// Publishes all alerts that are due.
///
/// # Errors
/// When the store cannot write them; the next call retries.
pub(crate) async fn publish_due<S, N: Notifier, C: Clock>(
    context: &DaemonContext<C>,
    config: &Arc<RuntimeConfig<S, N>>,
) -> Result<(), StoreError> {
    let (now, random) = (context.clock.now(), context.rng.next_bits());
    let pending = context.store.pending_alerts(config.alert_timing, now).await?;
    let alerts = Alerts { config, now, random, next: 0, found: Vec::new() }.of(pending);
    let events: Vec<(Event, bool, bool)> = alerts
        .iter()
        .filter_map(|(new_event, covers)| {
            let new_event = new_event.as_ref()?;
            let is_logged = matches!(covers, Covers::Changes(_));
            Some((new_event.event.clone(), is_logged, new_event.has_deliveries()))
        })
        .collect();
    context.store.publish_alerts(alerts, now).await?;
    for (event, is_logged, has_deliveries) in &events {
        if !is_logged {
            log_condition(event);
        }
        log_dead_letters(event);
        if !has_deliveries
            && let Subject::Condition(condition) = &event.subject
            && let Some(channel) = condition.subject.channel()
        {
            error!(
                channel = %channel,
                "no channel receives {}: no other channel has `operator = true`", event.kind
            );
        }
    }
    if events.iter().any(|(_, _, has_deliveries)| *has_deliveries) {
        context.wakeup.notify_one();
    }
    Ok(())
}

/// The events of alerts, as they are made.
struct Alerts<'a, S, N> {
    config: &'a RuntimeConfig<S, N>,
    now: Timestamp,
    random: RandomBits,
    next: u64,
    found: Vec<(Option<NewEvent>, Covers)>,
}

impl<S, N: Notifier> Alerts<'_, S, N> {
    fn of(mut self, pending: PendingAlerts) -> Vec<(Option<NewEvent>, Covers)> {
        let PendingAlerts { channel_changes, dead_letters, avatar_changes, reminders } = pending;
        for change in channel_changes {
            let (kind, subject) = channel_event(change, self.now);
            self.add(kind, self.now, subject, Covers::Condition);
        }
        for NewDeadLetters { mut group, ids, since } in dead_letters {
            group.others.iter_mut().for_each(|letter| self.label(letter));
            self.label(&mut group.first);
            let covers = Covers::DeadLetters(group.first.channel.clone(), ids);
            let subject = Subject::DeadLetter(Box::new(group));
            self.add(EventKind::DeliveryExhausted, since.min(self.now), subject, covers);
        }
        for AlertGroup { event, rows, is_notified } in avatar_changes {
            let random = self.random();
            let new_event = if is_notified {
                self.new_event(event, random)
            } else {
                let (title, body) = (render::title(&event), standard::render(&event));
                NewEvent { event, title, body, deliveries: Vec::new() }
            };
            self.found.push((Some(new_event), Covers::Changes(rows)));
        }
        reminders.into_iter().for_each(|reminders| self.remind(reminders));
        self.found
    }

    /// Adds the event of conditions that last; those of what is not watched are only marked.
    fn remind(&mut self, reminders: Vec<Reminder>) {
        let Some(first) = reminders.first() else { return };
        let name = first.kind.clone();
        let Some(kind) = EventKind::OPERATIONAL.into_iter().find(|kind| kind.name() == name) else {
            return;
        };
        let subjects = reminders.iter().map(|it| it.subject.clone()).collect();
        let (now, config) = (self.now, self.config);
        let mut conditions = reminders.into_iter().filter_map(|it| reminder(config, it, now));
        let covers = Covers::Reminder(name, subjects);
        match conditions.next() {
            None => self.found.push((None, covers)),
            Some(first) => {
                let random = self.random();
                let id = EventId::mint(now, random);
                let event = |condition| Event {
                    id: id.clone(),
                    kind,
                    occurred_at: now,
                    subject: Subject::Condition(Box::new(condition)),
                };
                let mut whole = event(first);
                conditions.for_each(|other| alerts::add(&mut whole, &event(other)));
                let new_event = self.new_event(whole, random.derive(1));
                self.found.push((Some(new_event), covers));
            }
        }
    }

    fn add(&mut self, kind: EventKind, occurred_at: Timestamp, subject: Subject, covers: Covers) {
        let random = self.random();
        let event = Event { id: EventId::mint(self.now, random), kind, occurred_at, subject };
        let new_event = self.new_event(event, random.derive(1));
        self.found.push((Some(new_event), covers));
    }

    /// The event, for the operator channels that are for its avatars.
    fn new_event(&self, event: Event, random: RandomBits) -> NewEvent {
        let avatars = self.config.avatars_of(&event).unwrap_or_default();
        let facts: Vec<_> =
            avatars.iter().map(|(avatar, name)| avatar.facts(*name, None)).collect();
        self.config.new_event(event.clone(), &facts, self.now, random)
    }

    /// Shows the name that the config gives the avatar.
    fn label(&self, letter: &mut DeadLetter) {
        let id = letter.avatar_id.as_deref().and_then(|id| AvatarId::parse(id).ok());
        let named = id.and_then(|id| self.config.avatars.get(&id)?.label.clone());
        letter.avatar_name = named.or_else(|| letter.avatar_name.take());
    }

    fn random(&mut self) -> RandomBits {
        self.next += 1;
        self.random.derive(self.next)
    }
}

fn channel_event(channel_change: ChannelChange, now: Timestamp) -> (EventKind, Subject) {
    let ChannelChange { channel, recipient, kind, phase, since, reason } = channel_change;
    let subject = ConditionSubject::Channel { name: channel, recipient };
    let condition = Condition { phase, started_at: since.min(now), subject, reason };
    (kind, Subject::Condition(Box::new(condition)))
}

/// The condition of a reminder, if its subject is watched.
fn reminder<S, N>(
    config: &RuntimeConfig<S, N>,
    reminder: Reminder,
    now: Timestamp,
) -> Option<Condition> {
    let Reminder { kind, subject, since, account, cause, reason, .. } = reminder;
    let subject = match (account, reminder.channel) {
        (Some(account), _) => {
            let id = AvatarId::parse(&subject).ok()?;
            let named = config.avatars.get(&id);
            if named.is_none() && !(reminder.is_discovered && config.discovers(&account)) {
                return None;
            }
            ConditionSubject::Avatar {
                id,
                name: named.and_then(|it| it.label.clone()).or(reminder.name),
                account,
                status: reminder.status,
                group: AvatarGroup { cause, ..AvatarGroup::default() },
            }
        }
        (None, Some(name)) => ConditionSubject::Channel { name, recipient: reminder.recipient },
        (None, None) if kind == EventKind::ConfigRejected.name() => ConditionSubject::Config,
        (None, None) => {
            let name = AccountName::parse(subject.strip_prefix("account ")?).ok()?;
            let cause = OutageCause::from_name(&cause?)?;
            config
                .accounts
                .contains_key(&name)
                .then_some(ConditionSubject::Account { name, cause })?
        }
    };
    Some(Condition { phase: Phase::Reminder, started_at: since.min(now), subject, reason })
}
