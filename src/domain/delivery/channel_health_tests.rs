use super::*;
use crate::domain::delivery::retry_policy::DeliveryPolicy;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const HALF: RandomBits = RandomBits::new(1 << 127);
const HOUR: Duration = Duration::from_hours(1);

/// A delivery that has used so many attempts.
fn spent(charged_attempts: u32) -> RetryState {
    RetryState { charged_attempts, ..RetryState::new(NOW, &DeliveryPolicy::webhook()) }
}

fn outcome(class: OutcomeClass) -> Outcome {
    Outcome { error: Some("`h` said no".to_owned()), ..Outcome::new(class, "response") }
}

/// The end of the first try at a delivery that was not counted before.
fn first(health: ChannelHealth, class: OutcomeClass, now: Timestamp) -> HealthUpdate {
    health.after_attempt(&outcome(class), &spent(1), None, now, HALF)
}

fn broken() -> ChannelHealth {
    (0..3).fold(ChannelHealth::default(), |health, _| {
        first(health, OutcomeClass::Retryable, NOW).health
    })
}

#[test]
fn a_well_channel_stays_as_it_is() {
    let after = first(ChannelHealth::default(), OutcomeClass::Delivered, NOW);
    assert_eq!(
        after,
        HealthUpdate {
            health: ChannelHealth::default(),
            counted: false,
            reschedule_pending: false
        }
    );
}

#[test]
fn three_failing_deliveries_in_a_row_leave_a_probe_and_one_that_is_taken_ends_it() {
    let two =
        (0..2).fold(ChannelHealth::default(), |h, _| first(h, OutcomeClass::Ambiguous, NOW).health);
    assert!(!two.is_limited_to_probe() && two.failing_since.is_none());
    let three = first(two, OutcomeClass::Retryable, NOW).health;
    assert!(three.is_limited_to_probe());
    assert_eq!(three.failing_since, Some(NOW));
    assert_eq!(three.reason.as_deref(), Some("`h` said no"));
    // The longer it fails, the longer are the waits between probes, up to an hour.
    for (ago_s, wait_s) in [(0, 1), (30, 30), (3_599, 3_599), (90_000, 3_600)] {
        let now = NOW.plus(Duration::from_secs(ago_s));
        let probed = first(three.clone(), OutcomeClass::Retryable, now).health;
        assert_eq!(probed.ready_at().unwrap().since(now), Duration::from_secs(wait_s));
    }
    let well = first(three, OutcomeClass::Delivered, NOW);
    assert!(well.reschedule_pending);
    assert_eq!(well.health, ChannelHealth { failure_run: 1, ..ChannelHealth::default() });
}

#[test]
fn one_delivery_counts_once_in_a_run_however_often_it_fails() {
    let mut health = ChannelHealth::default();
    for attempts in 1..=3 {
        let counted_in = (attempts > 1).then_some(0);
        let effect = health.after_attempt(
            &outcome(OutcomeClass::Retryable),
            &spent(attempts),
            counted_in,
            NOW,
            HALF,
        );
        assert_eq!(effect.counted, attempts == 1);
        health = effect.health;
    }
    assert_eq!((health.failed_deliveries, health.is_limited_to_probe()), (1, false));
    assert_eq!(health.failing_since, None);
    let fourth =
        health.after_attempt(&outcome(OutcomeClass::Retryable), &spent(4), Some(0), NOW, HALF);
    assert_eq!(fourth.health.failing_since, Some(NOW), "operators know of it all the same");
    assert!(!fourth.health.is_limited_to_probe());
}

#[test]
fn a_run_that_ended_counts_no_more() {
    let well = first(broken(), OutcomeClass::Delivered, NOW).health;
    let again =
        well.after_attempt(&outcome(OutcomeClass::Retryable), &spent(2), Some(0), NOW, HALF);
    assert!(again.counted);
    assert_eq!(again.health.failed_deliveries, 1);
}

#[test]
fn five_days_of_failures_disable_and_a_taken_message_within_them_does_not() {
    let days = |days: u64| NOW.plus(HOUR * u32::try_from(24 * days).unwrap());
    let fail = |health, now| first(health, OutcomeClass::Retryable, now).health;
    let four = fail(fail(ChannelHealth::default(), NOW), days(4));
    assert_eq!(four.state, ChannelState::Active);
    let taken = first(four.clone(), OutcomeClass::Delivered, days(4)).health;
    assert_eq!(fail(taken, days(6)).state, ChannelState::Active);
    let five = fail(four, days(5));
    assert_eq!((five.state, five.ready_at()), (ChannelState::Disabled, None));
    assert_eq!(five.reason.as_deref(), Some("accepted nothing for 5 days: `h` said no"));
}

#[test]
fn what_is_our_fault_or_asked_for_counts_for_nothing_but_is_reported_after_an_hour() {
    for class in [OutcomeClass::Local, OutcomeClass::Throttled] {
        let once = first(ChannelHealth::default(), class, NOW).health;
        assert_eq!(
            (once.failed_deliveries, once.counted_since, once.failing_since),
            (0, None, None)
        );
        let late = first(once, class, NOW.plus(HOUR)).health;
        assert_eq!(late.failing_since, Some(NOW), "for {class:?}");
        assert!(!late.is_limited_to_probe());
    }
    let rejected = first(ChannelHealth::default(), OutcomeClass::Rejected, NOW).health;
    assert_eq!(rejected, ChannelHealth::default());
}

#[test]
fn a_local_failure_holds_the_whole_channel_off_for_some_seconds() {
    let local = first(ChannelHealth::default(), OutcomeClass::Local, NOW).health;
    assert_eq!(local.ready_at(), Some(NOW.plus(LOCAL_HOLD)));
    assert!(!local.is_limited_to_probe());
}

#[test]
fn attempts_that_we_did_not_survive_count_from_the_second_on_and_are_reported() {
    let died = |unknown_streak| RetryState { unknown_streak, ..spent(0) };
    let unknown = outcome(OutcomeClass::Unknown);
    let once = ChannelHealth::default().after_attempt(&unknown, &died(1), None, NOW, HALF);
    assert_eq!((once.health.failed_deliveries, once.health.failure_since), (0, Some(NOW)));
    let late = once.health.clone().after_attempt(&unknown, &died(1), None, NOW.plus(HOUR), HALF);
    assert_eq!(late.health.failing_since, Some(NOW));
    let again = once.health.after_attempt(&unknown, &died(2), None, NOW, HALF);
    assert!(again.counted && again.health.failed_deliveries == 1);
}

#[test]
fn a_place_that_is_gone_is_disabled_at_once_and_one_with_wrong_settings_in_an_hour() {
    let gone = first(ChannelHealth::default(), OutcomeClass::Gone, NOW).health;
    assert_eq!((gone.state, gone.failing_since), (ChannelState::Disabled, None));
    let wrong = first(ChannelHealth::default(), OutcomeClass::Misconfigured, NOW).health;
    assert_eq!((wrong.state, wrong.failing_since), (ChannelState::Active, Some(NOW)));
    let fixed = first(wrong.clone(), OutcomeClass::Delivered, NOW);
    assert!(fixed.reschedule_pending);
    assert_eq!(fixed.health, ChannelHealth::default());
    let later = first(wrong, OutcomeClass::Misconfigured, NOW.plus(HOUR)).health;
    assert_eq!(later.state, ChannelState::Disabled);
}

#[test]
fn who_judges_us_elsewhere_is_asked_again_one_message_at_a_time_and_never_disabled() {
    let refused =
        |class, code| Outcome { code: Some(code), scope: Scope::Sender, ..outcome(class) };
    let sender = refused(OutcomeClass::Misconfigured, 553);
    let mut health = ChannelHealth::default();
    for (hours, wait_s) in [(0, 60), (1, 900), (24, 900), (24 * 30, 900)] {
        let now = NOW.plus(HOUR * hours);
        health = health.after_attempt(&sender, &spent(0), None, now, HALF).health;
        assert_eq!(health.state, ChannelState::Active, "after {hours} hours");
        assert!(health.is_limited_to_probe() && health.failing_since == Some(NOW));
        assert_eq!(health.ready_at().unwrap().since(now), Duration::from_secs(wait_s));
    }
    let well = first(health, OutcomeClass::Delivered, NOW);
    assert!(well.reschedule_pending && well.health == ChannelHealth::default());
    let quota = refused(OutcomeClass::Throttled, 550);
    let after = ChannelHealth::default().after_attempt(&quota, &spent(0), None, NOW, HALF).health;
    assert_eq!((after.failing_since, after.is_limited_to_probe()), (Some(NOW), false));
}

#[test]
fn a_broken_channel_is_never_probed_without_a_wait() {
    for class in [
        OutcomeClass::Retryable,
        OutcomeClass::Ambiguous,
        OutcomeClass::Throttled,
        OutcomeClass::Local,
        OutcomeClass::Misconfigured,
        OutcomeClass::Unknown,
    ] {
        for scope in [Scope::Channel, Scope::Sender, Scope::Recipient] {
            let said = Outcome { code: Some(450), scope, ..outcome(class) };
            let now = NOW.plus(HOUR);
            let after = broken().after_attempt(&said, &spent(1), None, now, HALF).health;
            assert!(after.ready_at().unwrap() > now, "after {class:?}, {scope:?}");
        }
    }
}

#[test]
fn an_asked_wait_is_for_the_whole_channel_even_with_a_message_that_was_taken() {
    let wait = Duration::from_secs(7);
    let asked = |class| Outcome { retry_after: Some(wait), ..outcome(class) };
    for class in [OutcomeClass::Delivered, OutcomeClass::Retryable, OutcomeClass::Rejected] {
        let after =
            ChannelHealth::default().after_attempt(&asked(class), &spent(1), None, NOW, HALF);
        assert_eq!(after.health.ready_at(), Some(NOW.plus(wait)), "for {class:?}");
    }
    let long = Outcome { retry_after: Some(HOUR * 1000), ..outcome(OutcomeClass::Delivered) };
    let after = ChannelHealth::default().after_attempt(&long, &spent(1), None, NOW, HALF).health;
    assert_eq!(after.not_before, NOW.plus(RETRY_AFTER_MAX));
}

#[test]
fn without_a_figure_the_channel_waits_as_long_as_the_message_but_for_one_recipient_it_does_not() {
    let next_attempt_at = NOW.plus(Duration::from_secs(61));
    let waiting = RetryState { state: DeliveryState::Pending { next_attempt_at }, ..spent(0) };
    let ready = |code| {
        let outcome = Outcome { code: Some(code), ..outcome(OutcomeClass::Throttled) };
        ChannelHealth::default()
            .after_attempt(&outcome, &waiting, None, NOW, HALF)
            .health
            .ready_at()
    };
    assert_eq!(ready(429), Some(next_attempt_at));
    assert_eq!(ready(421), Some(next_attempt_at));
    for deferred in [450, 451, 452] {
        assert_eq!(ready(deferred), ChannelHealth::default().ready_at());
    }
    // Why it waits stands for as long as it waits, though another message was taken meanwhile.
    let closing = Outcome { code: Some(421), ..outcome(OutcomeClass::Throttled) };
    let closed = ChannelHealth::default().after_attempt(&closing, &waiting, None, NOW, HALF).health;
    let taken = first(closed, OutcomeClass::Delivered, NOW).health;
    assert_eq!(taken.reason.as_deref(), Some("`h` said no"));
    let taken = first(taken, OutcomeClass::Delivered, next_attempt_at).health;
    assert_eq!(taken.reason, None);
}

#[test]
fn an_enabled_channel_proves_itself_first() {
    let disabled = ChannelHealth { state: ChannelState::Disabled, ..broken() };
    let enabled = disabled.enabled();
    assert!(enabled.is_limited_to_probe());
    assert!(enabled.ready_at().unwrap() <= NOW);
    assert_eq!(enabled.failing_since, Some(NOW), "it is not known to be well yet");
    let failed = first(enabled.clone(), OutcomeClass::Retryable, NOW).health;
    assert!(failed.is_limited_to_probe() && failed.ready_at().unwrap() <= NOW);
    let well = first(enabled, OutcomeClass::Delivered, NOW);
    assert!(well.reschedule_pending && !well.health.is_limited_to_probe());
    assert_eq!(well.health.failing_since, None);
}

#[test]
fn a_message_that_a_disabled_channel_takes_late_changes_nothing_about_it() {
    let gone = first(broken(), OutcomeClass::Gone, NOW).health;
    assert_eq!(gone.state, ChannelState::Disabled);
    assert!(gone.reason.is_some() && gone.failing_since.is_some());
    let late = first(gone.clone(), OutcomeClass::Delivered, NOW);
    assert_eq!(late, HealthUpdate { health: gone, counted: false, reschedule_pending: false });
    let paused = ChannelHealth { state: ChannelState::Paused, ..broken() };
    let late = first(paused, OutcomeClass::Delivered, NOW).health;
    let well =
        ChannelHealth { state: ChannelState::Paused, failure_run: 1, ..ChannelHealth::default() };
    assert_eq!(late, well, "that a human paused it says nothing against it");
}

#[test]
fn who_enables_a_channel_need_not_wait_for_what_it_asked_for_before() {
    let wait = Outcome { retry_after: Some(HOUR), ..outcome(OutcomeClass::Throttled) };
    let waits = ChannelHealth::default().after_attempt(&wait, &spent(0), None, NOW, HALF).health;
    assert_eq!(waits.ready_at(), Some(NOW.plus(HOUR)));
    assert!(waits.enabled().ready_at().unwrap() <= NOW);
}

#[test]
fn words_and_states_fit() {
    for state in ChannelState::ALL {
        assert_eq!(ChannelState::from_name(state.name()), Some(state));
    }
    assert_eq!(ChannelState::from_name("else"), None);
}
