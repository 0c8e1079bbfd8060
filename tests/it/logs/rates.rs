//! The log of a failure that lasts for a day: its beginning, reminders, its end; and every
//! transition.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use avatar_watch::daemon::ports::AvatarSource;
use avatar_watch::domain::avatar::AvatarId;
use avatar_watch::domain::avatar::status::Status;
use avatar_watch::domain::delivery::OutcomeClass;
use avatar_watch::domain::polling::interval::SettledIntervals;
use avatar_watch::domain::polling::list_observation::ListObservation;
use avatar_watch::domain::polling::observation::{Observation, PollError};
use avatar_watch::domain::time::timestamp::Timestamp;
use avatar_watch::store::reader::DeliveryFilter;
use avatar_watch::telemetry::init::{LogFormat, init_with_writer};
use serde_json::Value;
use tracing::subscriber::DefaultGuard;

use crate::harness::fake_notifier::{Answer, FakeNotifier, Gallery, outcome};
use crate::harness::plans::{id, plan, seconds, seen, with_avatar, with_channel};
use crate::harness::world::World;

/// The log of this thread, until dropped.
struct Log {
    written: Arc<Mutex<String>>,
    _guard: DefaultGuard,
}

impl Log {
    fn begin() -> Self {
        let written = Arc::new(Mutex::new(String::new()));
        let into = Arc::clone(&written);
        let log = init_with_writer("info", LogFormat::Json, move |line| {
            into.lock().unwrap().push_str(line);
        });
        Self { written, _guard: tracing::subscriber::set_default(log) }
    }

    /// Lines with a message that contains `words`.
    fn lines(&self, words: &str) -> Vec<Value> {
        let written = self.written.lock().unwrap();
        let lines = written.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line["message"].as_str().unwrap().contains(words)).collect()
    }
}

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

#[tokio::test]
async fn a_receiver_outage_of_a_day_logs_few_failures_and_all_deliveries() {
    let log = Log::begin();
    let mut world: World<Gallery, FakeNotifier> = World::new(1);
    let gallery = Arc::new(Gallery::default());
    let up = Arc::new(AtomicBool::new(false));
    let answers = Arc::clone(&up);
    let post = FakeNotifier::scripted(&world.clock, move |_, _| {
        let up = answers.load(Ordering::Relaxed);
        let class = if up { OutcomeClass::Delivered } else { OutcomeClass::Retryable };
        Answer::Now(outcome(class))
    });
    let mut plan = plan(Arc::clone(&gallery));
    plan.intervals.settled = SettledIntervals::always(Some(seconds(60)));
    let names = ["a", "b", "c", "d"];
    let plan = names.iter().fold(plan, |plan, it| with_avatar(plan, it, Some(Status::Training)));
    world.start(with_channel(plan, "ops", &post)).await;
    for number in 0..DAY / 300 {
        let status = if (number / 12) % 2 == 0 { Status::Idle } else { Status::Refused };
        names.iter().for_each(|it| gallery.show(&id(it), status.clone()));
        world.pass(seconds(300)).await;
    }
    let attempts = post.calls().len();
    let refused = log.lines("delivery to channel `ops` failed");
    assert!(attempts > 4 * refused.len(), "{attempts} attempts");
    assert_eq!(refused.len(), 5, "at once, and after 1, 3, 7 and 15 hours: {refused:?}");
    assert_eq!(refused[0]["suppressed"], Value::Null);
    let changes = world.reader().transitions(None, 1000).unwrap().len();
    assert_eq!(log.lines(" -> ").len() + log.lines(": baseline ").len(), changes);

    up.store(true, Ordering::Relaxed);
    world.live(seconds(2 * HOUR)).await;
    let again = log.lines("delivery to channel `ops` recovered after ");
    assert_eq!(again.len(), 1);
    let suppressed =
        |lines: &[Value]| lines.iter().filter_map(|it| it["suppressed"].as_u64()).sum::<u64>();
    let said = u64::try_from(refused.len()).unwrap() + suppressed(&refused) + suppressed(&again);
    assert_eq!(said, u64::try_from(attempts).unwrap(), "every attempt was logged or counted");
    let rows = world.reader().deliveries(&DeliveryFilter::default()).unwrap();
    let ended = |state: &str| rows.iter().filter(|row| row.state == state).count();
    assert!(ended("delivered") > 10, "{rows:?}");
    assert_eq!(log.lines("delivered \"").len(), ended("delivered"));
    assert_eq!(log.lines("delivery to channel `ops` moved to dead letters").len(), ended("dead"));
}

/// An API that is up or down.
#[derive(Default)]
struct Outage {
    down: AtomicBool,
    idle: AtomicBool,
}

impl AvatarSource for Outage {
    async fn poll(&self, id: &AvatarId, _now: Timestamp) -> Observation {
        if self.down.load(Ordering::Relaxed) {
            let reason = "no response".to_owned();
            return Observation::Failed { fault: PollError::Unreachable, reason };
        }
        let idle = self.idle.load(Ordering::Relaxed);
        seen(id, if idle { &Status::Idle } else { &Status::Training })
    }

    async fn list(&self, now: Timestamp) -> ListObservation {
        ListObservation::Failed(self.poll(&id("a"), now).await)
    }
}

#[tokio::test]
async fn an_api_outage_of_a_day_logs_few_failures_and_all_transitions() {
    let log = Log::begin();
    let mut world: World<Outage, FakeNotifier> = World::new(1);
    let api = Arc::new(Outage::default());
    let plan = plan(Arc::clone(&api));
    let names: Vec<String> = (0..AVATARS).map(|number| format!("a{number}")).collect();
    let plan = names.iter().fold(plan, |plan, it| with_avatar(plan, it, None));
    world.start(plan).await;
    world.quiet().await;
    world.live(seconds(5)).await;
    assert_eq!(log.lines(": baseline ").len(), AVATARS);
    api.down.store(true, Ordering::Relaxed);
    for _ in 0..DAY / 300 {
        world.pass(seconds(300)).await;
    }
    assert_eq!(log.lines("polling avatar ").len(), 1, "the first one alone");
    let lost = log.lines("polling avatars of account `argil` fails");
    assert!((2..=6).contains(&lost.len()), "at once, and 1, 3, 7, 15 hours on: {lost:?}");
    assert!(lost[1]["message"].as_str().unwrap().contains("(200 so far)"), "{}", lost[1]);
    assert_eq!(log.lines("account.unavailable firing").len(), 1);
    api.idle.store(true, Ordering::Relaxed);
    api.down.store(false, Ordering::Relaxed);
    for _ in 0..4 {
        world.pass(seconds(300)).await;
    }
    let back = log.lines("polling all avatars of account `argil` recovered after ");
    assert_eq!(back.len(), 1, "{back:?}");
    assert!(back[0]["suppressed"].as_u64() > Some(1000), "{}", back[0]);
    assert_eq!(log.lines("recovered after ").len(), 2, "the first one, and the account");
    assert_eq!(log.lines("account.unavailable resolved").len(), 1);
    assert_eq!(log.lines("TRAINING -> IDLE").len(), AVATARS);
    let all = log.lines("").len();
    assert!(all < AVATARS * 2 + 30, "a baseline and a transition of each, and little more: {all}");
}

const AVATARS: usize = 200;
