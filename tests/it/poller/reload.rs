//! A new config while the loops run.

use crate::harness::argil::Answer;
use crate::harness::plans::seconds;

use super::Bench;

#[tokio::test]
async fn a_reload_resets_the_circuit_breaker() {
    let bench = Bench::watching(&["a", "b"], "TRAINING").await;
    bench.api.require_key("another");
    bench.world.live(seconds(300)).await;
    bench.api.require_key("key");
    let before = bench.api.requests().len();
    bench.change(bench.plan(&["a", "b"])).await;
    assert_eq!(bench.api.requests().len(), before + 2);
}

#[tokio::test]
async fn a_removed_avatar_is_not_polled_and_keeps_its_history() {
    let bench = Bench::watching(&["a", "b"], "TRAINING").await;
    bench.world.reload(bench.plan(&["a"])).await;
    bench.world.live(seconds(600)).await;
    assert_eq!(bench.api.count("b"), 1);
    assert_eq!(bench.history(), ["a: - > TRAINING", "b: - > TRAINING"]);
    bench.api.set_status("b", "IDLE");
    bench.change(bench.plan(&["a", "b"])).await;
    let expected = ["a: - > TRAINING", "b: - > TRAINING", "b: TRAINING > IDLE"];
    assert_eq!(bench.history(), expected, "what happened meanwhile is news");
    assert_eq!(bench.ops.calls().len(), 1);
}

#[tokio::test]
async fn a_reload_expedites_only_failing_avatars() {
    let bench = Bench::watching(&["well", "ill"], "NOT_TRAINED").await;
    for _ in 0..6 {
        bench.api.answer_next("ill", Answer::status(500, "oops"));
    }
    bench.world.live(seconds(65)).await;
    let (well, ill) = (bench.api.count("well"), bench.api.count("ill"));
    bench.change(bench.plan(&["well", "ill"])).await;
    assert_eq!(bench.api.count("well"), well);
    assert_eq!(bench.api.count("ill"), ill + 1);
}

#[tokio::test]
async fn a_shorter_interval_applies_at_once_and_a_longer_one_from_the_next_poll() {
    let bench = Bench::watching(&["a"], "NOT_TRAINED").await;
    let mut plan = bench.plan(&["a"]);
    plan.intervals.not_trained = seconds(10);
    bench.change(plan).await;
    assert_eq!(bench.waits("a").await, [seconds(10)]);
    let mut plan = bench.plan(&["a"]);
    plan.intervals.not_trained = seconds(200);
    bench.change(plan).await;
    assert_eq!(bench.waits("a").await, [seconds(10), seconds(200)]);
}
