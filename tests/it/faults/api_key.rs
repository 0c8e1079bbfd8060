//! Responses about the key: denied or rate-limited.

use avatar_watch::domain::polling::poll_failure::FailureKind;

use super::scene::{Scene, given};
use crate::harness::argil::Answer;
use crate::harness::plans::seconds;

fn limited() -> Answer {
    Answer::status(429, "{}")
}

/// All avatars of a key are polled again after this delay, and not earlier, when one of them gets
/// this response.
async fn check_wait(answer: Answer, wait_s: u64) {
    let said = format!("{answer:?}");
    let avatars = ["a", "b"];
    let scene = Scene::watching(&avatars).await;
    scene.api.answer_next("a", answer);
    scene.expect_poll_after(seconds(5), &avatars).await;
    let before: usize = scene.all_polls(&avatars).iter().sum();
    scene.world.live(seconds(wait_s - 1)).await;
    // A training is polled every five seconds, so this applies to `b` too.
    let within: usize = scene.all_polls(&avatars).iter().sum();
    assert_eq!(within, before, "within {wait_s} s after {said}");
    scene.world.live(seconds(1)).await;
    assert_eq!(scene.polls("a"), 3, "after {wait_s} s after {said}");
    assert_eq!(scene.ops.notified(), [""; 0]);
    scene.check_untouched(&avatars);
}

#[tokio::test]
async fn p09_one_forbidden_avatar_is_polled_rarely_and_affects_no_other() {
    let forbidden = Answer::status(403, "{\"message\":\"not yours\"}");
    let scene = given(&[("p09", forbidden)]).await;
    let faults = [("p09", "the API answered 403: `not yours`")];
    scene.check_permanent(&faults, FailureKind::Denied).await;
    assert!(scene.polls("good") > 60, "the other one is polled as usual");
}

#[tokio::test]
async fn p09_a_key_that_is_forbidden_everything_is_a_refused_key() {
    let avatars = ["a", "b", "c"];
    let scene = Scene::watching(&avatars).await;
    scene.api.answer_with(|_| Some(Answer::status(403, "")));
    scene.expect_poll_after(seconds(5), &avatars).await;
    assert_eq!(
        scene.ops.notified(),
        ["account.unavailable firing argil key_rejected"],
        "at once, for all"
    );
    scene.api.answer_with(|_| None);
    scene.api.set_all(&avatars, "IDLE");
    scene.world.live(seconds(900)).await;
    scene.check_recovered(&avatars);
    assert_eq!(scene.ops.notified().len(), 2 + avatars.len());
}

#[tokio::test]
async fn p09_avatars_that_leave_the_account_together_are_reported_once() {
    let mine = ["a", "b", "c"];
    let scene = Scene::watching(&["a", "b", "c", "good"]).await;
    let forbidden = Answer::status(403, "");
    scene.api.answer_with(move |request| {
        mine.contains(&request.avatar.as_str()).then(|| forbidden.clone())
    });
    scene.world.live(seconds(7_200)).await;
    let notified = scene.ops.notified();
    let of_the_key = notified.iter().filter(|it| it.starts_with("account.unavailable")).count();
    assert!(of_the_key <= 2, "one start and its end at most: {notified:?}");
    assert!(scene.polls("good") > 120, "it is polled as usual: {}", scene.polls("good"));
}

#[tokio::test]
async fn p12_a_delay_in_seconds_blocks_the_key_and_is_a_minimum() {
    check_wait(limited().with("retry-after", "30"), 30).await;
    check_wait(limited().with("retry-after", "0.4"), 2).await;
}

#[tokio::test]
async fn p13_a_date_is_compared_with_the_date_of_the_response() {
    // The clock of this world is in 2026.
    let at = |date: &str| limited().with("date", date).with("retry-after", THEN);
    check_wait(at("Sun, 06 Nov 1994 08:48:37 GMT"), 60).await;
    check_wait(at("Sun, 06 Nov 1994 08:49:38 GMT"), 2).await;
    check_wait(limited().with("retry-after", THEN), 2).await;
    // Without a `Date`, the local time is used: the poll is at 11:15:27.
    check_wait(limited().with("retry-after", "Mon, 23 Nov 2026 11:16:07 GMT"), 40).await;
}

#[tokio::test]
async fn p14_an_absurd_delay_is_ignored_and_none_is_longer_than_an_hour() {
    check_wait(limited(), 2).await;
    for absurd in ["-1", "soon", "", "1e9", "inf", "1.2.3", "0"] {
        check_wait(limited().with("retry-after", absurd), 2).await;
    }
    check_wait(limited().with("retry-after", "9".repeat(40)), 3600).await;
    check_wait(limited().with("retry-after", "Fri, 01 Jan 2100 00:00:00 GMT"), 3600).await;
    check_wait(limited().with("retry-after", "7").with("retry-after", "90"), 90).await;
    check_wait(limited().with("retry-after", "120").with("retry-after", "7"), 120).await;
    check_wait(limited().with("retry-after", "soon").with("retry-after", "7"), 7).await;
}

#[tokio::test]
async fn p15_a_server_error_with_retry_after_is_not_polled_until_then() {
    check_wait(Answer::status(503, "").with("retry-after", "60"), 60).await;
}

const THEN: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
