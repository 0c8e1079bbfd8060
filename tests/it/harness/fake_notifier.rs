//! A scripted notifier, and a source with configurable avatars: for tests
//! that need no sockets. Both note every call.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use avatar_watch::daemon::ports::{AvatarSource, Clock as _, Notifier};
use avatar_watch::domain::avatar::status::Status;
use avatar_watch::domain::avatar::{Avatar, AvatarId};
use avatar_watch::domain::delivery::{DeliveryId, Outcome, OutcomeClass};
use avatar_watch::domain::event::Event;
use avatar_watch::domain::id::EventId;
use avatar_watch::domain::polling::list_observation::ListObservation;
use avatar_watch::domain::polling::observation::Observation;
use avatar_watch::domain::random::RandomBits;
use avatar_watch::domain::time::monotonic::Monotonic;
use avatar_watch::domain::time::timestamp::Timestamp;
use avatar_watch::notify::format::standard;
use avatar_watch::notify::message::{OutboundMessage, RenderedMessage};

use crate::harness::clock::ManualClock;
use crate::harness::plans::seen;

/// The notifier of one channel.
pub(crate) struct FakeNotifier {
    clock: ManualClock,
    recipients: Vec<String>,
    script: Mutex<Script>,
    calls: Mutex<Vec<Call>>,
}

type Script = Box<dyn Fn(usize, &OutboundMessage) -> Answer + Send>;

/// One call of `deliver`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) at: Monotonic,
    pub(crate) delivery_id: DeliveryId,
    pub(crate) event_id: EventId,
    pub(crate) body: Vec<u8>,
}

impl Call {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// What a call comes to.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// This, at once.
    Now(Outcome),
    /// This, after so much time on the clock.
    After(Duration, Outcome),
    /// A bug in the sending.
    Panic,
    /// A bug before the sending, which no notifier can have.
    Break,
}

impl From<OutcomeClass> for Answer {
    fn from(class: OutcomeClass) -> Self {
        Self::Now(outcome(class))
    }
}

impl FakeNotifier {
    /// Responds as `script` says for the number of the call, from one, and its message.
    pub(crate) fn scripted(
        clock: &ManualClock,
        script: impl Fn(usize, &OutboundMessage) -> Answer + Send + 'static,
    ) -> Arc<Self> {
        Self::writing_to(&[""], clock, script)
    }

    /// The same, with a message for each of these recipients.
    pub(crate) fn writing_to(
        recipients: &[&str],
        clock: &ManualClock,
        script: impl Fn(usize, &OutboundMessage) -> Answer + Send + 'static,
    ) -> Arc<Self> {
        let script = Mutex::new(Box::new(script) as Script);
        let recipients = recipients.iter().map(|to| (*to).to_owned()).collect();
        Arc::new(Self { clock: clock.clone(), recipients, script, calls: Mutex::default() })
    }

    /// Takes everything.
    pub(crate) fn taking(clock: &ManualClock) -> Arc<Self> {
        Self::scripted(clock, |_, _| Answer::Now(outcome(OutcomeClass::Delivered)))
    }

    /// The events of every call, oldest first: `type state subject cause`, as far as it has these;
    /// of a group, one for each avatar.
    pub(crate) fn notified(&self) -> Vec<String> {
        let lines = |call: Call| {
            let body = call.json();
            let text = |pointer: &str| body.pointer(pointer)?.as_str().map(str::to_owned);
            let subject = text("/data/avatar/id").or_else(|| text("/data/account"));
            let line = |subject: Option<String>| {
                let channel = [text("/data/channel"), text("/data/recipient")];
                let parts = [text("/type"), text("/data/state"), subject, text("/data/cause")];
                parts.into_iter().chain(channel).flatten().collect::<Vec<_>>().join(" ")
            };
            match body.pointer("/data/avatars").and_then(|avatars| avatars.as_array()) {
                Some(group) => {
                    let ids = group.iter().map(|avatar| avatar["id"].as_str().map(str::to_owned));
                    ids.map(line).collect()
                }
                None => vec![line(subject)],
            }
        };
        self.calls().into_iter().flat_map(lines).collect()
    }

    /// Every call so far, oldest first.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }
}

impl Notifier for FakeNotifier {
    fn render(&self, event: &Event, now: Timestamp, roll: RandomBits) -> Vec<RenderedMessage> {
        let draft = |(salt, recipient): (u64, &String)| RenderedMessage {
            id: DeliveryId::mint(now, roll.derive(salt)),
            recipient: recipient.clone(),
            content_type: standard::CONTENT_TYPE.to_owned(),
            body: standard::render(event),
            fallback: None,
        };
        (0..).zip(&self.recipients).map(draft).collect()
    }

    fn deliver(
        &self,
        message: &OutboundMessage,
        _now: Timestamp,
    ) -> impl Future<Output = Outcome> + Send {
        let number = {
            let mut calls = self.calls.lock().unwrap();
            calls.push(Call {
                at: self.clock.reading(),
                delivery_id: message.delivery_id.clone(),
                event_id: message.event_id.clone(),
                body: message.body.clone(),
            });
            calls.len()
        };
        let answer = (self.script.lock().unwrap())(number, message);
        assert!(
            !matches!(answer, Answer::Break),
            "a bug around the sending, as the test asked for"
        );
        async move {
            match answer {
                Answer::Now(outcome) => outcome,
                Answer::After(time, outcome) => {
                    self.clock.sleep_until(self.clock.monotonic().plus(time)).await;
                    outcome
                }
                Answer::Panic | Answer::Break => {
                    panic!("a notifier with a bug, as the test asked for")
                }
            }
        }
    }
}

/// An outcome of that class.
pub(crate) fn outcome(class: OutcomeClass) -> Outcome {
    Outcome::new(class, "test")
}

/// A source with configurable avatars; others are missing.
#[derive(Default)]
pub(crate) struct Gallery {
    state: Mutex<Shown>,
}

#[derive(Default)]
struct Shown {
    statuses: HashMap<AvatarId, Status>,
    polls: HashMap<AvatarId, usize>,
    panics: HashMap<AvatarId, usize>,
}

impl Gallery {
    /// From now on the avatar has this status.
    pub(crate) fn show(&self, id: &AvatarId, status: Status) {
        self.state().statuses.insert(id.clone(), status);
    }

    /// The next polls of the avatar meet a bug.
    pub(crate) fn break_at(&self, id: &AvatarId, times: usize) {
        self.state().panics.insert(id.clone(), times);
    }

    /// The number of polls of the avatar.
    pub(crate) fn polls(&self, id: &AvatarId) -> usize {
        self.state().polls.get(id).copied().unwrap_or(0)
    }

    fn state(&self) -> MutexGuard<'_, Shown> {
        self.state.lock().unwrap()
    }
}

impl AvatarSource for Gallery {
    async fn list(&self, _now: Timestamp) -> ListObservation {
        let state = self.state();
        let avatars =
            state.statuses.iter().map(|(id, status)| Avatar::new(id.clone(), status.clone()));
        ListObservation::Listed {
            avatars: avatars.collect(),
            unreadable_ids: Vec::new(),
            unreadable: 0,
            page: None,
        }
    }

    async fn poll(&self, id: &AvatarId, _now: Timestamp) -> Observation {
        let mut state = self.state();
        *state.polls.entry(id.clone()).or_default() += 1;
        let broken = state.panics.get_mut(id).filter(|times| **times > 0).map(|times| *times -= 1);
        let status = state.statuses.get(id).cloned();
        drop(state);
        assert!(broken.is_none(), "a source with a bug, as the test asked for");
        match status {
            Some(status) => seen(id, &status),
            None => Observation::Missing { reason: "never shown".to_owned() },
        }
    }
}
