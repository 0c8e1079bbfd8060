//! Statuses and clocks that do not go the usual way.

use std::num::NonZeroU32;

use super::scene::Scene;
use crate::harness::plans::{seconds, the_account};

#[tokio::test]
async fn p25_another_training_is_another_event() {
    let scene = Scene::watching(&["a"]).await;
    for status in ["IDLE", "TRAINING", "IDLE"] {
        scene.api.set_status("a", status);
        scene.world.live(seconds(3600)).await;
    }
    let history = ["- > TRAINING", "TRAINING > IDLE", "IDLE > TRAINING", "TRAINING > IDLE"];
    assert_eq!(scene.history("a"), history);
    assert_eq!(scene.ops.notified(), ["avatar.ready a", "avatar.ready a"]);
    let sequences: Vec<_> =
        scene.bodies().iter().map(|body| body["data"]["sequence"].as_u64().unwrap()).collect();
    assert_eq!(sequences, [2, 4]);
    let calls = scene.ops.calls();
    assert_ne!(calls[0].event_id, calls[1].event_id);
}

#[tokio::test]
async fn p27_a_settled_status_at_the_first_poll_is_a_baseline_and_no_event() {
    let avatars = ["IDLE", "REFUSED", "TRAINING_FAILED"];
    let mut scene = Scene::new();
    avatars.iter().for_each(|status| scene.api.set_status(status, status));
    scene.world.start(scene.config(&avatars)).await;
    scene.world.quiet().await;
    scene.expect_poll_after(seconds(3600), &avatars).await;
    for status in avatars {
        assert_eq!(scene.history(status), [format!("- > {status}")]);
    }
    assert_eq!(scene.ops.notified(), [""; 0]);
}

/// The steady clock counts suspended time; the runtime's timers do not.
#[tokio::test]
async fn p34_after_a_suspension_each_avatar_is_polled_once_within_the_rate_limit() {
    let names: Vec<String> = (0..20).map(|number| format!("a{number:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut scene = Scene::new();
    scene.api.set_all(&names, "NOT_TRAINED");
    let mut plan = scene.config(&names);
    the_account(&mut plan).max_per_second = NonZeroU32::new(5).unwrap();
    scene.world.start(plan).await;
    scene.world.quiet().await;
    scene.world.live(seconds(30)).await;
    assert_eq!(scene.all_polls(&names), [1; 20]);

    scene.api.set_all(&names, "IDLE");
    scene.world.clock.advance(seconds(8 * 3600));
    scene.world.quiet().await;
    let all = || scene.all_polls(&names).iter().sum::<usize>() - names.len();
    for second in 0..4 {
        assert_eq!(all(), 1 + 5 * second, "after {second} s");
        scene.world.live(seconds(1)).await;
    }
    scene.world.live(seconds(60)).await;
    assert_eq!(scene.all_polls(&names), [2; 20], "nothing that was missed is made up for");
    assert_eq!(scene.ops.notified().len(), 20);
    assert!(names.iter().all(|name| scene.history(name).len() == 2));
}
