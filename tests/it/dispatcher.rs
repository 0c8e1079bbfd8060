//! The dispatcher with a manual clock on a real store: schedule, order, dead letters.

mod admin;
mod alerts;
mod channel_health;
mod recipients;
mod interruptions;
mod outcomes;

use std::sync::Arc;
use std::time::Duration;

use avatar_watch::daemon::config::runtime_config::RuntimeConfig;
use avatar_watch::domain::avatar::status::Status;
use avatar_watch::domain::delivery::channel_name::ChannelName;
use avatar_watch::domain::delivery::retry_policy::RetrySchedule;
use avatar_watch::domain::delivery::{Outcome, OutcomeClass};
use avatar_watch::domain::polling::interval::SettledIntervals;
use avatar_watch::domain::random::RandomBits;
use avatar_watch::domain::time::monotonic::Monotonic;
use avatar_watch::store::admin::deliveries::{AdminResult, DeliveryAdmin, RetryAs};
use avatar_watch::store::reader::{ChannelRow, DeliveryFilter, DeliveryRow};

use crate::harness::fake_notifier::{Answer, Call, FakeNotifier, Gallery, outcome};
use crate::harness::plans::{id, operator, plan, seconds, with_avatar, with_channel};
use crate::harness::world::World;

const AVATARS: [&str; 3] = ["a", "b", "c"];
const SETTLED: [Status; 2] = [Status::Idle, Status::Refused];

/// The loops, a gallery of avatars that are polled every minute, and scripted channels.
struct Bench {
    world: World<Gallery, FakeNotifier>,
    gallery: Arc<Gallery>,
}

impl Bench {
    fn new() -> Self {
        Self { world: World::new(1), gallery: Arc::new(Gallery::default()) }
    }

    /// A channel that answers as `script` says for the number of the call.
    fn post(&self, script: impl Fn(usize) -> Answer + Send + 'static) -> Arc<FakeNotifier> {
        FakeNotifier::scripted(&self.world.clock, move |number, _| script(number))
    }

    /// Starts the daemon with the scripted channel `ops`.
    async fn serving(
        script: impl Fn(usize) -> Answer + Send + 'static,
    ) -> (Self, Arc<FakeNotifier>) {
        let mut bench = Self::new();
        let post = bench.post(script);
        bench.start(&[("ops", &post)]).await;
        (bench, post)
    }

    /// The same, after `a` has settled once.
    async fn sending(
        script: impl Fn(usize) -> Answer + Send + 'static,
    ) -> (Self, Arc<FakeNotifier>) {
        let (bench, post) = Self::serving(script).await;
        bench.settle("a", 1).await;
        (bench, post)
    }

    /// A plan with these channels and avatars `a`, `b` and `c`, which were in training when they
    /// were registered.
    fn plan(
        &self,
        channels: &[(&str, &Arc<FakeNotifier>)],
    ) -> RuntimeConfig<Gallery, FakeNotifier> {
        let mut plan = plan(Arc::clone(&self.gallery));
        plan.intervals.settled = SettledIntervals::always(Some(seconds(60)));
        plan.intervals.missing = seconds(60);
        let plan = AVATARS
            .iter()
            .fold(plan, |plan, avatar| with_avatar(plan, avatar, Some(Status::Training)));
        channels.iter().fold(plan, |plan, (name, post)| with_channel(plan, name, post))
    }

    /// Starts the daemon with these channels.
    async fn start(&mut self, channels: &[(&str, &Arc<FakeNotifier>)]) {
        self.world.start(self.plan(channels)).await;
        self.world.quiet().await;
    }

    /// The avatar settles again, so many times, and each change is observed.
    async fn settle(&self, avatar: &str, times: usize) {
        for number in 0..times {
            self.gallery.show(&id(avatar), SETTLED[number % 2].clone());
            self.world.pass(seconds(60)).await;
        }
    }

    fn show_all(&self, status: &Status) {
        AVATARS.iter().for_each(|avatar| self.gallery.show(&id(avatar), status.clone()));
    }

    /// Goes on, from try to try, until nothing more is to be tried.
    async fn run_dry(&self) {
        loop {
            // What is due and still pending waits behind another one of its line.
            let now = self.world.clock.wall();
            let due = self.rows().into_iter().filter_map(|row| row.next_attempt_at);
            let Some(next) = due.filter(|due_at| *due_at > now).min() else { return };
            self.world.pass(next.since(now)).await;
        }
    }

    /// Advances the clock by so much, from one due time to the next.
    async fn hop(&self, time: Duration) {
        let end = self.world.clock.wall().plus(time);
        // What a hand did is noticed at the next glance.
        self.world.pass(seconds(2).min(time)).await;
        loop {
            let now = self.world.clock.wall();
            let due = self.rows().into_iter().filter_map(|row| row.next_attempt_at);
            let channels = self.world.reader().channels().unwrap();
            let ready = channels.iter().filter_map(|channel| channel.health.ready_at());
            let next = due.chain(ready).filter(|at| *at > now && *at < end).min();
            self.world.pass(next.unwrap_or(end).since(now)).await;
            if next.is_none() {
                return;
            }
        }
    }

    fn rows(&self) -> Vec<DeliveryRow> {
        self.world.reader().deliveries(&DeliveryFilter::default()).unwrap()
    }

    fn states(&self) -> Vec<String> {
        self.rows().into_iter().map(|row| row.state).collect()
    }

    /// Every attempt row matches one call, and the other way round.
    fn check_attempts(&self, posts: &[&Arc<FakeNotifier>]) {
        let calls: Vec<Call> = posts.iter().flat_map(|post| post.calls()).collect();
        let mut attempts = 0;
        for row in self.rows() {
            let own: Vec<&Call> = calls.iter().filter(|call| call.delivery_id == row.id).collect();
            let rows = self.world.reader().attempts(&row.id).unwrap();
            assert_eq!(rows.len(), own.len(), "{row:?}");
            let body = self.world.reader().message(&row.id).unwrap().unwrap().1;
            assert!(own.iter().all(|call| call.event_id == row.event_id && call.body == body));
            attempts += rows.len();
        }
        assert_eq!(attempts, calls.len(), "a call without a row");
    }
}

/// A scripted channel `ops`, and an operator channel `watch` that gets only conditions.
struct Watched {
    bench: Bench,
    ops: Arc<FakeNotifier>,
    watch: Arc<FakeNotifier>,
}

impl Watched {
    async fn new(script: impl Fn(usize) -> Answer + Send + 'static) -> Self {
        let bench = Bench::new();
        let ops = bench.post(script);
        Self::start(bench, ops).await
    }

    async fn start(bench: Bench, ops: Arc<FakeNotifier>) -> Self {
        let watch = FakeNotifier::taking(&bench.world.clock);
        let mut watched = Self { bench, ops, watch };
        watched.bench.show_all(&Status::Training);
        let plan = watched.plan();
        watched.bench.world.start(plan).await;
        watched.bench.world.quiet().await;
        watched
    }

    fn plan(&self) -> RuntimeConfig<Gallery, FakeNotifier> {
        let plan = self.bench.plan(&[("ops", &self.ops), ("watch", &self.watch)]);
        let mut plan = operator(plan, "watch");
        plan.channels.get_mut(&name("watch")).unwrap().events.clear();
        plan
    }

    /// The row of `ops`.
    fn channel(&self) -> ChannelRow {
        let mut channels = self.bench.world.reader().channels().unwrap().into_iter();
        channels.find(|channel| channel.name == name("ops")).unwrap()
    }
}

fn name(name: &str) -> ChannelName {
    ChannelName::parse(name).unwrap()
}

/// The waits between the calls.
fn waits(calls: &[Call]) -> Vec<Duration> {
    calls.windows(2).map(|pair| pair[1].at.since(pair[0].at)).collect()
}

fn now(class: OutcomeClass) -> Answer {
    class.into()
}

/// Answers so many calls like this, and takes all others.
fn first(times: usize, answer: impl Into<Answer>) -> impl Fn(usize) -> Answer + Send + 'static {
    let answer = answer.into();
    move |number| if number <= times { answer.clone() } else { now(OutcomeClass::Delivered) }
}

fn slowly(time: Duration) -> Answer {
    Answer::After(time, outcome(OutcomeClass::Delivered))
}

fn throttled(wait: Duration) -> Answer {
    Answer::Now(Outcome { retry_after: Some(wait), ..outcome(OutcomeClass::Throttled) })
}

#[tokio::test]
async fn a_dead_receiver_gets_ten_attempts_in_three_days_then_a_dead_letter() {
    let (bench, post) = Bench::sending(|_| now(OutcomeClass::Retryable)).await;
    bench.run_dry().await;
    let calls = post.calls();
    assert_eq!(calls.len(), 10);
    let planned = RetrySchedule::webhook();
    for (wait, planned) in waits(&calls).into_iter().zip(&planned.delays()[1..]) {
        let (least, most) = (planned.mul_f64(0.8), planned.mul_f64(1.2) + seconds(1));
        assert!((least..=most).contains(&wait), "{wait:?} instead of about {planned:?}");
    }
    let hours = calls[9].at.since(calls[0].at).as_secs() / 3600;
    assert!((60..=92).contains(&hours), "{hours} h");
    assert_eq!(bench.states(), ["dead"]);
    bench.check_attempts(&[&post]);
    bench.world.pass(seconds(7 * 24 * 3600)).await;
    assert_eq!(post.calls().len(), 10, "a dead letter rests");
}

#[tokio::test]
async fn an_event_is_sent_at_once_and_once_to_every_channel() {
    let mut bench = Bench::new();
    let (ops, mail) =
        (FakeNotifier::taking(&bench.world.clock), FakeNotifier::taking(&bench.world.clock));
    bench.start(&[("ops", &ops), ("mail", &mail)]).await;
    bench.settle("a", 1).await;
    for post in [&ops, &mail] {
        let calls = post.calls();
        assert_eq!(calls.len(), 1);
        assert_eq!(calls[0].at, bench.world.clock.reading(), "at the time of the poll");
    }
    assert_eq!(ops.calls()[0].event_id, mail.calls()[0].event_id);
    bench.check_attempts(&[&ops, &mail]);
}

#[tokio::test]
async fn events_of_one_avatar_keep_their_order_and_others_go_on() {
    let mut bench = Bench::new();
    let a_refused = FakeNotifier::scripted(&bench.world.clock, |number, message| {
        let about_a = String::from_utf8_lossy(&message.body).contains(r#""id":"a""#);
        now(if about_a && number < 12 { OutcomeClass::Retryable } else { OutcomeClass::Delivered })
    });
    bench.start(&[("ops", &a_refused)]).await;
    bench.settle("a", 3).await;
    bench.settle("b", 3).await;
    let delivered = |bench: &Bench, avatar: &str| {
        let rows = bench.rows().into_iter();
        rows.filter(|row| row.ordering_key.as_str() == avatar && row.state == "delivered").count()
    };
    assert_eq!((delivered(&bench, "a"), delivered(&bench, "b")), (0, 3));
    bench.run_dry().await;
    assert_eq!((delivered(&bench, "a"), delivered(&bench, "b")), (3, 3));
    for avatar in ["a", "b"] {
        let rows: Vec<_> =
            bench.rows().into_iter().filter(|r| r.ordering_key.as_str() == avatar).collect();
        let place = |call: &Call| rows.iter().position(|row| row.id == call.delivery_id);
        let places: Vec<_> = a_refused.calls().iter().filter_map(place).collect();
        assert!(places.is_sorted(), "{avatar}: {places:?}");
    }
    bench.check_attempts(&[&a_refused]);
}

#[tokio::test]
async fn a_dead_letter_unblocks_its_queue() {
    let (bench, _) = Bench::serving(first(1, OutcomeClass::Rejected)).await;
    bench.settle("a", 2).await;
    assert_eq!(bench.states(), ["dead", "delivered"]);
}

#[tokio::test]
async fn one_dead_channel_delays_no_other() {
    let mut bench = Bench::new();
    let (dead, mute) = (
        bench.post(|_| now(OutcomeClass::Retryable)),
        bench.post(|_| Answer::After(seconds(3600), outcome(OutcomeClass::Retryable))),
    );
    let well = FakeNotifier::taking(&bench.world.clock);
    bench.start(&[("dead", &dead), ("mute", &mute), ("well", &well)]).await;
    for round in 1..=5 {
        for avatar in AVATARS {
            bench.settle(avatar, round).await;
            assert_eq!(well.calls().last().unwrap().at, bench.world.clock.reading());
        }
    }
    assert_eq!(mute.calls().len(), 3, "one attempt of a queue at a time");
    let sent = bench.rows().iter().filter(|row| row.channel.as_str() == "well").count();
    assert_eq!(well.calls().len(), sent);
}

#[tokio::test]
async fn attempts_in_flight_stay_within_the_limit_of_the_channel() {
    let mut bench = Bench::new();
    let slow = bench.post(|_| slowly(seconds(10)));
    let names: Vec<String> = (0..20).map(|number| format!("z{number}")).collect();
    let mut plan = bench.plan(&[("ops", &slow)]);
    for name in &names {
        bench.gallery.show(&id(name), Status::Idle);
        plan = with_avatar(plan, name, Some(Status::Training));
    }
    bench.world.start(plan).await;
    for in_flight in [8, 16, 20] {
        bench.world.quiet().await;
        assert_eq!(slow.calls().len(), in_flight);
        bench.world.clock.advance(seconds(10));
    }
    bench.world.quiet().await;
    assert!(bench.states().iter().all(|state| state == "delivered"));
}

#[tokio::test]
async fn a_requested_delay_is_kept_and_costs_no_attempt() {
    let (bench, post) = Bench::sending(first(12, throttled(seconds(2 * 3600)))).await;
    bench.run_dry().await;
    let calls = post.calls();
    assert_eq!(calls.len(), 13, "more attempts than the schedule has");
    assert!(waits(&calls).iter().all(|wait| *wait >= seconds(2 * 3600)), "{:?}", waits(&calls));
    assert_eq!(bench.states(), ["delivered"]);
}
