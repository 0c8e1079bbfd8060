use proptest::prelude::*;

use super::*;
use crate::domain::delivery::retry_policy::RetrySchedule;

const HALF: RandomBits = RandomBits::new(1 << 127);
const NOW: Timestamp = Timestamp::from_millis(1_000_000);

fn outcome(class: OutcomeClass) -> Outcome {
    Outcome::new(class, "response")
}

fn fresh() -> RetryState {
    RetryState::new(NOW, &DeliveryPolicy::webhook())
}

fn wait_s(delivery: &RetryState, now: Timestamp) -> Option<u64> {
    match delivery.state {
        DeliveryState::Pending { next_attempt_at } => Some(next_attempt_at.since(now).as_secs()),
        _ => None,
    }
}

/// Applies the same outcome repeatedly, each time when the attempt is due; returns the delays
fn run_down(class: OutcomeClass, terms: &DeliveryPolicy) -> (Vec<u64>, RetryState) {
    let mut delivery = RetryState::new(NOW, terms);
    let mut waits = Vec::new();
    let mut now = NOW;
    for _ in 0..3_000 {
        delivery = delivery.apply_regular(&outcome(class), now, terms, HALF);
        let Some(wait) = wait_s(&delivery, now) else { break };
        waits.push(wait);
        now = now.plus(Duration::from_secs(wait));
    }
    (waits, delivery)
}

#[test]
fn a_new_delivery_is_due_at_once() {
    assert_eq!(wait_s(&fresh(), NOW), Some(0));
}

#[test]
fn a_refused_delivery_follows_the_schedule_and_ends_as_a_dead_letter() {
    let (waits, end) = run_down(OutcomeClass::Retryable, &DeliveryPolicy::webhook());
    assert_eq!(waits, [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400]);
    assert_eq!(end.charged_attempts, 10);
    let DeliveryState::Dead { reason } = end.state else { panic!("{:?}", end.state) };
    assert!(reason.starts_with(EXHAUSTED), "{reason}");
}

#[test]
fn what_is_not_the_receivers_fault_spends_no_try_but_waits_longer_and_expires() {
    for (class, first, longest) in
        [(OutcomeClass::Throttled, 60, 3_600), (OutcomeClass::Local, 5, 300)]
    {
        let (waits, end) = run_down(class, &DeliveryPolicy::webhook());
        assert_eq!(waits[..3], [first, 2 * first, 4 * first]);
        assert_eq!(waits.iter().max(), Some(&longest));
        assert_eq!(end.charged_attempts, 0);
        let DeliveryState::Dead { reason } = end.state else { panic!("{:?}", end.state) };
        assert!(reason.starts_with(EXPIRED), "{reason}");
    }
}

#[test]
fn what_is_asked_to_stay_away_for_longer_than_it_lives_is_attempted_once_more() {
    let terms = DeliveryPolicy::webhook();
    let asked = |hours| Outcome {
        retry_after: Some(Duration::from_hours(hours)),
        ..outcome(OutcomeClass::Throttled)
    };
    for class in [OutcomeClass::Throttled, OutcomeClass::Retryable, OutcomeClass::Local] {
        let mut delivery = fresh();
        delivery.expires_at = NOW.plus(Duration::from_hours(24));
        let soon = NOW.plus(Duration::from_secs(1));
        let asked = Outcome { class, ..asked(1_000_000) };
        let waits = delivery.apply_regular(&asked, soon, &terms, HALF);
        let at = soon.plus(RETRY_AFTER_MAX);
        assert!(at > waits.expires_at);
        assert_eq!(waits.state, DeliveryState::Pending { next_attempt_at: at }, "for {class:?}");
        let end = waits.apply_regular(&asked, at, &terms, HALF);
        assert!(matches!(end.state, DeliveryState::Dead { .. }), "for {class:?}");
    }
}

#[test]
fn a_crash_sends_again_at_once_and_from_the_fifth_in_a_row_on_charges_an_attempt() {
    let (waits, end) = run_down(OutcomeClass::Unknown, &DeliveryPolicy::webhook());
    assert_eq!(waits[..6], [0, 0, 0, 0, 5, 300]);
    assert_eq!((waits.len(), end.charged_attempts), (13, 10));
    assert_eq!(end.state, DeliveryState::Dead { reason: POISON.to_owned() });

    let terms = DeliveryPolicy::webhook();
    let crash = |delivery: RetryState| {
        (0..4).fold(delivery, |delivery, _| {
            delivery.apply_regular(&outcome(OutcomeClass::Unknown), NOW, &terms, HALF)
        })
    };
    let interrupted =
        crash(fresh()).apply_regular(&outcome(OutcomeClass::Retryable), NOW, &terms, HALF);
    assert_eq!(crash(interrupted).charged_attempts, 1);
}

#[test]
fn the_ends_are_ends() {
    let terms = DeliveryPolicy::webhook();
    let end = |class| fresh().apply_regular(&outcome(class), NOW, &terms, HALF).state;
    assert_eq!(end(OutcomeClass::Delivered), DeliveryState::Delivered);
    assert_eq!(end(OutcomeClass::Rejected), DeliveryState::Dead { reason: "rejected".to_owned() });
}

#[test]
fn delivery_ids_are_read_back() {
    let id = DeliveryId::mint(NOW, HALF);
    assert_eq!(DeliveryId::parse(id.as_str()), Ok(id));
    assert!(DeliveryId::parse("evt_0").is_err());
}

fn any_class() -> impl Strategy<Value = OutcomeClass> {
    prop_oneof![
        Just(OutcomeClass::Delivered),
        Just(OutcomeClass::Retryable),
        Just(OutcomeClass::Ambiguous),
        Just(OutcomeClass::Throttled),
        Just(OutcomeClass::Local),
        Just(OutcomeClass::Rejected),
        Just(OutcomeClass::Gone),
        Just(OutcomeClass::Misconfigured),
        Just(OutcomeClass::Unknown),
    ]
}

/// Whether what ends so waits for a human, for as long as that takes.
fn is_suspended(class: OutcomeClass) -> bool {
    matches!(class, OutcomeClass::Gone | OutcomeClass::Misconfigured)
}

#[test]
fn a_sign_of_strain_makes_the_next_wait_a_minute_at_least_or_the_longest_of_a_hasty_schedule() {
    let own = RetrySchedule::new(vec![Duration::ZERO, Duration::from_secs(1)]).unwrap();
    let own = DeliveryPolicy { schedule: own, ..DeliveryPolicy::webhook() };
    let check = |class, code: Option<u16>, terms: &DeliveryPolicy, expected| {
        let outcome = Outcome { code, ..outcome(class) };
        let updated = fresh().apply_regular(&outcome, NOW, terms, HALF);
        assert_eq!(wait_s(&updated, NOW), Some(expected), "for {class:?} {code:?}");
    };
    for code in [502, 503, 504] {
        check(OutcomeClass::Retryable, Some(code), &DeliveryPolicy::webhook(), 60);
        check(OutcomeClass::Retryable, Some(code), &own, 1);
    }
    check(OutcomeClass::Ambiguous, None, &DeliveryPolicy::webhook(), 60);
    check(OutcomeClass::Retryable, Some(500), &DeliveryPolicy::webhook(), 5);
    check(OutcomeClass::Retryable, None, &DeliveryPolicy::webhook(), 5);
}

#[test]
fn what_may_have_been_taken_is_held_where_that_was_asked_for() {
    let hold = DeliveryPolicy { on_unknown: OnUnknown::Hold, ..DeliveryPolicy::webhook() };
    for class in [OutcomeClass::Ambiguous, OutcomeClass::Unknown] {
        let held = fresh().apply_regular(&outcome(class), NOW, &hold, HALF);
        let DeliveryState::Dead { reason } = held.state else { panic!("{:?}", held.state) };
        assert!(reason.starts_with(HELD), "{reason}");
        assert_eq!(
            fresh()
                .apply_regular(&outcome(class), NOW, &DeliveryPolicy::webhook(), HALF)
                .state
                .name(),
            "pending"
        );
    }
    let clear = fresh().apply_regular(&outcome(OutcomeClass::Retryable), NOW, &hold, HALF);
    assert_eq!(clear.state.name(), "pending");
}

#[test]
fn a_probe_that_fails_leaves_the_delivery_as_it_was_and_one_that_is_taken_ends_it() {
    let due_at = NOW.plus(Duration::from_secs(3_600));
    let hold = DeliveryPolicy { on_unknown: OnUnknown::Hold, ..DeliveryPolicy::webhook() };
    let probe = |class, terms: &DeliveryPolicy| {
        fresh().apply(&outcome(class), Some(due_at), NOW, terms, HALF)
    };
    for class in [
        OutcomeClass::Retryable,
        OutcomeClass::Ambiguous,
        OutcomeClass::Throttled,
        OutcomeClass::Local,
        OutcomeClass::Gone,
        OutcomeClass::Misconfigured,
        OutcomeClass::Unknown,
    ] {
        let updated = probe(class, &DeliveryPolicy::webhook());
        assert_eq!(
            (wait_s(&updated, NOW), updated.charged_attempts),
            (Some(3_600), 0),
            "{class:?}"
        );
    }
    assert_eq!(probe(OutcomeClass::Delivered, &hold).state, DeliveryState::Delivered);
    assert_eq!(probe(OutcomeClass::Rejected, &hold).state.name(), "dead");
    for class in [OutcomeClass::Ambiguous, OutcomeClass::Unknown] {
        assert_eq!(probe(class, &hold).state.name(), "dead", "{class:?}");
    }
    let long = Outcome {
        retry_after: Some(Duration::from_secs(7_200)),
        ..outcome(OutcomeClass::Throttled)
    };
    let asked = fresh().apply(&long, Some(due_at), NOW, &DeliveryPolicy::webhook(), HALF);
    assert_eq!(wait_s(&asked, NOW), Some(7_200), "a wait asked for is obeyed all the same");
}

#[test]
fn rejected_settings_charge_no_attempt_and_never_expire() {
    for class in [OutcomeClass::Gone, OutcomeClass::Misconfigured] {
        let late = fresh().expires_at;
        let updated =
            fresh().apply_regular(&outcome(class), late, &DeliveryPolicy::webhook(), HALF);
        assert_eq!((updated.state.name(), updated.charged_attempts), ("pending", 0));
    }
}

proptest! {
    #[test]
    fn a_wait_is_in_the_jitter_of_the_schedule_and_never_below_what_was_asked(
        used in 0u32..9,
        asked_s in proptest::option::of(0u64..200_000),
        bits: u128,
    ) {
        let terms = DeliveryPolicy::webhook();
        let delivery = RetryState { charged_attempts: used, ..fresh() };
        let retry_after = asked_s.map(Duration::from_secs);
        let outcome = Outcome { retry_after, ..outcome(OutcomeClass::Retryable) };
        let base = terms.schedule.delay(used + 1).unwrap().as_secs_f64();
        let updated = delivery.apply_regular(&outcome, NOW, &terms, RandomBits::new(bits));
        let DeliveryState::Pending { next_attempt_at } = updated.state else {
            return Err(TestCaseError::fail("not pending"));
        };
        let wait = next_attempt_at.since(NOW).as_secs_f64();
        let floor = retry_after.unwrap_or_default().min(RETRY_AFTER_MAX).as_secs_f64();
        prop_assert!(wait + 0.002 >= floor.max(base * 0.8));
        prop_assert!(wait <= floor.max(base * 1.2));
    }

    #[test]
    fn every_delivery_ends_and_keeps_to_its_budget(
        classes in proptest::collection::vec(any_class(), 0..40),
        last in any_class().prop_filter("an operator has to fix it", |class| !is_suspended(*class)),
        bits: u128,
    ) {
        let terms = DeliveryPolicy::webhook();
        let mut delivery = fresh();
        let mut now = NOW;
        let (mut charged, mut unknown_streak, mut attempts) = (0, 0, 0);
        // Whatever happens at first, and the same from then on.
        let mut classes = classes.into_iter().chain(std::iter::repeat(last));
        while let DeliveryState::Pending { next_attempt_at } = delivery.state {
            let class = classes.next().unwrap();
            now = now.max(next_attempt_at);
            delivery = delivery.apply_regular(&outcome(class), now, &terms, RandomBits::new(bits));
            if let DeliveryState::Pending { next_attempt_at } = delivery.state {
                prop_assert!(is_suspended(class) || next_attempt_at <= delivery.expires_at);
            }
            unknown_streak = if class == OutcomeClass::Unknown { unknown_streak + 1 } else { 0 };
            charged += u32::from(match class {
                OutcomeClass::Retryable | OutcomeClass::Ambiguous => true,
                OutcomeClass::Unknown => unknown_streak >= POISON_AFTER,
                OutcomeClass::Delivered
                | OutcomeClass::Throttled
                | OutcomeClass::Local
                | OutcomeClass::Rejected
                | OutcomeClass::Gone
                | OutcomeClass::Misconfigured => false,
            });
            prop_assert_eq!(delivery.charged_attempts, charged);
            prop_assert!(charged <= 10);
            attempts += 1;
            prop_assert!(attempts < 5_000, "it goes on and on with {:?}", class);
        }
        prop_assert!(matches!(delivery.state.name(), "delivered" | "dead"));
    }
}

#[test]
fn what_was_most_likely_taken_is_sent_once_more_and_not_as_often_as_what_was_not() {
    let terms = DeliveryPolicy::webhook();
    let unclear = Outcome {
        code: Some(200),
        error: Some("`h` answered 200".to_owned()),
        snippet: Some("welcome".to_owned()),
        ..outcome(OutcomeClass::Ambiguous)
    };
    let once = fresh().apply_regular(&unclear, NOW, &terms, HALF);
    assert_eq!(wait_s(&once, NOW), Some(60), "soon, and not in the same second");
    let twice = once.clone().apply_regular(&unclear, NOW, &terms, HALF);
    let DeliveryState::Dead { reason } = twice.state else { panic!("{:?}", twice.state) };
    assert_eq!(reason, format!("{HELD}: `h` answered 200: welcome"));
    // As a probe of a broken channel it counts as well.
    let due_at = NOW.plus(Duration::from_hours(1));
    let probed = once.apply(&unclear, Some(due_at), NOW, &terms, HALF);
    assert!(matches!(probed.state, DeliveryState::Dead { .. }), "{:?}", probed.state);
    // After a failure that took nothing, one answer of that kind is enough.
    let failed = fresh().apply_regular(&outcome(OutcomeClass::Retryable), NOW, &terms, HALF);
    let ended = failed.apply_regular(&unclear, NOW, &terms, HALF);
    assert!(matches!(ended.state, DeliveryState::Dead { .. }), "{:?}", ended.state);
    // An unreadable response of a chat service is repeated a few times only.
    let garbled = Outcome { phase: GARBLED, code: None, ..unclear.clone() };
    let again = |it: RetryState| it.apply_regular(&garbled, NOW, &terms, HALF);
    let thrice = again(again(again(fresh())));
    assert!(matches!(thrice.state, DeliveryState::Pending { .. }), "{:?}", thrice.state);
    let ended = again(thrice);
    assert!(matches!(ended.state, DeliveryState::Dead { .. }), "{:?}", ended.state);
    // Without an answer it is tried as ever.
    let lost = outcome(OutcomeClass::Ambiguous);
    let lost_twice =
        fresh().apply_regular(&lost, NOW, &terms, HALF).apply_regular(&lost, NOW, &terms, HALF);
    assert!(matches!(lost_twice.state, DeliveryState::Pending { .. }));
}

#[test]
fn what_the_other_side_said_is_in_what_is_said_of_it() {
    let said = |error: &str, snippet: Option<&str>| {
        let snippet = snippet.map(str::to_owned);
        Outcome { error: Some(error.to_owned()), snippet, ..outcome(OutcomeClass::Retryable) }
            .summary()
    };
    assert_eq!(said("`h` answered 404", None), "`h` answered 404");
    assert_eq!(said("`h` answered 404", Some("no `x`")), "`h` answered 404: no `x`");
    assert_eq!(said("`h` answered 404: gone", Some("gone")), "`h` answered 404: gone");
}
