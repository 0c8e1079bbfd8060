//! Several accounts: each with its own rate limit, circuit breaker and connectivity.

use std::num::NonZeroU32;
use std::sync::Arc;

use avatar_watch::argil::client::Client;
use avatar_watch::daemon::config::runtime_config::WatchedAvatar;
use avatar_watch::domain::account::AccountName;
use tokio::sync::Notify;

use crate::harness::argil::{Answer, FakeArgil, Request};
use crate::harness::plans::{account, id, operator, seconds};
use crate::harness::world::Counted;

use super::{Bench, Plan, numbered, source};

/// A second account, with an API of its own.
struct Second {
    api: FakeArgil,
    source: Arc<Counted<Client>>,
}

impl Second {
    fn new(bench: &Bench) -> Self {
        let api = FakeArgil::start();
        let source = source(&api, "second-key", &bench.world);
        Self { api, source }
    }

    /// The config with the second account and these avatars.
    fn join(&self, mut plan: Plan, avatars: &[&str]) -> Plan {
        plan.accounts.insert(second(), account(Arc::clone(&self.source)));
        for avatar in avatars {
            let registration = WatchedAvatar { account: second(), ..WatchedAvatar::default() };
            plan.avatars.insert(id(avatar), Arc::new(registration));
        }
        plan
    }
}

fn second() -> AccountName {
    AccountName::parse("second").unwrap()
}

#[tokio::test]
async fn a_revoked_key_delays_no_event_of_another_account() {
    let mut bench = Bench::new();
    let second = Second::new(&bench);
    let theirs = numbered("r", 0..50);
    theirs.iter().for_each(|avatar| second.api.set_status(avatar, "TRAINING"));
    second.api.require_key("it was revoked");
    bench.api.set_status("a", "TRAINING");
    let plan = operator(second.join(bench.plan(&["a"]), &theirs), "ops");
    bench.run(plan).await;
    for round in 0..20 {
        let refused = second.api.requests().len();
        bench.api.set_status("a", if round % 2 == 0 { "IDLE" } else { "TRAINING" });
        let wait = bench.wait_for_poll("a", seconds(3600)).await.unwrap();
        let pace = if round % 2 == 0 { seconds(5) } else { seconds(3600) };
        assert_eq!(wait, pace, "in round {round}: as if there were no other account");
        assert!(second.api.requests().len() <= refused + 6, "in round {round}");
    }
    assert_eq!((bench.api.count("r00"), second.api.count("a")), (0, 0));
    let notified = bench.ops.notified();
    let unavailable: Vec<_> = notified.iter().filter(|it| it.starts_with("account.")).collect();
    assert_eq!(unavailable, ["account.unavailable firing second key_rejected"]);
    assert_eq!(notified.iter().filter(|it| it.starts_with("avatar.ready")).count(), 10);
}

#[tokio::test]
async fn a_stalled_or_throttled_account_uses_no_slots_of_another() {
    let mut bench = Bench::new();
    let second = Second::new(&bench);
    let gate = Arc::new(Notify::new());
    let held = Arc::clone(&gate);
    second.api.answer_with(move |request| match request.avatar.as_str() {
        "throttled" => Some(Answer::status(429, "{}").with("retry-after", "3000")),
        _ => Some(Answer::Hold(Arc::clone(&held))),
    });
    ["h1", "h2", "throttled"].iter().for_each(|it| second.api.set_status(it, "TRAINING"));
    bench.api.set_status("a", "TRAINING");
    let mut plan = second.join(bench.plan(&["a"]), &["h1", "h2", "throttled"]);
    let slow = plan.accounts.get_mut(&self::second()).unwrap();
    slow.max_concurrency = 2;
    slow.max_per_second = NonZeroU32::MIN;
    bench.world.start(plan).await;
    for polls in 1..10 {
        // One of the two held requests may not have arrived yet, and `a` be counted instead.
        let polled = |requests: &[Request]| {
            requests.iter().filter(|request| request.avatar == "a").count() >= polls
        };
        bench.api.wait_until("a poll of `a`", polled).await;
        bench.world.quiet_but(2).await;
        assert_eq!(bench.api.count("a"), polls, "as if there were no other account");
        bench.world.clock.advance(seconds(5));
    }
    gate.notify_one();
    gate.notify_one();
    bench.world.quiet_but(2).await;
}

#[tokio::test]
async fn an_avatar_can_move_to_another_account() {
    let mut bench = Bench::new();
    let second = Second::new(&bench);
    bench.api.require_key("key");
    second.api.require_key("second-key");
    bench.api.set_status("a", "TRAINING");
    second.api.set_status("a", "IDLE");
    let plan = second.join(bench.plan(&["a"]), &[]);
    bench.run(plan).await;
    bench.change(second.join(bench.plan(&[]), &["a"])).await;
    assert_eq!(bench.history(), ["a: - > TRAINING", "a: TRAINING > IDLE"]);
    let before = bench.api.count("a");
    bench.world.live(seconds(4000)).await;
    assert_eq!(bench.api.count("a"), before, "the old account is not asked any more");
}

#[tokio::test]
async fn a_response_for_the_previous_account_is_discarded() {
    let mut bench = Bench::new();
    let second = Second::new(&bench);
    second.api.set_status("m", "TRAINING");
    let gate = bench.hold("m");
    bench.world.start(operator(second.join(bench.plan(&["m"]), &[]), "ops")).await;
    bench.api.wait_until("the first poll", |seen| seen.len() == 1).await;
    bench.world.reload(operator(second.join(bench.plan(&[]), &["m"]), "ops")).await;
    bench.world.quiet_but(1).await;
    gate.notify_one();
    bench.world.quiet().await;
    bench.world.live(seconds(5)).await;
    assert_eq!(bench.history(), ["m: - > TRAINING"], "as its new account shows it");
    assert_eq!(bench.conditions(), [""; 0]);
    assert!(second.api.count("m") >= 1 && bench.api.count("m") == 1);
}

#[tokio::test]
async fn a_response_to_the_old_key_does_not_affect_the_new_one() {
    let mut bench = Bench::new();
    let gate = Arc::new(Notify::new());
    for avatar in ["a", "b"] {
        bench.api.answer_next(avatar, Answer::Hold(Arc::clone(&gate)));
    }
    bench.world.start(operator(bench.plan(&["a", "b"]), "ops")).await;
    bench.api.wait_until("both polls", |seen| seen.len() == 2).await;
    bench.source = source(&bench.api, "new-key", &bench.world);
    bench.world.reload(operator(bench.plan(&["a", "b"]), "ops")).await;
    bench.world.quiet_but(2).await;
    bench.api.require_key("new-key");
    bench.api.set_all(&["a", "b"], "TRAINING");
    // A refusal of the old key.
    gate.notify_waiters();
    bench.world.quiet().await;
    bench.world.live(seconds(5)).await;
    assert_eq!(bench.delivery_count(), 0, "no event for a key that is no longer used");
    assert_eq!(bench.history(), ["a: - > TRAINING", "b: - > TRAINING"]);
}
