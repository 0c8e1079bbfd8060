//! Unrecognized statuses: operators are notified once, nothing is concluded, and the training
//! before them is still notified when it ends.

use avatar_watch::daemon::runtime_config::{RuntimeConfig, Strategy};
use avatar_watch::domain::avatar::status::Status;
use avatar_watch::store::sqlite::verify;

use crate::harness::mail_server::Call;
use crate::harness::plans::{operator, seconds, with_avatar};

use super::conditions::overdue_after_an_hour;
use super::{Bench, Loops};

const UNKNOWN: &str = "avatar.status_unrecognized";

impl Bench {
    /// Starts the daemon with `a` in training; a training that was not observed is no event.
    async fn strict(strategy: Strategy) -> Self {
        let mut bench = Self::new();
        bench.api.set_status("a", "TRAINING");
        bench.boot_strictly(strategy).await;
        bench
    }

    async fn boot_strictly(&mut self, strategy: Strategy) {
        let plan = overdue_after_an_hour(self.plan(&["a"]));
        self.run(RuntimeConfig { strategy, infer_missed_training: false, ..plan }).await;
    }

    async fn shows(&self, status: &str) {
        self.api.set_status("a", status);
        self.world.live(seconds(61)).await;
    }

    /// `training_observed` and `previous_status` of the last transition event.
    fn last_news(&self) -> (bool, String) {
        let calls = self.ops.calls();
        let mut news = calls
            .iter()
            .map(Call::json)
            .filter(|body| body["data"]["training_observed"].is_boolean());
        let data = news.next_back().unwrap()["data"].clone();
        let previous = data["previous_status"].as_str().unwrap().to_owned();
        (data["training_observed"].as_bool().unwrap(), previous)
    }
}

#[tokio::test]
async fn an_outcome_after_unknown_statuses_is_notified_as_that_of_the_training() {
    for strategy in [Strategy::Single, Strategy::List] {
        for (outcome, news) in [
            ("IDLE", "avatar.ready a"),
            ("TRAINING_FAILED", "avatar.training_failed a"),
            (" refused\r\n", "avatar.refused a"),
        ] {
            let bench = Bench::strict(strategy).await;
            for status in ["UPSCALING", "TRAINING FAILED", "UPSCALING", "UPSCALING"] {
                bench.shows(status).await;
            }
            bench.shows(outcome).await;
            let begun = format!("{UNKNOWN} firing a");
            let ended = format!("{UNKNOWN} resolved a");
            let expected = [&begun, &ended, &begun, &ended, news];
            assert_eq!(bench.notified(), expected, "{strategy:?} {outcome:?}");
            assert_eq!(bench.last_news(), (true, "UPSCALING".to_owned()));
            assert!(verify::verify(&bench.world.path()).unwrap().findings.is_empty());
            let trained = bench.world.reader().transitions(None, 9).unwrap();
            assert!(trained.last().unwrap().training_observed());
        }
    }
}

#[tokio::test]
async fn a_training_before_an_unknown_status_is_remembered_over_restarts_and_crashes() {
    let mut bench = Bench::strict(Strategy::Single).await;
    bench.shows("UPSCALING").await;
    for crash in [true, false] {
        if crash {
            bench.world.crash().await;
        } else {
            bench.world.stop().await;
        }
        bench.boot_strictly(Strategy::Single).await;
        bench.world.live(seconds(120)).await;
    }
    assert_eq!(bench.notified(), ["avatar.status_unrecognized firing a"], "notified once");
    bench.world.stop().await;
    bench.api.set_status("a", "IDLE");
    bench.boot_strictly(Strategy::Single).await;
    bench.world.live(seconds(61)).await;
    let expected = ["avatar.ready a", "avatar.status_unrecognized resolved a"];
    assert_eq!(bench.notified()[1..], expected, "the transition goes before its consequence");
    assert_eq!(bench.last_news(), (true, "UPSCALING".to_owned()));
}

#[tokio::test]
async fn documented_statuses_in_another_spelling_are_recognized() {
    let bench = Bench::strict(Strategy::Single).await;
    for (status, news) in [
        ("training", None),
        ("\u{200b}Idle\n", Some("avatar.ready a")),
        ("IDLE", None),
        (" Training\u{a0}", None),
        ("Training_Failed", Some("avatar.training_failed a")),
        ("TRAINING", None),
        ("\u{feff}refused", Some("avatar.refused a")),
    ] {
        let before = bench.notified().len();
        bench.api.set_status("a", status);
        bench.world.live(seconds(3700)).await;
        let notified = bench.notified()[before..].to_vec();
        let notified: Vec<String> =
            notified.into_iter().filter(|it| !it.contains("overdue")).collect();
        assert_eq!(notified, news.map(str::to_owned).into_iter().collect::<Vec<_>>(), "{status:?}");
    }
    let history = ["-", "TRAINING", "IDLE", "TRAINING", "TRAINING_FAILED", "TRAINING"];
    let history: Vec<String> = history
        .iter()
        .zip([&history[1..], &["REFUSED"]].concat())
        .map(|(from, to)| format!("a: {from} > {to}"))
        .collect();
    assert_eq!(bench.history(), history);
}

#[tokio::test]
async fn an_unknown_status_may_have_been_a_training_unless_inference_is_off() {
    for infer_missed_training in [true, false] {
        let plan = |plan| RuntimeConfig { infer_missed_training, ..operator(plan, "ops") };
        let bench = Bench::with(Loops::Both, &["a"], "IDLE", plan).await;
        for status in ["ODD", "IDLE"] {
            bench.api.set_status("a", status);
            bench.world.live(seconds(3700)).await;
        }
        let notified: Vec<String> =
            bench.notified().into_iter().filter(|it| !it.contains("unrecognized")).collect();
        if infer_missed_training {
            assert_eq!(notified, ["avatar.ready a"]);
            assert_eq!(bench.last_news(), (false, "ODD".to_owned()));
        } else {
            assert!(notified.is_empty(), "{notified:?}");
        }
    }
}

#[tokio::test]
async fn each_unknown_status_is_notified_once_however_often_it_returns() {
    let bench = Bench::strict(Strategy::Single).await;
    for status in ["ODD", "TRAINING", "ODD", "TRAINING", "ODDER", "ODD", "TRAINING", "ODD"] {
        bench.shows(status).await;
    }
    let begun = "avatar.status_unrecognized firing a";
    let ended = "avatar.status_unrecognized resolved a";
    assert_eq!(bench.notified(), [begun, ended, begun, ended]);
    bench.shows("IDLE").await;
    assert_eq!(bench.notified()[4..], ["avatar.ready a"]);
}

#[tokio::test]
async fn an_unknown_status_does_not_reset_an_overdue_training() {
    let mut bench = Bench::strict(Strategy::Single).await;
    bench.world.live(seconds(1800)).await;
    bench.shows("UPSCALING").await;
    bench.world.live(seconds(600)).await;
    bench.shows("TRAINING").await;
    bench.shows("UPSCALING").await;
    bench.world.crash().await;
    bench.boot_strictly(Strategy::Single).await;
    bench.world.live(seconds(1800)).await;
    let notified: Vec<String> =
        bench.notified().into_iter().filter(|it| it.contains("overdue")).collect();
    assert_eq!(notified, ["avatar.training_overdue firing a"]);
    bench.shows("ODDER").await;
    assert!(!bench.notified().iter().any(|it| it == "avatar.training_overdue resolved a"));
    bench.shows("IDLE").await;
    let notified = bench.notified();
    let ended = ["avatar.training_overdue resolved a", "avatar.status_unrecognized resolved a"];
    assert_eq!(notified[notified.len() - 2..], ended);
}

#[tokio::test]
async fn an_unknown_status_is_polled_like_a_training() {
    let bench = Bench::polling(&["a"], "TRAINING").await;
    bench.world.live(seconds(300)).await;
    bench.api.set_status("a", "UPSCALING");
    bench.world.live(seconds(61)).await;
    let [_, wait] = bench.waits::<2>("a").await;
    assert!((seconds(30)..=seconds(60)).contains(&wait), "by the age of the training: {wait:?}");
    let bench = Bench::polling(&["a"], "ARCHIVED").await;
    let waits = bench.waits::<3>("a").await.map(|wait| wait.as_secs());
    assert_eq!(waits, [5, 5, 5], "by its own age");
}

#[tokio::test]
async fn an_avatar_never_observed_in_training_is_not_reported_as_trained() {
    let mut bench = Bench::new();
    bench.api.set_status("a", "ODD");
    let plan = with_avatar(operator(bench.plan(&["b"]), "ops"), "a", None);
    bench.api.set_status("b", "TRAINING");
    bench.run(RuntimeConfig { infer_missed_training: false, ..plan }).await;
    bench.shows("IDLE").await;
    let notified = ["avatar.status_unrecognized firing a", "avatar.status_unrecognized resolved a"];
    assert_eq!(
        bench.notified(),
        notified,
        "a baseline with a final status is no event by the strict rule"
    );
    // An avatar that was observed in training and then reset is notified, without an observed
    // training.
    bench.shows("TRAINING").await;
    bench.world.live(seconds(3600)).await;
    bench.shows("NOT_TRAINED").await;
    bench.shows("TRAINED?").await;
    bench.shows("IDLE").await;
    let ready = bench.notified();
    assert!(ready.contains(&"avatar.ready a".to_owned()), "{ready:?}");
    assert_eq!(bench.last_news(), (false, "TRAINED?".to_owned()));
}

#[tokio::test]
async fn an_avatar_assumed_in_training_is_notified_through_an_unknown_status() {
    let mut bench = Bench::new();
    bench.api.set_status("a", "ODD");
    let plan = with_avatar(operator(bench.plan(&[]), "ops"), "a", Some(Status::Training));
    bench.run(RuntimeConfig { infer_missed_training: false, ..plan }).await;
    bench.shows("IDLE").await;
    assert!(bench.notified().contains(&"avatar.ready a".to_owned()), "{:?}", bench.notified());
    assert_eq!(bench.last_news(), (false, "ODD".to_owned()));
}
