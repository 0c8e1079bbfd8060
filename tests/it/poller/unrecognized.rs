//! Unrecognized statuses: operators are notified once, nothing is concluded, and the training
//! before them is still notified when it ends.

use avatar_watch::daemon::config::runtime_config::RuntimeConfig;
use avatar_watch::domain::polling::strategy::Strategy;
use avatar_watch::store::sqlite::verify;

use crate::harness::fake_notifier::Call;
use crate::harness::plans::{operator, seconds};

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
        self.run(RuntimeConfig { strategy, infer_unseen_training: false, ..plan }).await;
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
            assert_eq!(bench.ops.notified(), expected, "{strategy:?} {outcome:?}");
            assert_eq!(bench.last_news(), (true, "UPSCALING".to_owned()));
            assert!(verify::verify(&bench.world.path()).unwrap().findings.is_empty());
            let trained = bench.world.reader().transitions(None, 9).unwrap();
            assert!(trained.last().unwrap().training_observed());
        }
    }
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
        bench.ops.notified().into_iter().filter(|it| it.contains("overdue")).collect();
    assert_eq!(notified, ["avatar.training_overdue firing a"]);
    bench.shows("ODDER").await;
    assert!(!bench.ops.notified().iter().any(|it| it == "avatar.training_overdue resolved a"));
    bench.shows("IDLE").await;
    let notified = bench.ops.notified();
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
async fn an_unknown_status_may_have_been_a_training_unless_inference_is_off() {
    for infer_unseen_training in [true, false] {
        let plan = |plan| RuntimeConfig { infer_unseen_training, ..operator(plan, "ops") };
        let bench = Bench::with(Loops::Both, &["a"], "IDLE", plan).await;
        for status in ["ODD", "IDLE"] {
            bench.api.set_status("a", status);
            bench.world.live(seconds(3700)).await;
        }
        let notified: Vec<String> =
            bench.ops.notified().into_iter().filter(|it| !it.contains("unrecognized")).collect();
        if infer_unseen_training {
            assert_eq!(notified, ["avatar.ready a"]);
            assert_eq!(bench.last_news(), (false, "ODD".to_owned()));
        } else {
            assert!(notified.is_empty(), "{notified:?}");
        }
    }
}
