//! The simulated outside: avatars with lives of their own, an API and receivers with moods.
//! It records everything that it showed and received, for the oracle.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use avatar_watch::daemon::ports::{AvatarSource, Clock as _, Notifier};
use avatar_watch::domain::avatar::AvatarId;
use avatar_watch::domain::avatar::status::Status;
use avatar_watch::domain::delivery::{DeliveryId, Outcome, OutcomeClass};
use avatar_watch::domain::event::{Event, Subject};
use avatar_watch::domain::polling::list_observation::ListObservation;
use avatar_watch::domain::polling::observation::{Denial, Observation, PollError};
use avatar_watch::domain::random::RandomBits;
use avatar_watch::domain::time::monotonic::Monotonic;
use avatar_watch::domain::time::timestamp::Timestamp;
use avatar_watch::notify::message::{OutboundMessage, RenderedMessage};
use serde_json::json;
use tokio::task::yield_now;

use crate::harness::clock::ManualClock;
use crate::harness::fake_notifier::outcome;
use crate::harness::plans::{id, seconds, seen};
use crate::simulation::history::{Call, Poll, Shown};
use crate::simulation::random::Dice;

/// The outside; clones are the same.
#[derive(Clone)]
pub(super) struct Nature {
    clock: ManualClock,
    state: Arc<Mutex<State>>,
}

struct State {
    dice: Dice,
    calm: bool,
    api: Mood,
    receivers: BTreeMap<String, Mood>,
    lives: BTreeMap<AvatarId, Life>,
    boot: usize,
    plan: usize,
    jumps: usize,
    polls: Vec<Poll>,
    calls: Vec<Call>,
}

/// How likely the outside is to behave.
#[derive(Clone, Copy, Debug)]
enum Mood {
    Well,
    Mixed,
    Ill,
}

/// The life of an avatar, independent of polls.
struct Life {
    dice: Dice,
    status: Status,
    changes_at: Monotonic,
}

impl Nature {
    pub(super) fn new(clock: &ManualClock, seed: u64, avatars: &[&str]) -> Self {
        let lives = (100u64..).zip(avatars).map(|(purpose, avatar)| {
            let mut dice = Dice::new(seed, purpose);
            let status = dice.pick(&[Status::NotTrained, Status::Training, Status::Idle]);
            (id(avatar), Life { dice, status, changes_at: clock.reading() })
        });
        let state = State {
            dice: Dice::new(seed, 2),
            calm: false,
            api: Mood::Mixed,
            receivers: BTreeMap::new(),
            lives: lives.collect(),
            boot: 0,
            plan: 0,
            jumps: 0,
            polls: Vec::new(),
            calls: Vec::new(),
        };
        Self { clock: clock.clone(), state: Arc::new(Mutex::new(state)) }
    }

    /// Another process begins.
    pub(super) fn boot(&self) {
        self.state().boot += 1;
    }

    /// From now on this config is, or will soon be, active.
    pub(super) fn follow(&self, plan: usize) {
        self.state().plan = plan;
    }

    /// The wall was set.
    pub(super) fn jump(&self) {
        self.state().jumps += 1;
    }

    /// The daemon has done everything that it could do: what was answered must be recorded.
    pub(super) fn outlived(&self) {
        let State { boot, polls, calls, .. } = &mut *self.state();
        for poll in polls.iter_mut().rev().take_while(|poll| poll.boot == *boot) {
            poll.outlived = poll.shown.is_some() && !poll.disowned;
        }
        for call in calls.iter_mut().rev().take_while(|call| call.boot == *boot) {
            call.outlived = call.answered.is_some();
        }
    }

    /// Some moods change.
    pub(super) fn change_weather(&self, channels: &[&str]) {
        let mut state = self.state();
        let moods = [Mood::Well, Mood::Mixed, Mood::Mixed, Mood::Ill];
        state.api = state.dice.pick(&moods);
        for channel in channels {
            let mood = state.dice.pick(&moods);
            state.receivers.insert((*channel).to_owned(), mood);
        }
    }

    /// From now on everything behaves, and no avatar changes any more.
    pub(super) fn calm_down(&self) {
        let mut state = self.state();
        let now = self.clock.reading();
        state.lives.values_mut().for_each(|life| life.live_until(now));
        state.calm = true;
    }

    /// What each avatar is now.
    pub(super) fn statuses(&self) -> BTreeMap<AvatarId, Status> {
        let state = self.state();
        state.lives.iter().map(|(id, life)| (id.clone(), life.status.clone())).collect()
    }

    /// Everything that was shown and received.
    pub(super) fn notes(&self) -> (Vec<Poll>, Vec<Call>) {
        let state = self.state();
        (state.polls.clone(), state.calls.clone())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// What happens on the wire: nothing, some turns of the scheduler, or some time.
    async fn dawdle(&self) {
        let (turns, time) = {
            let mut state = self.state();
            match state.dice.below(10) {
                0..=4 => (0, None),
                5..=7 => (state.dice.below(4), None),
                _ => {
                    let time = state.dice.wait(Duration::from_millis(20), seconds(12));
                    (1, Some(time).filter(|_| !state.calm))
                }
            }
        };
        for _ in 0..turns {
            yield_now().await;
        }
        if let Some(time) = time {
            self.clock.sleep_until(self.clock.monotonic().plus(time)).await;
        }
    }
}

impl Life {
    fn live_until(&mut self, now: Monotonic) {
        while self.changes_at <= now {
            let odd = Status::Unrecognized("HIBERNATING".to_owned());
            let odder = Status::Unrecognized("\u{1f636} \"quoted\"".to_owned());
            let almost = Status::Unrecognized("TRAINING FAILED".to_owned());
            let (idle, failed, refused) = (Status::Idle, Status::TrainingFailed, Status::Refused);
            let next = match self.status {
                Status::NotTrained => vec![Status::Training, Status::Training, idle, odd],
                Status::Training => vec![idle, failed, refused, odder, almost, Status::NotTrained],
                Status::Idle | Status::Refused | Status::TrainingFailed => {
                    vec![Status::Training, Status::Training, idle, failed, odd]
                }
                Status::Unrecognized(_) => {
                    vec![Status::Training, idle, refused, odd, almost, Status::NotTrained]
                }
            };
            self.status = self.dice.pick(&next);
            self.changes_at = self.changes_at.plus(self.dice.wait(seconds(5), seconds(8 * 3600)));
        }
    }
}

/// The API, as one plan asks it.
pub(super) struct SimSource {
    pub(super) nature: Nature,
    pub(super) plan: usize,
}

impl AvatarSource for SimSource {
    async fn list(&self, _now: Timestamp) -> ListObservation {
        unreachable!("no plan of the simulation lists")
    }

    async fn poll(&self, id: &AvatarId, _now: Timestamp) -> Observation {
        let nature = &self.nature;
        let number = {
            let mut state = nature.state();
            let in_flight =
                state.polls.iter().filter(|poll| poll.boot == state.boot && poll.in_flight);
            let others: Vec<AvatarId> = in_flight.map(|poll| poll.avatar.clone()).collect();
            let (boot, begun_at) = (state.boot, nature.clock.reading());
            state.polls.push(Poll {
                avatar: id.clone(),
                boot,
                plan: self.plan,
                begun_at,
                others,
                in_flight: true,
                ended_at: begun_at,
                wall: Timestamp::from_millis(0),
                shown: None,
                disowned: false,
                outlived: false,
            });
            state.polls.len() - 1
        };
        let _leave = Leave(nature, number);
        nature.dawdle().await;
        let (observation, shown) = observe(&mut nature.state(), id, nature.clock.reading());
        nature.dawdle().await;
        let mut state = nature.state();
        let disowned = state.plan != self.plan;
        let poll = &mut state.polls[number];
        poll.disowned = disowned;
        poll.ended_at = nature.clock.reading();
        poll.wall = nature.clock.wall();
        poll.shown = Some(shown);
        observation
    }
}

/// A poll that was aborted is no longer in flight either.
struct Leave<'a>(&'a Nature, usize);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.state().polls[self.1].in_flight = false;
    }
}

fn observe(state: &mut State, id: &AvatarId, now: Monotonic) -> (Observation, Shown) {
    let reason = || "as the simulation wants it".to_owned();
    let good_percent = if state.calm { 100 } else { state.api.good_percent() };
    if state.dice.chance(good_percent) {
        let calm = state.calm;
        let life = state.lives.get_mut(id).unwrap();
        if !calm {
            life.live_until(now);
        }
        return (seen(id, &life.status), Shown::Status(life.status.clone()));
    }
    match state.dice.below(8) {
        0 | 1 => {
            let asked = state.dice.wait(seconds(1), seconds(1200));
            let retry_after = state.dice.chance(70).then_some(asked);
            (
                Observation::Throttled { retry_after, reason: reason() },
                Shown::Throttled(retry_after.unwrap_or_default()),
            )
        }
        2 => (Observation::Denied { denial: Denial::Key, reason: reason() }, Shown::Nothing),
        3 | 4 => (Observation::Missing { reason: reason() }, Shown::Missing),
        _ => (
            Observation::Failed { fault: PollError::InvalidResponse, reason: reason() },
            Shown::Nothing,
        ),
    }
}

impl Mood {
    fn good_percent(self) -> u64 {
        match self {
            Self::Well => 97,
            Self::Mixed => 70,
            Self::Ill => 10,
        }
    }
}

/// The receivers of one channel.
pub(super) struct SimPost {
    pub(super) nature: Nature,
    pub(super) channel: String,
    pub(super) recipients: Vec<String>,
}

impl Notifier for SimPost {
    /// Never the same bytes twice, so that a message that is rendered again is detected.
    fn render(&self, event: &Event, now: Timestamp, roll: RandomBits) -> Vec<RenderedMessage> {
        let (from, to) = match &event.subject {
            Subject::Transition { transition, .. } => {
                (transition.previous.status().map(Status::name), transition.status.name())
            }
            Subject::Condition(condition) => (None, condition.phase.name()),
            Subject::DeadLetter(_) | Subject::Ping { .. } => (None, ""),
        };
        let draft = |(salt, recipient): (u64, &String)| RenderedMessage {
            id: DeliveryId::mint(now, roll.derive(salt)),
            recipient: recipient.clone(),
            content_type: "application/json".to_owned(),
            body: json!({
                "type": event.kind.name(),
                "about": event.ordering_key().as_str(),
                "from": from,
                "to": to,
                "nonce": self.nature.state().dice.bits().to_string(),
            })
            .to_string()
            .into_bytes(),
            fallback: None,
        };
        (1u64..).zip(&self.recipients).map(draft).collect()
    }

    async fn deliver(&self, message: &OutboundMessage, _now: Timestamp) -> Outcome {
        self.nature.dawdle().await;
        let (number, outcome) = {
            let mut state = self.nature.state();
            let mut outcome = receive(&mut state, &self.channel);
            if !message.recipient.is_empty() {
                // Mail has no `Retry-After`: no channel with recipients returns one.
                outcome.retry_after = None;
            }
            let (boot, jumps) = (state.boot, state.jumps);
            state.calls.push(Call {
                boot,
                jumps,
                outlived: false,
                channel: self.channel.clone(),
                recipient: message.recipient.clone(),
                delivery_id: message.delivery_id.clone(),
                event_id: message.event_id.clone(),
                body: message.body.clone(),
                answered: None,
                at: self.nature.clock.reading(),
                retry_after: outcome.retry_after,
            });
            (state.calls.len() - 1, outcome)
        };
        self.nature.dawdle().await;
        self.nature.state().calls[number].answered = Some(outcome.class);
        outcome
    }
}

fn receive(state: &mut State, channel: &str) -> Outcome {
    let mood = state.receivers.get(channel).copied().unwrap_or(Mood::Mixed);
    let good_percent = if state.calm { 100 } else { mood.good_percent() };
    if state.dice.chance(good_percent) {
        return outcome(OutcomeClass::Delivered);
    }
    match state.dice.below(14) {
        0..=3 => outcome(OutcomeClass::Retryable),
        4..=6 => outcome(OutcomeClass::Ambiguous),
        7 | 8 => {
            let retry_after = Some(state.dice.wait(seconds(1), seconds(3600)));
            Outcome { retry_after, ..outcome(OutcomeClass::Throttled) }
        }
        9 | 10 => outcome(OutcomeClass::Local),
        11 => outcome(OutcomeClass::Gone),
        12 => outcome(OutcomeClass::Misconfigured),
        _ => outcome(OutcomeClass::Rejected),
    }
}
