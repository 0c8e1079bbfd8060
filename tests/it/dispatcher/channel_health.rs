//! How the dispatcher treats a channel that is not well, and what operators hear of it.

use std::collections::BTreeMap;

use avatar_watch::domain::delivery::channel_health::Pause;
use avatar_watch::store::admin::channels::{ChannelAdminResult, ChannelSwitch};

use super::*;

const HOUR: Duration = seconds(3600);
const DAY: Duration = seconds(24 * 3600);

impl Watched {
    /// Switches `ops` beside the daemon.
    pub(super) fn switch(&self, switch: ChannelSwitch) -> ChannelAdminResult {
        let mut admin = DeliveryAdmin::open(&self.bench.world.path()).unwrap();
        admin.switch(&switch, &name("ops"), self.bench.world.clock.wall()).unwrap()
    }

    /// How the deliveries to `ops` stand, by number.
    fn states_of_ops(&self) -> BTreeMap<String, usize> {
        let mut states = BTreeMap::new();
        for row in self.bench.rows().into_iter().filter(|row| row.channel == name("ops")) {
            *states.entry(row.state).or_default() += 1;
        }
        states
    }
}

fn one(state: &str, count: usize) -> BTreeMap<String, usize> {
    BTreeMap::from([(state.to_owned(), count)])
}

#[tokio::test]
async fn a_dead_receiver_is_only_probed_and_catches_up_when_it_recovers() {
    let back_at = Monotonic::default().plus(seconds(6 * 3600));
    let mut bench = Bench::new();
    let clock = bench.world.clock.clone();
    let ops = bench.post(move |_| {
        let well = clock.reading() >= back_at;
        now(if well { OutcomeClass::Delivered } else { OutcomeClass::Retryable })
    });
    bench.show_all(&Status::Training);
    bench.start(&[("ops", &ops)]).await;
    for avatar in AVATARS {
        bench.settle(avatar, 1).await;
    }
    bench.hop(HOUR).await;
    let in_the_first_hour = ops.calls().len();
    assert!(in_the_first_hour < 20, "{in_the_first_hour} attempts in an hour");
    bench.hop(4 * HOUR).await;
    let later = ops.calls().len() - in_the_first_hour;
    assert!((3..=6).contains(&later), "{later} attempts in four hours: about one an hour");
    bench.hop(2 * HOUR).await;
    assert_eq!(bench.states(), ["delivered"; 3]);
    let back: Vec<_> = ops.calls().into_iter().filter(|call| call.at >= back_at).collect();
    assert_eq!(back.len(), 3);
    assert!(back[0].at.since(back_at) < HOUR.mul_f64(1.1), "the probe does not wait for its try");
    assert!(back[2].at.since(back[0].at) < seconds(1), "the others did not wait any longer");
    let oldest = bench.rows()[0].id.clone();
    assert_eq!(back[0].delivery_id, oldest, "the probe is the oldest one");
    bench.check_attempts(&[&ops]);
}

#[tokio::test]
async fn operators_are_notified_once_of_a_failing_channel_and_its_recovery() {
    let it = Watched::new(first(4, OutcomeClass::Retryable)).await;
    it.bench.settle("a", 1).await;
    it.bench.hop(HOUR).await;
    assert_eq!(it.watch.notified(), ["channel.failing firing ops"]);
    assert!(it.channel().health.failing_since.is_some());
    it.bench.hop(3 * HOUR).await;
    assert_eq!(it.watch.notified(), ["channel.failing firing ops", "channel.failing resolved ops"]);
    assert_eq!(it.states_of_ops(), one("delivered", 1));
    it.bench.check_attempts(&[&it.ops, &it.watch]);
}

#[tokio::test]
async fn a_channel_is_not_notified_about_itself() {
    let mut bench = Bench::new();
    let (ops, watch) = (
        bench.post(|_| now(OutcomeClass::Retryable)),
        bench.post(|_| now(OutcomeClass::Retryable)),
    );
    bench.show_all(&Status::Training);
    let plan = bench.plan(&[("ops", &ops), ("watch", &watch)]);
    bench.world.start(operator(operator(plan, "ops"), "watch")).await;
    bench.settle("a", 1).await;
    bench.hop(30 * DAY).await;
    let rows = bench.rows();
    for row in &rows {
        let body = bench.world.reader().message(&row.id).unwrap().unwrap().1;
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_ne!(body["data"]["channel"], row.channel.as_str(), "{row:?}");
    }
    // One piece of news to each, that each of both fails, and the dead letters of the news.
    let kinds: Vec<&str> = rows.iter().map(|row| row.event_type.as_str()).collect();
    let count = |kind| kinds.iter().filter(|it| **it == kind).count();
    assert_eq!(count("avatar.ready"), 2);
    assert_eq!(count("channel.failing"), 2);
    assert!(count("delivery.exhausted") <= 2, "{kinds:?}");
}

#[tokio::test]
async fn a_gone_target_disables_the_channel_and_enabling_sends_what_is_pending() {
    let it = Watched::new(first(1, OutcomeClass::Gone)).await;
    it.bench.settle("a", 1).await;
    it.bench.settle("b", 2).await;
    it.bench.hop(20 * DAY).await;
    assert_eq!(it.ops.calls().len(), 1, "a gone target is not called again");
    assert_eq!(it.states_of_ops(), one("pending", 3), "nothing is dropped, however long it takes");
    assert_eq!(it.watch.notified(), ["channel.disabled firing ops"]);
    assert_eq!(it.switch(ChannelSwitch::Enable), ChannelAdminResult::Done);
    it.bench.hop(seconds(10)).await;
    assert_eq!(it.states_of_ops(), one("delivered", 3));
    let (calls, rows) = (it.ops.calls(), it.bench.rows());
    let rows: Vec<_> = rows.iter().filter(|row| row.channel == name("ops")).collect();
    assert!(calls[1..].iter().map(|call| &call.delivery_id).eq(rows.iter().map(|row| &row.id)));
    assert_eq!(it.watch.notified()[1..], ["channel.disabled resolved ops"]);
    assert_eq!(it.switch(ChannelSwitch::Enable), ChannelAdminResult::Already);
    it.bench.check_attempts(&[&it.ops, &it.watch]);
}

#[tokio::test]
async fn time_while_disabled_does_not_count_towards_expiry() {
    let it = Watched::new(|number| match number {
        1 => now(OutcomeClass::Gone),
        2 | 3 => now(OutcomeClass::Retryable),
        _ => now(OutcomeClass::Delivered),
    })
    .await;
    it.bench.settle("a", 1).await;
    it.bench.hop(100 * DAY).await;
    it.switch(ChannelSwitch::Enable);
    it.bench.hop(HOUR).await;
    assert_eq!(it.states_of_ops(), one("delivered", 1), "two refusals are no reason to expire");
}

#[tokio::test]
async fn misconfiguration_is_reported_at_once_and_disables_the_channel_after_an_hour() {
    let it = Watched::new(|_| now(OutcomeClass::Misconfigured)).await;
    it.bench.settle("a", 1).await;
    it.bench.hop(seconds(1)).await;
    assert_eq!(it.watch.notified(), ["channel.failing firing ops"]);
    it.bench.hop(3 * HOUR).await;
    assert_eq!(it.watch.notified()[1..], ["channel.disabled firing ops"]);
    assert_eq!(it.states_of_ops(), one("pending", 1));
    let attempts = it.ops.calls().len();
    assert!((4..=12).contains(&attempts), "{attempts} attempts in an hour");
}

#[tokio::test]
async fn a_requested_delay_holds_for_the_whole_channel_and_no_other() {
    let it = Watched::new(first(1, throttled(2 * HOUR))).await;
    for avatar in AVATARS {
        it.bench.settle(avatar, 1).await;
    }
    it.bench.hop(HOUR).await;
    assert_eq!(it.ops.calls().len(), 1, "the others wait, too");
    it.bench.hop(2 * HOUR).await;
    assert_eq!(it.states_of_ops(), one("delivered", 3));
    assert!(it.ops.calls()[1].at.since(it.ops.calls()[0].at) >= 2 * HOUR);
}

#[tokio::test]
async fn a_paused_channel_continues_where_it_stopped() {
    let it = Watched::new(|_| now(OutcomeClass::Delivered)).await;
    let pause = || it.switch(ChannelSwitch::Pause(Pause::default()));
    let resume = || it.switch(ChannelSwitch::Resume);
    assert_eq!((pause(), pause()), (ChannelAdminResult::Done, ChannelAdminResult::Already));
    it.bench.settle("a", 2).await;
    it.bench.hop(10 * DAY).await;
    assert_eq!(it.ops.calls().len(), 0);
    assert_eq!(it.states_of_ops(), one("pending", 2));
    assert!(it.watch.notified().is_empty(), "a pause is not reported");
    assert_eq!((resume(), resume()), (ChannelAdminResult::Done, ChannelAdminResult::Already));
    it.bench.hop(seconds(2)).await;
    assert_eq!(it.states_of_ops(), one("delivered", 2));
}

#[tokio::test]
async fn a_network_outage_costs_no_attempt() {
    let mut bench = Bench::new();
    let back_at = Monotonic::default().plus(2 * DAY);
    let post = |bench: &Bench| {
        let clock = bench.world.clock.clone();
        bench.post(move |_| {
            if clock.reading() >= back_at {
                return now(OutcomeClass::Delivered);
            }
            Answer::Now(Outcome::new(OutcomeClass::Retryable, "connect"))
        })
    };
    let (ops, mail) = (post(&bench), post(&bench));
    bench.start(&[("ops", &ops), ("mail", &mail)]).await;
    bench.settle("a", 1).await;
    bench.hop(2 * DAY + seconds(400)).await;
    assert_eq!(bench.states(), ["delivered"; 2], "within minutes of the network's return");
    let row = &bench.rows()[0];
    let attempts = bench.world.reader().attempts(&row.id).unwrap();
    assert!(attempts.len() > 100, "{} attempts, more than the schedule has", attempts.len());
    let charged = attempts.iter().filter(|it| it.outcome.as_deref() == Some("retryable")).count();
    assert!(charged <= 1, "{charged} attempts were spent");
}

#[tokio::test]
async fn a_rate_limited_channel_gets_one_attempt_at_a_time() {
    let mut bench = Bench::new();
    let post = bench.post(|_| now(OutcomeClass::Delivered));
    let mut plan = bench.plan(&[("ops", &post)]);
    let channel = plan.channels.get_mut(&name("ops")).unwrap();
    (channel.max_concurrency, channel.min_interval) = (1, Some(seconds(3)));
    bench.show_all(&Status::Training);
    bench.world.start(plan).await;
    bench.world.quiet().await;
    bench.show_all(&Status::Idle);
    bench.world.live(seconds(80)).await;
    let calls = post.calls();
    assert_eq!(calls.len(), 3);
    assert_eq!(waits(&calls), [seconds(3), seconds(3)]);
}
