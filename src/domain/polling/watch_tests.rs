use std::path::Path;
use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::domain::account::AccountName;
use crate::domain::config_origin::ConfigOrigin;
use crate::domain::polling::backoff::Backoff;
use crate::domain::polling::interval::PollIntervals;
use crate::domain::polling::interval::{SettledIntervals, SettledStep, TrainingInterval};
use crate::domain::polling::observation::{Denial, PollError};

const HALF: RandomBits = RandomBits::new(1 << 127);

fn intervals() -> PollIntervals {
    PollIntervals {
        training: TrainingInterval {
            min: Duration::from_secs(5),
            max: Duration::from_secs(60),
            age_fraction: 0.1,
            adaptive: false,
        },
        not_trained: Duration::from_secs(60),
        settled: SettledIntervals::always(Some(Duration::from_secs(3_600))),
        missing: Duration::from_secs(900),
        backoff: Backoff::new(Duration::from_secs(2), Duration::from_secs(300), 2.0, 0.3).unwrap(),
        jitter: 0.0,
    }
}

fn policy(intervals: &PollIntervals) -> Policy<'_> {
    static ACCOUNT: LazyLock<AccountName> = LazyLock::new(AccountName::default);
    // The answers of these tests come at once.
    Policy::new(intervals, &ACCOUNT, Timestamp::from_millis(i64::MAX))
}

fn id() -> AvatarId {
    AvatarId::parse("a1").unwrap()
}

fn seen(status: &str) -> Observation {
    Observation::Seen(Box::new(Avatar {
        name: Some("Jane".to_owned()),
        updated_at: Some("2026-11-23T11:14:58Z".to_owned()),
        ..Avatar::new(id(), Status::from_name(status))
    }))
}

fn failed() -> Observation {
    Observation::Failed { fault: PollError::Unreachable, reason: "no answer".to_owned() }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1_000)
}

fn see(watch: Watch, status: &str, seconds: i64) -> Decision {
    watch.observe(seen(status), at(seconds), &policy(&intervals()), HALF)
}

fn only(events: Vec<Event>) -> Event {
    let [event] = <[Event; 1]>::try_from(events).unwrap();
    event
}

#[test]
fn a_status_was_last_seen_when_it_was_asked_for() {
    let intervals = intervals();
    let slow = |watch: Watch, status: &str, asked_s, answered_s| {
        let policy = Policy { asked_at: at(asked_s), ..policy(&intervals) };
        watch.observe(seen(status), at(answered_s), &policy, HALF)
    };
    let training = slow(Watch::new(id()), "TRAINING", 10, 14).watch;
    let idle = slow(training, "IDLE", 20, 23).transition.unwrap();
    assert_eq!((idle.last_seen_previous_at(), idle.detected_at), (Some(at(10)), at(23)));
    let set_back = slow(Watch::new(id()), "TRAINING", 99, 14).watch;
    assert_eq!(set_back.observed.unwrap().last_seen_at, at(14), "no window is turned around");
}

fn news(decision: &Decision) -> bool {
    decision.events.iter().any(|event| matches!(event.subject, Subject::Transition { .. }))
}

#[test]
fn the_first_poll_is_a_baseline_and_makes_no_event() {
    for status in Status::DOCUMENTED {
        let decision = see(Watch::new(id()), status, 1);
        let transition = decision.transition.unwrap();
        assert_eq!(transition.previous, Previous::Unknown);
        assert_eq!((transition.sequence, decision.watch.sequence), (1, 1));
        assert_eq!(decision.events, []);
        assert!(decision.changed);
    }
}

#[test]
fn a_settled_training_is_an_event_with_its_time_window() {
    let watch = see(Watch::new(id()), "TRAINING", 10).watch;
    let watch = see(watch, "TRAINING", 20).watch;
    let decision = see(watch, "IDLE", 30);
    let event = only(decision.events);
    assert_eq!(event.kind, EventKind::AvatarReady);
    let Subject::Transition { avatar, transition } = event.subject else { panic!() };
    assert_eq!(avatar.name.as_deref(), Some("Jane"));
    assert_eq!(transition.last_seen_previous_at(), Some(at(20)));
    assert_eq!(transition.detected_at, at(30));
    assert_eq!(transition.upstream_updated_at.as_deref(), Some("2026-11-23T11:14:58Z"));
    assert!(transition.training_observed());
    let training = transition.training.unwrap();
    assert_eq!(training.start, TrainingStart { after: None, before: at(10) });
    assert_eq!(training.duration_min(), at(20).since(at(10)));
    assert_eq!(training.duration_max(), None, "it may have started long before");
    assert_eq!(decision.watch.observed.unwrap().since, at(30));
}

#[test]
fn the_name_given_by_the_user_replaces_that_of_the_api() {
    let intervals = intervals();
    let policy = Policy { label: Some("Jane, English"), ..policy(&intervals) };
    let watch = Watch::new(id()).observe(seen("TRAINING"), at(1), &policy, HALF).watch;
    assert_eq!(watch.name.as_deref(), Some("Jane"));
    let event = watch.observe(seen("IDLE"), at(2), &policy, HALF).events.remove(0);
    let Subject::Transition { avatar, .. } = event.subject else { panic!() };
    assert_eq!(avatar.name.as_deref(), Some("Jane, English"));
}

#[test]
fn an_assumed_status_makes_the_first_poll_a_transition() {
    let intervals = intervals();
    let training = Status::Training;
    let policy = Policy { origin: Origin::Assumed(&training), ..policy(&intervals) };
    let check = |status: &str, expected: Option<EventKind>| {
        let decision = Watch::new(id()).observe(seen(status), at(1), &policy, HALF);
        assert_eq!(decision.events.first().map(|event| event.kind), expected, "for `{status}`");
    };
    check("IDLE", Some(EventKind::AvatarReady));
    check("REFUSED", Some(EventKind::AvatarRefused));
    check("TRAINING_FAILED", Some(EventKind::AvatarTrainingFailed));
    check("TRAINING", None);
}

#[test]
fn an_assumption_is_forgotten_once_the_avatar_was_seen() {
    let intervals = intervals();
    let training = Status::Training;
    let policy = Policy { origin: Origin::Assumed(&training), ..policy(&intervals) };
    let watch = Watch::new(id()).observe(seen("IDLE"), at(1), &policy, HALF).watch;
    let again = watch.observe(seen("IDLE"), at(2), &policy, HALF);
    assert_eq!((again.transition, again.events, again.changed), (None, vec![], false));
}

#[test]
fn a_second_training_is_news_again_under_another_id() {
    let watch = see(Watch::new(id()), "TRAINING", 1).watch;
    let failed = see(watch, "TRAINING_FAILED", 2);
    let again = see(failed.watch, "TRAINING", 3);
    assert_eq!(only(again.events).kind, EventKind::AvatarStatusChanged);
    let ready = again.watch.observe(seen("IDLE"), at(4), &policy(&intervals()), HALF.derive(1));
    let (first, second) = (only(failed.events), only(ready.events));
    assert_eq!(second.kind, EventKind::AvatarReady);
    assert_ne!(first.id, second.id);
    assert_eq!(ready.transition.unwrap().sequence, 4);
}

#[test]
fn a_failure_is_never_a_status_and_one_hiccup_is_not_written() {
    let watch = see(Watch::new(id()), "TRAINING", 1).watch;
    let observed = watch.observed.clone();
    let one = watch.observe(failed(), at(2), &policy(&intervals()), HALF);
    assert_eq!((one.changed, one.next_poll_in), (false, Some(Duration::from_secs(2))));
    let two = one.watch.observe(failed(), at(4), &policy(&intervals()), HALF);
    let three = two.watch.observe(failed(), at(8), &policy(&intervals()), HALF);
    assert_eq!((three.changed, three.next_poll_in), (true, Some(Duration::from_secs(8))));
    assert_eq!(three.watch.observed, observed);
    assert_eq!(three.watch.failure.as_ref().unwrap().since, at(8));
    let four = three.watch.observe(failed(), at(16), &policy(&intervals()), HALF);
    assert!(!four.changed, "the same failure is written once");
    let seen_again = see(four.watch, "TRAINING", 20);
    assert!(seen_again.changed && seen_again.watch.failure.is_none());
    assert_eq!((seen_again.watch.streak, seen_again.transition), (FailureStreak::default(), None));
}

#[test]
fn a_permanent_failure_counts_at_once() {
    let check = |observation: Observation, kind, wait_s| {
        let decision = Watch::new(id()).observe(observation, at(1), &policy(&intervals()), HALF);
        assert!(decision.changed);
        assert_eq!(decision.watch.failure.unwrap().kind, kind);
        assert_eq!(decision.next_poll_in, Some(Duration::from_secs(wait_s)));
    };
    let reason = String::new;
    check(Observation::Missing { reason: reason() }, FailureKind::Missing, 180);
    let denial = Denial::Avatar;
    check(Observation::Denied { denial, reason: reason() }, FailureKind::Denied, 900);
    check(Observation::Denied { denial: Denial::Key, reason: reason() }, FailureKind::Denied, 2);
    let fault = PollError::RequestRejected;
    check(Observation::Failed { fault, reason: reason() }, FailureKind::Failed, 900);
}

#[test]
fn a_requested_delay_is_a_minimum_for_the_next_poll() {
    let check = |asked_s: Option<u64>, expected_s| {
        let retry_after = asked_s.map(Duration::from_secs);
        let observation = Observation::Throttled { retry_after, reason: String::new() };
        let decision = Watch::new(id()).observe(observation, at(1), &policy(&intervals()), HALF);
        assert_eq!(decision.next_poll_in, Some(Duration::from_secs(expected_s)));
    };
    check(None, 2);
    check(Some(1), 2);
    check(Some(77), 77);
}

#[test]
fn the_age_of_a_training_sets_the_pace() {
    let watch = see(Watch::new(id()), "TRAINING", 0).watch;
    let young = see(watch, "TRAINING", 10);
    assert_eq!(young.next_poll_in, Some(Duration::from_secs(5)));
    let old = see(young.watch, "TRAINING", 300);
    assert_eq!(old.next_poll_in, Some(Duration::from_secs(30)));
    assert!(!old.changed, "a poll that observes no change writes nothing");
}

fn any_observation() -> impl Strategy<Value = Observation> {
    prop_oneof![
        6 => prop::sample::select(vec![
            "NOT_TRAINED", "TRAINING", "TRAINING_FAILED", "IDLE", "REFUSED", "ODD",
        ])
        .prop_map(seen),
        1 => Just(failed()),
        1 => Just(Observation::Missing { reason: String::new() }),
        1 => Just(Observation::Denied { denial: Denial::Key, reason: String::new() }),
        1 => Just(Observation::Throttled { retry_after: None, reason: String::new() }),
    ]
}

proptest! {
    #[test]
    fn transitions_chain_without_a_gap_and_nothing_is_invented(
        observations in prop::collection::vec(any_observation(), 1..60),
        infer: bool,
    ) {
        let intervals = intervals();
        let policy = Policy { infer_unseen_training: infer, ..policy(&intervals) };
        let mut watch = Watch::new(id());
        let mut last: Option<Status> = None;
        let mut count = 0;
        for (second, observation) in (1i64..).zip(observations) {
            let shown = match &observation {
                Observation::Seen(avatar) => Some(avatar.status.clone()),
                _ => None,
            };
            let decision = watch.observe(observation, at(second), &policy, HALF);
            match (&decision.transition, shown) {
                (Some(transition), Some(shown)) => {
                    count += 1;
                    prop_assert_eq!(transition.sequence, count);
                    prop_assert_eq!(transition.previous.status(), last.as_ref());
                    prop_assert_eq!(&transition.status, &shown);
                    prop_assert_eq!(news(&decision), last.is_some());
                    prop_assert!(decision.changed);
                    last = Some(shown);
                }
                (None, Some(shown)) => prop_assert_eq!(Some(&shown), last.as_ref()),
                (Some(_), None) => return Err(TestCaseError::fail("invented")),
                (None, None) => prop_assert!(!news(&decision)),
            }
            prop_assert_eq!(decision.watch.sequence, count);
            watch = decision.watch;
        }
    }
}

#[test]
fn a_training_continues_through_unrecognized_statuses() {
    let watch = see(Watch::new(id()), "NOT_TRAINED", 5).watch;
    let watch = see(watch, "TRAINING", 10).watch;
    let watch = see(watch, "TRAINING", 20).watch;
    let odd = see(watch, "ODD", 30);
    assert_eq!(odd.watch.training_since(), Some(at(10)));
    assert_eq!(odd.transition.unwrap().training, None);
    let back = see(odd.watch, "TRAINING", 40);
    assert_eq!(back.watch.training_since(), Some(at(10)), "it goes on");
    let odder = see(see(back.watch, "ODDER", 50).watch, "ODD", 60);
    let done = see(odder.watch, "REFUSED", 70);
    let transition = done.transition.unwrap();
    let training = transition.training.clone().unwrap();
    // It was last seen in training at 40, so that is all that is sure.
    assert_eq!(training.duration_min(), at(40).since(at(10)));
    assert_eq!(training.duration_max(), Some(at(70).since(at(5))));
    assert!(transition.training_observed());
    assert_eq!(transition.previous.status().map(Status::name), Some("ODD"));
    assert_eq!(transition.last_seen_previous_at(), Some(at(60)));
    assert_eq!(done.watch.training_since(), None);
}

fn any_status() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "NOT_TRAINED",
        "TRAINING",
        "TRAINING",
        "TRAINING_FAILED",
        "IDLE",
        "REFUSED",
        "ODD",
        "ODDER",
    ])
}

proptest! {
    #[test]
    fn an_observed_training_is_an_event_at_its_outcome(
        statuses in prop::collection::vec(any_status(), 1..40),
        infer: bool,
    ) {
        let intervals = intervals();
        let policy = Policy { infer_unseen_training: infer, ..policy(&intervals) };
        let mut watch = Watch::new(id());
        // Whether a training was seen, and whether nothing that is known came after it.
        let (mut seen_before, mut observed) = (false, false);
        let mut reported = std::collections::BTreeSet::new();
        let mut firing = None;
        for (second, name) in (1i64..).zip(statuses) {
            let decision = watch.observe(seen(name), at(second), &policy, HALF);
            let ids: std::collections::BTreeSet<_> =
                decision.events.iter().map(|event| event.id.clone()).collect();
            prop_assert_eq!(ids.len(), decision.events.len(), "no id stands for two events");
            let outcome = Status::from_name(name).is_settled();
            if let (true, Some(transition)) = (outcome, &decision.transition) {
                prop_assert_eq!(transition.training_observed(), observed);
                let kind = decision.events.iter().find_map(|event| match event.subject {
                    Subject::Transition { .. } => Some(event.kind),
                    _ => None,
                });
                let is_news = second > 1 && (seen_before || infer);
                let named = kind.is_some_and(|kind| kind != EventKind::AvatarStatusChanged);
                prop_assert_eq!(named, is_news, "{} at {}", name, second);
                prop_assert_eq!(transition.training.is_some(), observed);
            }
            for event in &decision.events {
                let Subject::Condition(condition) = &event.subject else { continue };
                match condition.phase {
                    Phase::Firing => {
                        prop_assert!(reported.insert(name), "{} was reported twice", name);
                        prop_assert_eq!(firing.replace(name), None);
                    }
                    Phase::Resolved => prop_assert_ne!(firing.take(), None),
                    Phase::Reminder => prop_assert!(false, "a poll reminds of nothing"),
                }
            }
            let odd = name.starts_with("ODD");
            prop_assert!(!odd || reported.contains(name));
            prop_assert!(firing.is_none_or(|it| it == name));
            (seen_before, observed) = match name {
                "TRAINING" => (true, true),
                "NOT_TRAINED" => (seen_before, false),
                _ if odd => (seen_before, observed),
                _ => (false, false),
            };
            watch = decision.watch;
        }
    }
}

fn in_config() -> ConfigOrigin {
    ConfigOrigin { file: Path::new("avatar-watch.toml").into(), line: 3 }
}

/// Polls 15 s apart for 10 min after an outcome, then an hour apart.
fn decay() -> PollIntervals {
    let step = SettledStep { every: Duration::from_secs(15), lasts: Duration::from_secs(10 * 60) };
    let settled = SettledIntervals::new(vec![step], Some(Duration::from_secs(3_600)));
    PollIntervals { settled, ..intervals() }
}

fn see_decaying(
    watch: Watch,
    avatar: Observation,
    seconds: i64,
    location: Option<&ConfigOrigin>,
) -> Decision {
    let intervals = decay();
    watch.observe(avatar, at(seconds), &Policy { location, ..policy(&intervals) }, HALF)
}

fn next_s(decision: &Decision) -> Option<u64> {
    decision.next_poll_in.map(|wait| wait.as_secs())
}

#[test]
fn polls_are_frequent_after_an_outcome_and_then_rare() {
    let named = in_config();
    for location in [Some(&named), None] {
        let watch = see_decaying(Watch::new(id()), seen("TRAINING"), 0, location).watch;
        let decision = see_decaying(watch, seen("REFUSED"), 10, location);
        assert_eq!(next_s(&decision), Some(15), "{location:?}");
        let decision = see_decaying(decision.watch, seen("REFUSED"), 609, location);
        assert_eq!(next_s(&decision), Some(15), "{location:?}");
        let decision = see_decaying(decision.watch, seen("REFUSED"), 610, location);
        assert_eq!(next_s(&decision), Some(3_600), "{location:?}");
    }
}

#[test]
fn a_named_avatar_counts_as_settled_when_it_is_first_seen_and_a_discovered_one_long_ago() {
    let named = in_config();
    let first = |location| see_decaying(Watch::new(id()), seen("IDLE"), 0, location);
    assert_eq!(next_s(&first(Some(&named))), Some(15));
    assert_eq!(next_s(&first(None)), Some(3_600));
}

#[test]
fn another_updated_at_makes_polls_frequent_again_and_is_not_recorded() {
    let named = in_config();
    let updated = |text: Option<&str>| match seen("IDLE") {
        Observation::Seen(avatar) => {
            let updated_at = text.map(str::to_owned);
            Observation::Seen(Box::new(Avatar { updated_at, ..*avatar }))
        }
        other => other,
    };
    let watch = see_decaying(Watch::new(id()), updated(Some("1")), 0, Some(&named)).watch;
    let decision = see_decaying(watch, updated(Some("1")), 5_000, Some(&named));
    assert_eq!(next_s(&decision), Some(3_600));
    let decision = see_decaying(decision.watch, updated(Some("2")), 8_000, Some(&named));
    assert_eq!(next_s(&decision), Some(15));
    assert!(!decision.changed && decision.events.is_empty() && decision.transition.is_none());
    let decision = see_decaying(decision.watch, updated(Some("2")), 8_599, Some(&named));
    assert_eq!(next_s(&decision), Some(15));
    let decision = see_decaying(decision.watch, updated(Some("2")), 8_600, Some(&named));
    assert_eq!(next_s(&decision), Some(3_600));
    let decision = see_decaying(decision.watch, updated(None), 9_000, Some(&named));
    assert_eq!(next_s(&decision), Some(3_600), "a missing value is no change");
}

proptest! {
    #[test]
    fn the_true_duration_of_a_training_is_within_its_bounds(
        starts_s in 1i64..500,
        lasts_s in 1i64..500,
        delays in prop::collection::vec((1i64..60, 0i64..20), 60),
    ) {
        let ends_s = starts_s + lasts_s;
        let intervals = intervals();
        let (mut watch, mut now) = (Watch::new(id()), 0);
        for (pause, latency) in delays {
            let (asked, answered) = (now + pause, now + pause + latency);
            // The API answers at any time between the two; here at once, or at the end.
            let state_at = if pause % 2 == 0 { asked } else { answered };
            let name = match state_at {
                before if before < starts_s => "NOT_TRAINED",
                during if during < ends_s => "TRAINING",
                _ => "IDLE",
            };
            let policy = Policy { asked_at: at(asked), ..policy(&intervals) };
            let decision = watch.observe(seen(name), at(answered), &policy, HALF);
            if let Some(training) = decision.transition.and_then(|it| it.training) {
                let lasted = Duration::from_secs(lasts_s.unsigned_abs());
                prop_assert!(training.duration_min() <= lasted, "{training:?}");
                prop_assert!(training.duration_max().is_none_or(|max| lasted <= max));
                prop_assert!(training.start.after.is_none_or(|after| after <= at(starts_s)));
                prop_assert!(at(starts_s) <= training.start.before);
            }
            (watch, now) = (decision.watch, answered);
        }
    }
}

proptest! {
    #[test]
    fn an_outcome_between_two_polls_leaves_the_bounds_of_the_next_training_true(
        first_s in 1i64..200,
        outcome_s in 1i64..40,
        second_s in 1i64..200,
        delays in prop::collection::vec(1i64..60, 60),
        restart_at in 0usize..60,
    ) {
        let (ended_s, begins_s) = (10 + first_s, 10 + first_s + outcome_s);
        let ends_s = begins_s + second_s;
        let intervals = intervals();
        let (mut watch, mut now) = (Watch::new(id()), 0);
        for (number, pause) in delays.into_iter().enumerate() {
            now += pause;
            // `updatedAt` moves with the status.
            let (name, moved_at) = match now {
                0..10 => ("NOT_TRAINED", 0),
                before if before < ended_s => ("TRAINING", 10),
                between if between < begins_s => ("TRAINING_FAILED", ended_s),
                during if during < ends_s => ("TRAINING", begins_s),
                _ => ("IDLE", ends_s),
            };
            let Observation::Seen(mut avatar) = seen(name) else { unreachable!() };
            avatar.updated_at = Some(at(moved_at).to_string());
            if number == restart_at {
                // What the store keeps.
                watch.updated_at = None;
                watch.retrained_at = None;
            }
            let policy = Policy { asked_at: at(now), ..policy(&intervals) };
            let decision = watch.observe(Observation::Seen(avatar), at(now), &policy, HALF);
            watch = decision.watch;
            let Some(transition) = decision.transition else { continue };
            let (Status::Idle, Some(training)) = (transition.status, transition.training) else {
                continue;
            };
            let contains = |started: i64, lasted: i64| {
                let (started, lasted) = (at(started), Duration::from_secs(lasted.unsigned_abs()));
                training.duration_min() <= lasted
                    && training.duration_max().is_none_or(|max| lasted <= max)
                    && training.start.after.is_none_or(|after| after <= started)
                    && started <= training.start.before
            };
            // The second one may have fallen between two polls as a whole.
            let is_true = contains(begins_s, second_s) || contains(10, first_s);
            prop_assert!(is_true, "{training:?}");
        }
    }
}
