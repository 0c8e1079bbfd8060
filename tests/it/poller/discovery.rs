//! Discovery: avatars that only the list of an account shows.

use std::collections::{BTreeMap, BTreeSet};

use avatar_watch::daemon::config::runtime_config::{Discovery, RuntimeConfig};
use avatar_watch::domain::account::AccountName;
use avatar_watch::domain::delivery::channel_name::ChannelName;
use avatar_watch::domain::polling::overdue::OverdueAfter;
use avatar_watch::domain::routing::facts::AvatarRouting;
use avatar_watch::domain::routing::tag::Tag;

use crate::harness::argil::Answer;
use crate::harness::plans::{seconds, with_channel};

use super::{Bench, Plan};

impl Bench {
    /// Starts the daemon with discovery, after the first list.
    async fn discovering(known: &[&str]) -> Self {
        let mut bench = Self::new();
        bench.api.set_all(known, "IDLE");
        bench.run(discovering(bench.plan(&[]))).await;
        bench
    }
}

fn discovering(plan: Plan) -> Plan {
    let discovery = Discovery {
        every: seconds(300),
        routing: BTreeMap::from([(AccountName::default(), AvatarRouting::default())]),
        overdue_after: OverdueAfter::Never,
    };
    RuntimeConfig { discovery: Some(discovery), ..plan }
}

#[tokio::test]
async fn a_discovered_avatar_is_routed_by_the_tags_of_discovery() {
    let mut bench = Bench::new();
    bench.api.set_all(&["old"], "IDLE");
    let mut plan = discovering(with_channel(bench.plan(&[]), "team", &bench.ops));
    let tag = |text| Tag::parse(text).unwrap();
    let found = &mut plan.discovery.as_mut().unwrap().routing;
    found.get_mut(&AccountName::default()).unwrap().tags = BTreeSet::from([tag("found")]);
    for (channel, asked) in [("ops", "found"), ("team", "other")] {
        let channel = plan.channels.get_mut(&ChannelName::parse(channel).unwrap()).unwrap();
        channel.only.tags = vec![tag(asked)];
    }
    bench.run(plan).await;
    bench.api.set_status("new", "IDLE");
    bench.world.live(seconds(301)).await;
    assert_eq!(bench.routes(), ["new: ops"]);
}

#[tokio::test]
async fn the_first_list_is_a_baseline_and_later_avatars_are_new() {
    let bench = Bench::discovering(&["old1", "old2"]).await;
    assert_eq!(bench.history(), ["old1: - > IDLE", "old2: - > IDLE"]);
    assert_eq!(bench.delivery_count(), 0);
    bench.api.set_status("new", "IDLE");
    bench.world.live(seconds(301)).await;
    assert_eq!(bench.history()[0], "new: - > IDLE");
    assert_eq!(bench.delivery_count(), 1);
    let body = bench.ops.calls()[0].json();
    assert_eq!(body["type"], "avatar.ready");
    assert!(
        body["data"]["previous_status"].is_null()
            && body["data"]["last_seen_previous_at"].is_null()
    );
    assert_eq!(body["data"]["training_observed"], false);
}

#[tokio::test]
async fn a_discovered_avatar_is_watched_like_any_other_over_restarts() {
    let mut bench = Bench::discovering(&["old"]).await;
    bench.api.set_status("new", "TRAINING");
    bench.world.live(seconds(301)).await;
    assert_eq!(bench.delivery_count(), 0, "no event for the start of a training");
    bench.world.crash().await;
    bench.api.set_status("new", "TRAINING_FAILED");
    bench.api.set_status("newer", "REFUSED");
    bench.run(discovering(bench.plan(&[]))).await;
    bench.world.live(seconds(61)).await;
    let expected = [
        "new: - > TRAINING",
        "new: TRAINING > TRAINING_FAILED",
        "newer: - > REFUSED",
        "old: - > IDLE",
    ];
    assert_eq!(bench.history(), expected);
    assert_eq!(bench.delivery_count(), 2);
    bench.change(bench.plan(&[])).await;
    let before = bench.api.requests().len();
    bench.world.live(seconds(9000)).await;
    assert_eq!(bench.api.requests().len(), before, "when discovery is off, nothing is watched");
}

#[tokio::test]
async fn an_avatar_on_a_page_is_a_baseline_and_a_shrunk_list_waits_for_the_next() {
    let bench = Bench::discovering(&["a", "b", "c"]).await;
    bench.api.hide_from_list("a");
    bench.api.hide_from_list("b");
    bench.api.set_status("new", "IDLE");
    bench.world.live(seconds(301)).await;
    assert_eq!(bench.delivery_count(), 0, "it is not known yet whether it is new");
    bench.world.live(seconds(301)).await;
    assert_eq!(bench.delivery_count(), 1);
    let page = |body: &str| Answer::status(200, body).with("x-total-count", "900");
    bench.api.answer_list_next(page(r#"[{"id":"paged","status":"IDLE"}]"#));
    bench.world.live(seconds(301)).await;
    assert_eq!(bench.delivery_count(), 1, "it may have been on another page all the time");
    assert!(bench.history().contains(&"paged: - > IDLE".to_owned()));
}

#[tokio::test]
async fn an_avatar_of_the_config_is_not_discovered_again() {
    let mut bench = Bench::new();
    bench.api.set_all(&["mine", "found"], "TRAINING");
    bench.run(discovering(bench.plan(&["mine"]))).await;
    bench.world.live(seconds(600)).await;
    assert_eq!(bench.history(), ["found: - > TRAINING", "mine: - > TRAINING"]);
    bench.world.reload(discovering(bench.plan(&["mine", "found"]))).await;
    bench.world.live(seconds(600)).await;
    assert_eq!(bench.history().len(), 2);
}

#[tokio::test]
async fn an_interrupted_first_list_is_still_the_first_after_the_restart() {
    let mut bench = Bench::new();
    bench.api.set_status("old", "IDLE");
    bench.api.answer_list_next(Answer::status(500, "oops"));
    bench.run(discovering(bench.plan(&[]))).await;
    bench.world.crash().await;
    bench.api.set_status("old2", "IDLE");
    bench.run(discovering(bench.plan(&[]))).await;
    bench.world.live(seconds(600)).await;
    assert_eq!(bench.history(), ["old: - > IDLE", "old2: - > IDLE"]);
    assert_eq!(bench.delivery_count(), 0);
}

#[tokio::test]
async fn a_discovered_avatar_with_a_history_continues_it() {
    let mut bench = Bench::watching(&["a"], "TRAINING").await;
    bench.world.stop().await;
    bench.api.set_status("a", "IDLE");
    bench.run(discovering(bench.plan(&[]))).await;
    bench.world.live(seconds(10)).await;
    assert_eq!(bench.history(), ["a: - > TRAINING", "a: TRAINING > IDLE"]);
    assert_eq!(bench.delivery_count(), 1);

    // Configured once, and removed from the config while lists show it.
    bench.api.set_status("b", "TRAINING");
    bench.world.reload(discovering(bench.plan(&["b"]))).await;
    bench.world.live(seconds(10)).await;
    bench.world.reload(discovering(bench.plan(&[]))).await;
    bench.api.set_status("b", "REFUSED");
    bench.world.live(seconds(600)).await;
    assert_eq!(bench.history()[2..], ["b: - > TRAINING", "b: TRAINING > REFUSED"]);
    assert_eq!((bench.delivery_count(), bench.world.ended()), (2, 0));
    bench.world.crash().await;
    bench.world.start(discovering(bench.plan(&[]))).await;
    bench.world.live(seconds(10)).await;
    assert_eq!((bench.history().len(), bench.world.ended()), (4, 0));
}

#[tokio::test]
async fn an_unreadable_avatar_of_the_first_list_is_not_new_later() {
    let mut bench = Bench::new();
    bench.api.set_all(&["a", "b", "c"], "IDLE");
    let odd = r#"[{"id":"a","status":"IDLE"},{"id":"b","status":null},
        {"id":"c","status":"TRAINING"},{"id":"c","status":"IDLE"}]"#;
    bench.api.answer_list_next(Answer::status(200, odd));
    bench.run(discovering(bench.plan(&[]))).await;
    bench.world.live(seconds(900)).await;
    assert_eq!(bench.history(), ["a: - > IDLE", "b: - > IDLE", "c: - > IDLE"]);
    assert_eq!(bench.delivery_count(), 0);
}

#[tokio::test]
async fn a_list_adds_no_more_at_once_than_a_thousand() {
    let bench = Bench::discovering(&["a"]).await;
    let list = |count: usize| {
        let one = |n: usize| format!(r#",{{"id":"n{n}","status":"IDLE"}}"#);
        let others: String = (0..count).map(one).collect();
        Answer::status(200, format!(r#"[{{"id":"a","status":"IDLE"}}{others}]"#))
    };
    let all = list(1_500);
    bench.api.answer_with(move |request| request.avatar.is_empty().then(|| all.clone()));
    bench.world.live(seconds(301)).await;
    assert_eq!(bench.world.reader().watches().unwrap().len(), 1_001);
    bench.world.live(seconds(300)).await;
    assert_eq!(bench.world.reader().watches().unwrap().len(), 1_501);
}

#[tokio::test]
async fn no_more_than_ten_thousand_avatars_are_discovered() {
    let mut bench = Bench::new();
    let element = |n: usize| format!(r#"{{"id":"n{n}","status":"IDLE"}}"#);
    let list = |ids: std::ops::Range<usize>| {
        Answer::status(200, format!("[{}]", ids.map(element).collect::<Vec<_>>().join(",")))
    };
    bench.api.answer_list_next(list(0..10_500));
    bench.run(discovering(bench.plan(&[]))).await;
    assert_eq!(bench.world.reader().watches().unwrap().len(), 10_000);
    bench.api.answer_list_next(list(0..10_700));
    bench.world.live(seconds(301)).await;
    assert_eq!(bench.api.lists(), 2);
    assert_eq!(bench.world.reader().watches().unwrap().len(), 10_000);
    bench.world.crash().await;
    bench.api.answer_list_next(list(0..10_700));
    bench.world.start(discovering(bench.plan(&[]))).await;
    bench.world.quiet().await;
    bench.world.live(seconds(301)).await;
    assert_eq!(bench.world.reader().watches().unwrap().len(), 10_000, "a start changes nothing");
}

/// Takes the store's lock timeout in real time.
#[tokio::test]
async fn discovered_avatars_that_are_not_written_yet_survive_a_reload() {
    let bench = Bench::discovering(&[]).await;
    let beside = bench.lock();
    bench.api.set_status("new", "IDLE");
    bench.world.clock.advance(seconds(300));
    bench.api.wait_until("the second list", |_| bench.api.lists() == 2).await;
    bench.world.quiet().await;
    beside.execute_batch("ROLLBACK").unwrap();
    assert_eq!(bench.history(), [""; 0], "it is not written yet");
    bench.world.reload(discovering(bench.plan(&[]))).await;
    bench.world.live(seconds(900)).await;
    assert_eq!(bench.history(), ["new: - > IDLE"]);
    assert_eq!((bench.delivery_count(), bench.world.ended()), (1, 0));
}
