use super::*;

fn at(minutes_ago: i64) -> Option<Timestamp> {
    Some(Timestamp::from_millis(1_000_000_000 - minutes_ago * 60_000))
}

fn channel() -> ChannelFacts<'static> {
    ChannelFacts {
        name: "ops",
        configured: true,
        state: ChannelState::Active,
        failing_since: None,
        reason: None,
        undelivered: 0,
        oldest_at: None,
        dead_letters: 0,
    }
}

fn well() -> StatusInputs<'static> {
    StatusInputs {
        running: true,
        config_readable: true,
        channels: Some(vec![channel()]),
        ..StatusInputs::default()
    }
}

fn check(inputs: &StatusInputs<'_>, summary: &str, text: &str) {
    let findings = evaluate(inputs, LATE_AFTER, at(0).unwrap());
    let said: Vec<&str> = findings.iter().map(|finding| finding.text.as_str()).collect();
    assert_eq!((Severity::of(&findings).summary(), said.join("; ").as_str()), (summary, text));
}

const NOTICES: &str = "OK, with notices";
const WARNINGS: &str = "Warnings";
const CRITICAL: &str = "Critical problems";

#[test]
fn problems_of_the_daemon_and_the_config_change_the_summary() {
    check(&well(), "OK", "");
    let stopped = StatusInputs { running: false, ..well() };
    check(&stopped, CRITICAL, "the daemon is not running");
    let stalled = StatusInputs { stalled: vec!["poller"], ..well() };
    check(&stalled, CRITICAL, "the poller of the daemon is stalled");
    let unreadable = StatusInputs { config_readable: false, ..well() };
    check(&unreadable, WARNINGS, "the config cannot be read");
    let (one, two) = (["a".to_owned()], ["a".to_owned(), "b".to_owned()]);
    let of_file = |config_readable, config_problems, config_changes, text: &str| {
        let inputs = StatusInputs { config_readable, config_problems, config_changes, ..well() };
        check(&inputs, WARNINGS, text);
    };
    of_file(false, &two, &[], "the config cannot be read: a");
    of_file(true, &two, &[], "the config has 2 problems: a");
    of_file(true, &[], &one, "the config was changed and not reloaded: a");
    of_file(true, &[], &two, "the config was changed and not reloaded: a, and 1 more");
    check(&StatusInputs { watched: Some(0), ..well() }, WARNINGS, "no avatar is watched");
    check(&StatusInputs { watched: Some(1), ..well() }, "OK", "");
}

#[test]
fn conditions_change_the_summary() {
    let holds = |kind: &str, subject: &str, name, summary: &str, text: &str| {
        let reason = Some("it said no");
        let it = ConditionFacts { kind, subject, name, since: at(1), cause: None, reason };
        check(&StatusInputs { conditions: vec![it], ..well() }, summary, text);
    };
    let text = "account.unavailable for account argil (it said no)";
    holds("account.unavailable", "account argil", None, CRITICAL, text);
    holds("avatar.missing", "a1", None, WARNINGS, "avatar.missing for a1 (it said no)");
    for kind in ["avatar.unreachable", "avatar.training_overdue"] {
        let text = format!("{kind} for \"Jane\" (a1) (it said no)");
        holds(kind, "a1", Some("Jane"), WARNINGS, &text);
    }
    let text = "config.rejected for the config (it said no)";
    holds("config.rejected", "the config", None, WARNINGS, text);
}

#[test]
fn channels_change_the_summary() {
    let no_channels = "there are no channels, so no notifications are sent";
    check(&StatusInputs { channels: Some(vec![]), ..well() }, NOTICES, no_channels);
    let gone = ChannelFacts { configured: false, ..channel() };
    check(&StatusInputs { channels: Some(vec![gone]), ..well() }, NOTICES, no_channels);
    check(&StatusInputs { channels: None, ..well() }, "OK", "");
    let other = ChannelFacts { name: "other", ..channel() };
    let of = |it: ChannelFacts<'_>, summary: &str, text: &str| {
        check(&StatusInputs { channels: Some(vec![it, other]), ..well() }, summary, text);
    };
    let (paused, disabled) = (ChannelState::Paused, ChannelState::Disabled);
    let waiting = ChannelFacts { undelivered: 2, oldest_at: at(1), ..channel() };
    of(waiting, "OK", "");
    of(gone, "OK", "");
    of(ChannelFacts { state: paused, ..channel() }, NOTICES, "channel ops is paused");
    let text = "2 messages waiting for channel ops, which is paused, the oldest for 1m";
    of(ChannelFacts { state: paused, ..waiting }, NOTICES, text);
    let text = "2 messages waiting for channel ops, which is paused, the oldest for 11m";
    of(ChannelFacts { state: paused, oldest_at: at(11), ..waiting }, WARNINGS, text);
    let text = "2 messages waiting for channel ops, which is not in the config, the oldest for \
                1m";
    of(ChannelFacts { configured: false, ..waiting }, WARNINGS, text);
    of(ChannelFacts { state: disabled, ..channel() }, CRITICAL, "channel ops is DISABLED");
    of(ChannelFacts { failing_since: at(1), ..channel() }, WARNINGS, "channel ops is FAILING");
    let failing = ChannelFacts { failing_since: at(1), reason: Some("500"), ..channel() };
    of(failing, WARNINGS, "channel ops is FAILING (500)");
    of(ChannelFacts { dead_letters: 1, ..channel() }, CRITICAL, "1 dead letter of channel ops");
    of(ChannelFacts { dead_letters: 1, ..gone }, CRITICAL, "1 dead letter of channel ops");
    let text = "2 messages waiting for channel ops, the oldest for 11m";
    of(ChannelFacts { oldest_at: at(11), ..waiting }, WARNINGS, text);
}

#[test]
fn a_failing_avatar_is_a_notice_until_it_lasts() {
    let failing = |kind, name, since, summary: &str, text: &str| {
        let account = Some("argil");
        let it = FailingAvatar { id: "a1", name, account, kind, since, reason: "it said no" };
        check(&StatusInputs { failing: vec![it], ..well() }, summary, text);
    };
    let missing = "avatar a1 is missing: it said no";
    failing(FailureKind::Missing, None, at(0), WARNINGS, missing);
    let jane = Some("Jane");
    for (kind, text) in [
        (FailureKind::Denied, "polling avatar \"Jane\" (a1) is denied: it said no"),
        (FailureKind::Throttled, "polling avatar \"Jane\" (a1) is rate-limited: it said no"),
        (FailureKind::Failed, "polling avatar \"Jane\" (a1) fails: it said no"),
    ] {
        failing(kind, jane, at(5), NOTICES, text);
        failing(kind, jane, at(6), WARNINGS, text);
    }
}

#[test]
fn avatars_that_fail_for_one_cause_are_one_finding() {
    let avatar = |id, account, kind, reason| FailingAvatar {
        id,
        name: None,
        account: Some(account),
        kind,
        since: at(1),
        reason,
    };
    let failed = FailureKind::Failed;
    let failing = vec![
        avatar("a1", "argil", failed, "no connection"),
        avatar("a2", "argil", failed, "no connection"),
        avatar("a3", "argil", failed, "500"),
        avatar("a4", "argil", FailureKind::Missing, "404"),
        avatar("a5", "argil", FailureKind::Missing, "404"),
        avatar("b1", "studio", failed, "no connection"),
    ];
    let texts = [
        "avatar a4 is missing: 404",
        "avatar a5 is missing: 404",
        "polling avatar a3 fails: 500",
        "polling 2 avatars of account argil fails: no connection",
        "polling avatar b1 fails: no connection",
    ];
    check(&StatusInputs { failing, ..well() }, WARNINGS, &texts.join("; "));
}

#[test]
fn nothing_is_reported_twice_and_the_worst_comes_first() {
    let since = at(7);
    let holds = |kind, subject| {
        let (name, cause, reason) = (None, None, None);
        ConditionFacts { kind, subject, name, since, cause, reason }
    };
    let avatar = |id| FailingAvatar {
        id,
        name: None,
        account: Some("argil"),
        kind: FailureKind::Denied,
        since: at(60),
        reason: "no",
    };
    let disabled = ChannelFacts { state: ChannelState::Disabled, dead_letters: 2, ..channel() };
    let inputs = StatusInputs {
        conditions: vec![
            holds("avatar.unreachable", "a1"),
            holds("channel.disabled", "channel ops"),
            holds("account.unavailable", "account argil"),
        ],
        channels: Some(vec![disabled]),
        failing: vec![avatar("a1"), avatar("a2")],
        ..well()
    };
    check(
        &inputs,
        "Critical problems",
        "account.unavailable for account argil; channel ops is DISABLED; 2 dead letters of \
         channel ops; avatar.unreachable for a1",
    );
    let findings = evaluate(&inputs, LATE_AFTER, at(0).unwrap());
    assert_eq!((findings[3].avatar.as_deref(), findings[3].since), (Some("a1"), at(7)));
    assert_eq!(findings[0].avatar, None);
}
