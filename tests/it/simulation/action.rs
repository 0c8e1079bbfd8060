//! What is done to a simulated daemon, step by step, as the dice fall; and the calm at the end.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use avatar_watch::daemon::config::runtime_config::{RuntimeConfig, WatchedAvatar};
use avatar_watch::domain::account::AccountName;
use avatar_watch::domain::alerts::AlertTiming;
use avatar_watch::domain::avatar::status::Status;
use avatar_watch::domain::delivery::DeliveryId;
use avatar_watch::domain::delivery::channel_health::Pause;
use avatar_watch::domain::delivery::channel_name::ChannelName;
use avatar_watch::domain::delivery::recipient_health::masked;
use avatar_watch::domain::delivery::retry_policy::RetrySchedule;
use avatar_watch::domain::event::EventKind;
use avatar_watch::domain::id::EventId;
use avatar_watch::domain::polling::interval::SettledIntervals;
use avatar_watch::domain::polling::overdue::OverdueAfter;
use avatar_watch::domain::random::RandomBits;
use avatar_watch::domain::routing::tag::Tag;
use avatar_watch::domain::time::monotonic::Monotonic;
use avatar_watch::domain::time::timestamp::Timestamp;
use avatar_watch::store::admin::channels::{ChannelAdminResult, ChannelSwitch};
use avatar_watch::store::admin::deliveries::{AdminResult, DeliveryAdmin, RetryAs};
use avatar_watch::store::reader::{DeliveryFilter, DeliveryRow};
use tokio::task::yield_now;

use crate::harness::plans::{id, plan, seconds, the_account, with_channel};
use crate::harness::world::World;
use crate::simulation::environment::{Nature, SimPost, SimSource};
use crate::simulation::history::{
    ChannelNote, ConditionEvent, Delivery, EventRow, History, PlanNote,
};
use crate::simulation::hours;
use crate::simulation::random::Dice;

type SimPlan = RuntimeConfig<SimSource, SimPost>;

/// The daemon under test and everything around it.
pub(super) struct Stage {
    world: World<SimSource, SimPost>,
    nature: Nature,
    dice: Dice,
    plans: Vec<PlanNote>,
    manual: BTreeSet<DeliveryId>,
    enabled: Vec<(String, Monotonic)>,
}

impl Stage {
    /// Plays one seed.
    pub(super) async fn play(seed: u64) -> History {
        let world = World::new(seed);
        let mut stage = Self {
            nature: Nature::new(&world.clock, seed, &AVATARS),
            world,
            dice: Dice::new(seed, 1),
            plans: Vec::new(),
            manual: BTreeSet::new(),
            enabled: Vec::new(),
        };
        stage.start().await;
        for _ in 0..STEPS {
            stage.step().await;
        }
        stage.calm().await;
        let ends = stage.world.stop().await;
        assert!(ends.iter().all(Result::is_ok), "seed {seed}: {ends:?}");
        stage.history()
    }

    async fn step(&mut self) {
        match self.dice.below(100) {
            0..=39 => {
                let most = self.dice.pick(&[seconds(60), seconds(3 * 3600), seconds(24 * 3600)]);
                let time = self.dice.wait(Duration::from_millis(20), most);
                self.pass(time).await;
            }
            40..=64 => {
                for _ in 0..=self.dice.below(6) {
                    self.world.clock.advance_to_next();
                    self.quiet().await;
                }
            }
            65..=70 => self.nature.change_weather(&[&CHANNELS[..], &[OPERATOR]].concat()),
            71..=80 => self.crash().await,
            81..=83 => self.stop().await,
            84..=89 => {
                let plan = self.any_plan();
                self.world.reload(plan).await;
                self.quiet().await;
            }
            90..=93 => {
                let jump_s = i64::try_from(self.dice.below(4 * 3600)).unwrap() - 2 * 3600;
                self.world.clock.jump_wall(jump_s * 1000);
                self.nature.jump();
                self.quiet().await;
            }
            _ => self.lend_a_hand().await,
        }
    }

    async fn quiet(&self) {
        self.world.quiet().await;
        self.nature.outlived();
    }

    async fn pass(&self, time: Duration) {
        self.world.clock.advance(time);
        self.quiet().await;
    }

    async fn start(&mut self) {
        self.nature.boot();
        let plan = self.any_plan();
        self.world.start(plan).await;
        if self.dice.chance(80) {
            self.quiet().await;
        }
    }

    /// Kills the daemon after any number of turns, then starts it again some time later; once
    /// in a while several times in a row.
    async fn crash(&mut self) {
        loop {
            let most = self.dice.pick(&[seconds(1), seconds(60), seconds(3600)]);
            let time = self.dice.wait(Duration::from_millis(20), most);
            self.world.clock.advance(time);
            for _ in 0..self.dice.below(60) {
                yield_now().await;
            }
            self.world.crash().await;
            let down = self.dice.wait(Duration::from_millis(20), seconds(3600));
            self.world.clock.advance(down);
            self.start().await;
            if !self.dice.chance(25) {
                return self.quiet().await;
            }
        }
    }

    async fn stop(&mut self) {
        let ends = self.world.stop().await;
        assert!(ends.iter().all(Result::is_ok), "{ends:?}");
        self.nature.outlived();
        self.start().await;
        self.quiet().await;
    }

    /// Sends again or ends any delivery, beside the daemon.
    async fn lend_a_hand(&mut self) {
        let rows = self.rows();
        if rows.is_empty() {
            return;
        }
        if self.dice.chance(30) {
            return self.meddle_with_a_channel().await;
        }
        let row = self.dice.pick(&rows);
        let (now, roll) = (self.world.clock.wall(), RandomBits::new(self.dice.bits()));
        let mut hands = DeliveryAdmin::open(&self.world.path()).unwrap();
        let handled = match self.dice.below(5) {
            0 => hands.cancel(&row.id, now),
            _ => hands.retry(&row.id, RetryAs::SameId, now, roll),
        };
        if let AdminResult::Done(id) | AdminResult::Cancelled(id) = handled.unwrap() {
            self.manual.insert(id);
        }
        self.quiet().await;
    }

    /// Pauses, resumes or enables any channel, beside the daemon.
    async fn meddle_with_a_channel(&mut self) {
        let channel = self.dice.pick(&[&CHANNELS[..], &[OPERATOR]].concat());
        let now = self.world.clock.wall();
        let mut hands = DeliveryAdmin::open(&self.world.path()).unwrap();
        match self.dice.below(4) {
            0 => {
                let until = self.dice.chance(50).then(|| now.plus(seconds(3600)));
                let pause = ChannelSwitch::Pause(Pause { until, reason: None });
                hands.switch(&pause, &name(channel), now).unwrap();
            }
            1 => drop(hands.switch(&ChannelSwitch::Resume, &name(channel), now).unwrap()),
            _ => self.enable(&mut hands, channel),
        }
        self.quiet().await;
    }

    /// Everything works and is in the config: within twice the longest delay, nothing is in flight
    /// any more.
    async fn calm(&mut self) {
        self.quiet().await;
        self.nature.calm_down();
        let everything = self.plan_with(|_| true);
        self.world.reload(everything).await;
        let begun = self.world.clock.reading();
        while hours(begun, self.world.clock.reading()) < CALM_HOURS {
            self.switch_on();
            self.pass(seconds(1200)).await;
            let open = self.rows().into_iter().any(|row| row.next_attempt_at.is_some());
            let recorded = self.world.reader().watches().unwrap();
            // A recovery of a channel shows only after another message.
            let lasting = [OVERDUE, FAILING, UNRECOGNIZED];
            let seeing = self.holding().iter().all(|(kind, _)| lasting.contains(&kind.as_str()));
            let statuses = self.nature.statuses();
            let current = |watch: &avatar_watch::domain::polling::watch::Watch| {
                watch.observed.as_ref().map(|observed| &observed.status) == statuses.get(&watch.id)
            };
            if !open
                && !self.any_alert_waits()
                && seeing
                && recorded.len() == statuses.len()
                && recorded.iter().all(current)
            {
                break;
            }
        }
    }

    /// Whether a condition or a dead letter waits for the others of its group.
    fn any_alert_waits(&self) -> bool {
        let connection = rusqlite::Connection::open(self.world.path()).unwrap();
        let sql = "SELECT EXISTS(SELECT 1 FROM condition_changes)
                       OR EXISTS(SELECT 1 FROM deliveries WHERE state = 'dead' AND reported = 0)";
        connection.query_row(sql, [], |row| row.get(0)).unwrap()
    }

    /// Nothing is paused or disabled any more: an answer from before the calm may disable a
    /// channel after its beginning.
    fn switch_on(&mut self) {
        let (mut hands, now) =
            (DeliveryAdmin::open(&self.world.path()).unwrap(), self.world.clock.wall());
        for channel in CHANNELS.iter().chain(&[OPERATOR]) {
            if hands.switch(&ChannelSwitch::Resume, &name(channel), now).unwrap()
                != ChannelAdminResult::Already
            {
                self.enable(&mut hands, channel);
            }
        }
    }

    fn enable(&mut self, hands: &mut DeliveryAdmin, channel: &str) {
        let handled =
            hands.switch(&ChannelSwitch::Enable, &name(channel), self.world.clock.wall()).unwrap();
        if handled == ChannelAdminResult::Done {
            self.enabled.push((channel.to_owned(), self.world.clock.reading()));
        }
    }

    fn any_plan(&mut self) -> SimPlan {
        let percent = self.dice.pick(&[60, 90, 100]);
        self.plan_with(|dice| dice.chance(percent))
    }

    /// A plan with what is chosen of everything, and its note.
    fn plan_with(&mut self, chosen: impl Fn(&mut Dice) -> bool) -> SimPlan {
        let source = SimSource { nature: self.nature.clone(), plan: self.plans.len() };
        let mut plan: SimPlan = plan(Arc::new(source));
        let per_second = self.dice.pick(&[1, 2, 10]);
        let account = the_account(&mut plan);
        account.max_concurrency = self.dice.pick(&[1, 2, 16]);
        account.max_per_second = NonZeroU32::new(per_second).unwrap();
        plan.intervals.settled =
            SettledIntervals::always(Some(self.dice.pick(&[seconds(60), seconds(3600)])));
        plan.infer_unseen_training = self.dice.chance(80);
        plan.alert_timing = AlertTiming {
            group_window: self.dice.pick(&[Duration::ZERO, seconds(30), seconds(60)]),
            remind_after: self.dice.pick(&[None, Some(seconds(3600))]),
        };
        for (number, avatar) in AVATARS.iter().enumerate() {
            // What an avatar was when it was registered does not change by a reload.
            let assume = (number % 3 == 0).then_some(Status::Training);
            let channels = (number % 4 == 0).then(|| vec![name("ops"), name("mail")]);
            if chosen(&mut self.dice) {
                let overdue_after = match number % 2 {
                    0 => OverdueAfter::Fixed(OVERDUE_AFTER),
                    _ => OverdueAfter::Never,
                };
                // Tags come and go with a reload.
                let tags = if self.dice.chance(50) { [tag()].into() } else { BTreeSet::new() };
                let base = WatchedAvatar::default();
                let registration = WatchedAvatar { channels, tags, assume, overdue_after, ..base };
                plan.avatars.insert(id(avatar), Arc::new(registration));
            }
        }
        for channel in CHANNELS {
            if chosen(&mut self.dice) {
                plan = self.with_channel(plan, channel);
            }
        }
        // The operator is in every plan, so that each condition has its deliveries.
        plan = self.with_channel(plan, OPERATOR);
        self.nature.follow(self.plans.len());
        self.plans.push(note(&plan, per_second));
        plan
    }

    fn with_channel(&self, plan: SimPlan, channel: &str) -> SimPlan {
        let recipients: &[&str] = if channel == "mail" { &["x@a.test", "y@a.test"] } else { &[""] };
        let post = SimPost {
            nature: self.nature.clone(),
            channel: channel.to_owned(),
            recipients: recipients.iter().map(|&to| to.to_owned()).collect(),
        };
        let mut plan = with_channel(plan, channel, &Arc::new(post));
        let runtime = plan.channels.get_mut(&name(channel)).unwrap();
        // Nature takes half as long, but the clock may leap over all of it.
        runtime.attempt_timeout = seconds(60);
        match channel {
            "all" => runtime.events = EventKind::SELECTABLE.to_vec(),
            OPERATOR => runtime.events.clear(),
            "ops" => runtime.only.tags = vec![tag()],
            "bad-news" => {
                runtime.events = vec![EventKind::AvatarRefused, EventKind::AvatarTrainingFailed];
            }
            _ => {}
        }
        runtime.operator = channel == OPERATOR;
        runtime.policy.schedule = RetrySchedule::new(RETRIES_S.map(seconds).to_vec()).unwrap();
        plan
    }

    fn rows(&self) -> Vec<DeliveryRow> {
        self.world.reader().deliveries(&DeliveryFilter::default()).unwrap()
    }

    fn history(&self) -> History {
        let reader = self.world.reader();
        let (polls, calls) = self.nature.notes();
        let deliveries = self.rows().into_iter().map(|row| Delivery {
            body: reader.message(&row.id).unwrap().unwrap().1,
            attempts: reader.attempts(&row.id).unwrap(),
            row,
        });
        History {
            polls,
            calls,
            plans: self.plans.clone(),
            manual: self.manual.clone(),
            enabled: self.enabled.clone(),
            statuses: self.nature.statuses(),
            transitions: reader.transitions(None, u32::MAX).unwrap(),
            events: self.events(),
            conditions: self.conditions(),
            holding: self.holding(),
            deliveries: deliveries.collect(),
        }
    }

    fn events(&self) -> Vec<EventRow> {
        let connection = rusqlite::Connection::open(self.world.path()).unwrap();
        let sql = "SELECT id, type, avatar_id, avatar_seq FROM events
                   WHERE avatar_seq IS NOT NULL ORDER BY seq";
        let mut statement = connection.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| {
            Ok(EventRow {
                id: row.get(0)?,
                kind: row.get(1)?,
                avatar: row.get(2)?,
                sequence: u64::try_from(row.get::<_, i64>(3)?).unwrap(),
            })
        });
        rows.unwrap().map(Result::unwrap).collect()
    }

    fn conditions(&self) -> Vec<ConditionEvent> {
        let connection = rusqlite::Connection::open(self.world.path()).unwrap();
        let sql = "SELECT id, type, body, occurred_at FROM events
                   WHERE avatar_seq IS NULL ORDER BY seq";
        let mut statement = connection.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| {
            let body: Vec<u8> = row.get(2)?;
            let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
            let (id, kind, at): (EventId, String, Timestamp) =
                (row.get(0)?, row.get(1)?, row.get(3)?);
            let data = &body["data"];
            let account = data["account"].as_str().map(|name| format!("account {name}"));
            let to = data["recipient"].as_str().map(|to| format!(" to {to}")).unwrap_or_default();
            let channel = data["channel"].as_str().map(|name| format!("channel {name}{to}"));
            let state = match data["reminder"].as_bool() {
                Some(true) => "reminder",
                Some(false) | None => data["state"].as_str().unwrap_or_default(),
            };
            let one = ConditionEvent {
                id,
                kind,
                subject: account.or(channel).unwrap(),
                status: None,
                state: state.to_owned(),
                delivery: None,
                at: Some(at),
            };
            let list = |name: &str| data[name].as_array().cloned().unwrap_or_default();
            let [avatars, letters] = ["avatars", "deliveries"].map(list);
            assert!(data["count"].as_u64().is_none_or(|count| {
                count == u64::try_from(avatars.len() + letters.len()).unwrap() || count > 20
            }));
            // When the others of a group were detected is not in the event.
            let avatars = avatars.iter().enumerate().map(|(place, avatar)| ConditionEvent {
                subject: avatar["id"].as_str().unwrap().to_owned(),
                status: avatar["status"].as_str().map(str::to_owned),
                at: one.at.filter(|_| place == 0),
                ..one.clone()
            });
            let letters = letters.iter().map(|letter| ConditionEvent {
                delivery: letter["delivery_id"].as_str().map(|id| DeliveryId::parse(id).unwrap()),
                ..one.clone()
            });
            let members: Vec<ConditionEvent> = avatars.chain(letters).collect();
            Ok(if members.is_empty() { vec![one] } else { members })
        });
        rows.unwrap().flat_map(Result::unwrap).collect()
    }

    fn holding(&self) -> BTreeSet<(String, String)> {
        let rows = self.world.reader().conditions().unwrap();
        // Recipients are masked in messages.
        let shown = |subject: String| match subject.split_once(" to ") {
            Some((channel, to)) => format!("{channel} to {}", masked(to)),
            None => subject,
        };
        rows.into_iter().map(|row| (row.kind, shown(row.subject))).collect()
    }
}

fn name(text: &str) -> ChannelName {
    ChannelName::parse(text).unwrap()
}

/// The tag of some avatars, which one channel asks for.
fn tag() -> Tag {
    Tag::parse("vip").unwrap()
}

fn note(plan: &SimPlan, per_second: u32) -> PlanNote {
    let avatars = plan.avatars.iter().map(|(id, registration)| {
        let channels = registration.channels.as_ref();
        let channels = channels.map(|names| names.iter().map(ChannelName::to_string).collect());
        let is_tagged = registration.tags.contains(&tag());
        (id.clone(), (registration.assume.clone(), channels, is_tagged))
    });
    let channels = plan.channels.iter().map(|(name, channel)| {
        let events = channel.events.iter().map(|kind| kind.name()).collect();
        let recipients = channel.notifier.recipients.clone();
        let for_tagged = channel.only.tags.contains(&tag());
        (name.to_string(), ChannelNote { events, for_tagged, recipients })
    });
    PlanNote {
        infer_unseen_training: plan.infer_unseen_training,
        max_concurrency: plan.accounts[&AccountName::default()].max_concurrency,
        max_requests_per_second: usize::try_from(per_second).unwrap(),
        avatars: avatars.collect(),
        channels: channels.collect(),
    }
}

const AVATARS: [&str; 7] = ["ann", "bob", "cleo", "dan", "eve", "fay", "gus"];
/// The channel that gets only conditions.
pub(super) const OPERATOR: &str = "watch";
/// The operator's channel, as a condition is about it.
pub(super) const OPERATOR_SUBJECT: &str = "channel watch";
/// The one condition that may hold when everything behaves.
const OVERDUE: &str = "avatar.training_overdue";
const UNRECOGNIZED: &str = "avatar.status_unrecognized";
const FAILING: &str = "channel.failing";
const OVERDUE_AFTER: Duration = seconds(2 * 3600);
const CHANNELS: [&str; 4] = ["all", "bad-news", "mail", "ops"];
const RETRIES_S: [u64; 5] = [0, 5, 300, 1800, 7200];
const STEPS: usize = 60;
/// Twice the longest wait of the schedule, jitter included.
const CALM_HOURS: f64 = 2.0 * 2.4;
