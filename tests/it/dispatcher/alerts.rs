//! Operators are notified of many dead letters at once, reminded of what lasts, and a pause ends on
//! its own.

use avatar_watch::domain::alerts::AlertTiming;
use avatar_watch::domain::delivery::channel_health::{ChannelState, Pause};
use avatar_watch::store::admin::channels::{ChannelAdminResult, ChannelSwitch};

use super::*;

const WINDOW: Duration = seconds(30);
const HOUR: Duration = seconds(3600);

impl Watched {
    /// With a channel `ops` that answers like this, and these times of notifications.
    async fn timed(class: OutcomeClass, alert_timing: AlertTiming) -> Self {
        let mut it = Self::new(move |_| now(class)).await;
        it.restart(alert_timing, 0).await;
        it
    }

    /// Crashes and starts again, with so many avatars that are in training.
    async fn restart(&mut self, alert_timing: AlertTiming, avatars: usize) {
        self.bench.world.crash().await;
        self.start_with(alert_timing, avatars).await;
    }

    async fn start_with(&mut self, alert_timing: AlertTiming, avatars: usize) {
        let plan = RuntimeConfig { alert_timing, ..self.plan() };
        let plan = (0..avatars)
            .fold(plan, |plan, number| with_avatar(plan, &avatar(number), Some(Status::Training)));
        self.bench.world.start(plan).await;
        self.bench.world.quiet().await;
    }

    /// The bodies that operators got.
    fn bodies(&self) -> Vec<serde_json::Value> {
        self.watch.calls().iter().map(Call::json).collect()
    }
}

fn avatar(number: usize) -> String {
    format!("avatar-{number}")
}

fn grouped() -> AlertTiming {
    AlertTiming { group_window: WINDOW, remind_after: None }
}

fn reminding() -> AlertTiming {
    AlertTiming { group_window: WINDOW, remind_after: Some(HOUR) }
}

/// Seventy messages to `ops` have become dead letters just now.
async fn seventy_dead_letters() -> Watched {
    let mut it = Watched::timed(OutcomeClass::Rejected, grouped()).await;
    (0..70).for_each(|number| it.bench.gallery.show(&id(&avatar(number)), Status::Idle));
    it.restart(grouped(), 70).await;
    it.bench.world.pass(seconds(2)).await;
    let dead = it.bench.rows().iter().filter(|row| row.state == "dead").count();
    assert_eq!((dead, it.watch.calls().len()), (70, 0));
    it
}

#[tokio::test]
async fn seventy_dead_letters_of_a_channel_are_one_event() {
    let it = seventy_dead_letters().await;
    it.bench.world.pass(WINDOW).await;
    let [body] = it.bodies().try_into().unwrap();
    assert_eq!(body["type"], "delivery.exhausted");
    assert_eq!((&body["data"]["count"], &body["data"]["channel"]), (&70.into(), &"ops".into()));
    let listed = body["data"]["deliveries"].as_array().unwrap();
    assert_eq!((listed.len(), &listed[0]["delivery_id"]), (20, &body["data"]["delivery_id"]));
    it.bench.hop(HOUR).await;
    assert_eq!(it.watch.calls().len(), 1);
    it.bench.settle("a", 1).await;
    it.bench.hop(10 * WINDOW).await;
    let [_, second] = it.bodies().try_into().unwrap();
    assert_eq!(second["data"]["count"], 1, "the next one is another event");
}

#[tokio::test]
async fn a_crash_while_dead_letters_wait_loses_none_and_repeats_none() {
    let mut it = seventy_dead_letters().await;
    it.restart(grouped(), 70).await;
    it.bench.world.pass(WINDOW).await;
    it.restart(grouped(), 70).await;
    it.bench.hop(HOUR).await;
    let [body] = it.bodies().try_into().unwrap();
    assert_eq!(body["data"]["count"], 70);
}

#[tokio::test]
async fn a_slow_trickle_of_dead_letters_makes_few_events() {
    let it = Watched::timed(OutcomeClass::Rejected, grouped()).await;
    it.bench.settle("a", 20).await;
    it.bench.hop(10 * WINDOW).await;
    let counts: Vec<_> =
        it.bodies().iter().map(|body| body["data"]["count"].as_u64().unwrap()).collect();
    assert_eq!((counts.iter().sum::<u64>(), counts[0]), (20, 1), "{counts:?}");
    assert!(counts.len() <= 6, "{counts:?}");
}

#[tokio::test]
async fn a_condition_that_lasts_is_notified_again_over_restarts_and_once_each_time() {
    let mut it = Watched::timed(OutcomeClass::Misconfigured, reminding()).await;
    it.bench.settle("a", 1).await;
    assert_eq!(it.watch.notified(), ["channel.failing firing ops"]);
    it.bench.world.pass(seconds(3500)).await;
    it.restart(reminding(), 0).await;
    assert_eq!(it.watch.calls().len(), 1, "not before the hour is over");
    it.bench.world.crash().await;
    it.bench.world.clock.advance(10 * HOUR);
    it.start_with(reminding(), 0).await;
    it.bench.world.pass(seconds(2)).await;
    let reminders = |it: &Watched| -> Vec<serde_json::Value> {
        it.bodies().into_iter().filter(|body| body["data"]["reminder"] == true).collect()
    };
    assert_eq!(reminders(&it).len(), 1, "{:?}", it.bodies());
    it.restart(reminding(), 0).await;
    it.bench.world.pass(seconds(60)).await;
    assert_eq!(reminders(&it).len(), 1, "a restart repeats none");
    let (first, reminder) = (&it.bodies()[0], &reminders(&it)[0]);
    assert_eq!(first["data"]["reminder"], false);
    assert_eq!(first["data"]["started_at"], reminder["data"]["started_at"]);
    let ids: Vec<_> = it.watch.calls().into_iter().map(|call| call.event_id).collect();
    assert_ne!(ids.first(), ids.last());
}

#[tokio::test]
async fn there_is_no_reminder_without_remind_after() {
    let it = Watched::timed(OutcomeClass::Misconfigured, grouped()).await;
    it.bench.settle("a", 1).await;
    it.bench.hop(seconds(3000)).await;
    it.bench.world.pass(100 * HOUR).await;
    assert!(it.bodies().iter().all(|body| body["data"]["reminder"] == false));
}

#[tokio::test]
async fn a_pause_ends_at_its_time_also_while_no_daemon_runs() {
    for crashes in [false, true] {
        let mut it = Watched::timed(OutcomeClass::Delivered, grouped()).await;
        let now = it.bench.world.clock.wall();
        let reason = Some("studio on holiday".to_owned());
        let pause = Pause { until: Some(now.plus(8 * HOUR)), reason };
        let paused = it.switch(ChannelSwitch::Pause(pause.clone()));
        assert_eq!(paused, ChannelAdminResult::Done);
        it.bench.settle("a", 2).await;
        it.bench.world.pass(7 * HOUR).await;
        assert_eq!((it.ops.calls().len(), it.channel().health.pause), (0, pause));
        if crashes {
            it.bench.world.crash().await;
            it.bench.world.clock.advance(2 * HOUR);
            it.start_with(grouped(), 0).await;
        } else {
            it.bench.world.pass(2 * HOUR).await;
        }
        it.bench.world.pass(seconds(4)).await;
        assert_eq!(it.ops.calls().len(), 2, "crashes: {crashes}");
        let health = it.channel().health;
        assert_eq!((health.state, health.pause), (ChannelState::Active, Pause::default()));
    }
}

#[tokio::test]
async fn resume_ends_a_pause_early_and_another_pause_replaces_it() {
    let it = Watched::timed(OutcomeClass::Delivered, grouped()).await;
    let now = it.bench.world.clock.wall();
    let until = |hours: u32| {
        let until = Some(now.plus(hours * HOUR));
        ChannelSwitch::Pause(Pause { until, reason: None })
    };
    let all = [until(1), until(1), until(5)].map(|switch| it.switch(switch));
    let (done, already) = (ChannelAdminResult::Done, ChannelAdminResult::Already);
    assert_eq!(all, [done, already, done]);
    it.bench.settle("a", 1).await;
    it.bench.world.pass(2 * HOUR).await;
    assert_eq!(it.ops.calls().len(), 0, "the later end counts");
    assert_eq!(it.switch(ChannelSwitch::Resume), done);
    it.bench.world.pass(seconds(4)).await;
    assert_eq!(it.ops.calls().len(), 1);
}
