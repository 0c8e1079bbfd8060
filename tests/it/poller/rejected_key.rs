//! A rejected API key: one circuit breaker for all avatars of the account.

use crate::harness::argil::Answer;
use crate::harness::plans::seconds;

use super::Bench;

#[tokio::test]
async fn a_throttled_account_makes_one_poll_before_the_others() {
    let bench = Bench::polling(&["a", "b", "c"], "TRAINING").await;
    for avatar in ["a", "b", "c"] {
        bench.api.answer_next(avatar, Answer::status(429, "{}").with("retry-after", "30"));
    }
    bench.world.live(seconds(5)).await;
    assert_eq!(bench.api.requests().len(), 6, "these were in flight together");
    for avatar in ["a", "b", "c"] {
        bench.api.answer_next(avatar, Answer::status(429, "{}").with("retry-after", "60"));
    }
    bench.world.live(seconds(30)).await;
    assert_eq!(bench.api.requests().len(), 7, "one poll goes first");
    bench.world.live(seconds(59)).await;
    assert_eq!(bench.api.requests().len(), 7);
}

#[tokio::test]
async fn a_refused_key_allows_one_poll_at_growing_delays() {
    let bench = Bench::polling(&["a", "b", "c"], "TRAINING").await;
    bench.api.require_key("another");
    bench.world.live(seconds(5)).await;
    let mut polls = bench.api.requests().len();
    assert_eq!(polls, 6, "these were in flight together");
    for wait_s in [60, 120, 240, 480, 960, 1920, 3600, 3600] {
        bench.world.live(seconds(wait_s - 1)).await;
        assert_eq!(bench.api.requests().len(), polls, "within {wait_s} s");
        bench.world.live(seconds(1)).await;
        polls += 1;
        assert_eq!(bench.api.requests().len(), polls, "after {wait_s} s");
    }
    bench.api.require_key("key");
    bench.world.live(seconds(3600)).await;
    assert_eq!(bench.api.requests().len(), polls + 3, "one shows that it works, all follow");
    assert_eq!(bench.history().len(), 3, "a refused key is no status");
}
